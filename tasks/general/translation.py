"""News and encyclopaedia translation between English and Chinese: WMT 22 to 24, and FLORES-200.

lm-eval has none of these directions. The user supplies the data, one JSON object a line with
`source` and `target`, as `wmt22/en-zh.jsonl` and so on in a mirror (sacrebleu has the WMT sets:
`sacrebleu -t wmt22 -l en-zh --echo src ref` prints them). Asked and judged like SNS-TransBench,
with a prompt for edited text.

Kocmi et al. 2022, 2023, 2024, Findings of the WMT General Machine Translation Task; NLLB Team 2022,
arXiv:2207.04672.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ..schema import Chance, Prompt, Record, Task
from ..sns_trans import LANGUAGES, direction, row
from .mirror_files import MirrorReader

_WMT = "Kocmi et al. Findings of the Conference on Machine Translation (WMT), {year}."
_FLORES = "NLLB Team 2022. No Language Left Behind. arXiv:2207.04672."

SETS: Mapping[str, tuple[str, str, tuple[tuple[str, str], ...]]] = {
    "wmt22": ("WMT 22", _WMT.format(year=2022), (("en", "zh"), ("zh", "en"))),
    "wmt23": ("WMT 23", _WMT.format(year=2023), (("en", "zh"), ("zh", "en"))),
    "wmt24": ("WMT 24", _WMT.format(year=2024), (("en", "zh"),)),
    "flores": ("FLORES-200", _FLORES, (("en", "zh"), ("zh", "en"))),
}
"""Title, citation and directions by name."""


def _row(source: str, target: str, name: str, raw: Mapping[str, Any]) -> Record:
    texts = {source: raw["source"], target: raw["target"]}
    return row({**texts, "source": name, "src_lang": source, "dst_lang": target})


def _task(name: str, source: str, target: str) -> Task:
    title, citation, _ = SETS[name]
    return direction(
        source,
        target,
        name=f"general/{name}_{source}_{target}",
        title=f"{title}, {LANGUAGES[source]} to {LANGUAGES[target]}",
        category=name,
        dataset=None,
        read=MirrorReader(
            f"{name}/{source}-{target}.jsonl",
            {"source": str, "target": str},
            partial(_row, source, target, name),
        ),
        prompt=Prompt(
            f"You translate {LANGUAGES[source]} into {LANGUAGES[target]}. Keep the meaning, the "
            "tone and the line breaks; translate everything, add nothing. Write only the "
            f"{LANGUAGES[target]} text.",
            f"Translate into {LANGUAGES[target]}.\n\n{{{source}}}",
        ),
        chance=Chance(metric=0.0, value=0.0),
        citation=citation,
    )


TASKS: Mapping[str, tuple[Task, ...]] = {
    name: tuple(_task(name, source, target) for source, target in directions)
    for name, (_, _, directions) in SETS.items()
}
"""Tasks by set."""
