"""The benchmarks of the suite `general`, one for each capability."""

from __future__ import annotations

from functools import partial

from ..task import Benchmark, Category

_TITLES = {"gaokao": "Gaokao (AGIEval)"}
"""Of columns with several tasks; other columns have the title of their task."""


def _from_lm_eval(capability: str) -> Benchmark:
    from .lm_eval_tasks import GENERAL

    return Benchmark(
        f"General: {capability}",
        {
            name: Category(_TITLES.get(name, tasks[0].title), tasks)
            for name, tasks in GENERAL[capability].items()
        },
    )


def _translation() -> Benchmark:
    from .native import TRANSLATION, TRANSLATION_SETS

    return Benchmark(
        "General: translation",
        {name: Category(TRANSLATION_SETS[name][0], tasks) for name, tasks in TRANSLATION.items()},
    )


def _hallucination() -> Benchmark:
    from .native import HALUEVAL

    return Benchmark("General: hallucination", {"halueval": Category(HALUEVAL.title, (HALUEVAL,))})


BENCHMARKS = {
    **{
        f"general_{capability.replace(' ', '_')}": partial(_from_lm_eval, capability)
        for capability in ("knowledge", "mathematics", "code", "instruction following")
    },
    "general_translation": _translation,
    "general_hallucination": _hallucination,
}
