"""The tasks of `general-mini`, and access to any number of items of its families.

A task is one evaluation-only family; its `train` split is a train family of the same capability
with other templates, words and skills. What is trained on is therefore never a template, a word
table or a skill that is evaluated: a gain here is one that carried over.

The benchmark is this project's own, so its authors' judgement and the trusted one are the same
rule: `official` and `corrected` give equal figures, and both stand because every run has both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from ..errors import RedoneError, UnknownName
from ..schema import Chance, Guesses, Prompt, Row, Sample, Settings, Task
from .evaluation.comparisons import COMPARISONS
from .evaluation.facts import FACTS
from .evaluation.layout import LAYOUT
from .evaluation.lists import LISTS
from .evaluation.records import RECORDS
from .evaluation.stories import STORIES
from .evaluation.wording import WORDING
from .evaluation.word_problems import WORD_PROBLEMS
from .family import Family, Item, draw
from .forms import FORMS, exact_scoring, gold_text, rules_scoring
from .train.animals import ANIMALS_FAMILY
from .train.bullets import BULLETS
from .train.copying import COPYING
from .train.extraction import EXTRACTION
from .train.notices import NOTICES
from .train.openings import OPENINGS
from .train.sequences import SEQUENCES
from .train.sums import SUMS
