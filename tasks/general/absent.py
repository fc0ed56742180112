"""Benchmarks of RedOne 2.0's General-Bench (arXiv:2511.07070) that cannot be served here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Absent:
    """A benchmark of the paper's that cannot be served.

    Attributes:
        title: Its name.
        reason: Why.
        instead: The nearest open tasks here.
    """

    title: str
    reason: str
    instead: str


ABSENT: tuple[Absent, ...] = (
    Absent(
        "CompassBench",
        "the questions that are scored are not open",
        "lm_eval:mmlu_pro, lm_eval:bbh",
    ),
    Absent(
        "NewsBench",
        "its writing part is judged by a closed model, and lm-eval has no such task",
        "lm_eval:ifeval, lm_eval:cmmlu",
    ),
    Absent(
        "LiveCodeBench",
        "lm-eval has no such task, and its set of questions changes with every release",
        "lm_eval:humaneval, lm_eval:mbpp",
    ),
)
