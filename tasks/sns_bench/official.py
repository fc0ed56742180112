"""How the authors of SNS-Bench clean the answers to its closed subtasks, quirks included.

Guo et al., "SNS-Bench", ICML 2025, https://openreview.net/forum?id=sVNNlzjZVN. The rules are kept
only to reproduce published tables. Known quirk: the letters "end" cut an answer inside words too.
"""

from __future__ import annotations

import re

from ..answers import Reading
from ..schema import Completion

_CHOICE = re.compile(r"[\n.,<>]|endofresponse|end|im_end")
_YES_NO = re.compile(r"[\n.,<>]|endofresponse")
_LIST = re.compile(r"[\n<>]|endofresponse")


def _before(cut: re.Pattern[str], text: str) -> str:
    """The text without "Answer:", before the first cut."""
    return cut.split(text.replace("Answer:", "").strip(), maxsplit=1)[0].strip()


def choice_text(text: str) -> str:
    """The answer to a choice among candidates."""
    return _before(_CHOICE, text)


def yes_no_text(text: str) -> str:
    """The answer to a yes-or-no question."""
    return _before(_YES_NO, text)


def listed(text: str) -> frozenset[str]:
    """The set of a comma-separated list."""
    return frozenset(p.strip() for p in _before(_LIST, text).split(",") if p)


def read_choice(sample: object, completion: Completion) -> Reading:
    """The official reading of a choice: always some text, "" included."""
    return Reading(choice_text(completion.text))


def read_yes_no(sample: object, completion: Completion) -> Reading:
    """The official reading of yes or no: always some text, "" included."""
    return Reading(yes_no_text(completion.text))


def read_listed(sample: object, completion: Completion) -> Reading:
    """The official reading of a list."""
    return Reading(sorted(listed(completion.text)))
