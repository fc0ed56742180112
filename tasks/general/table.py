"""The table of general benchmarks by capability: what lm-eval defines, its names and versions.

The capabilities are those of RedOne 2.0's General-Bench (arXiv:2511.07070).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .aggregation import AGGREGATIONS, Column
from .definitions import PREFIX

_MULTIPLE_CHOICE = ("acc,none", "acc_norm,none")


@dataclass(frozen=True, slots=True)
class Entry:
    """A benchmark as lm-eval defines it.

    Attributes:
        name: Of lm-eval's task or group.
        title: For people.
        folder: lm-eval's folder that defines it.
        version: lm-eval's version of group and tasks that this entry was written for.
        language: ISO 639-1 code.
        metrics: `metric,filter`, the primary one first.
        citation: The paper.
        hub: The name of its data set on the hub.
        mean_of: The score is the mean of so many first metrics; 0: it is the first.
        chance: Accuracy of guessing, in percent.
        code: Scoring runs programs, so it needs the sandbox.
    """

    name: str
    title: str
    folder: str
    version: str
    language: str
    metrics: tuple[str, ...]
    citation: str
    hub: str
    mean_of: int = 0
    chance: float = 0.0
    code: bool = False

    @property
    def task_name(self) -> str:
        return PREFIX + self.name

    @property
    def columns(self) -> tuple[Column, ...]:
        """The metrics, with the places of their statistics."""
        columns, start = [], 0
        for key in self.metrics:
            per_instruction = key.startswith("inst_level_")
            aggregation = AGGREGATIONS["agg_inst_level_acc" if per_instruction else "mean"]
            columns.append(Column(key, aggregation, start))
            start += len(aggregation.columns)
        return tuple(columns)


_AGIEVAL = "Zhong et al. 2023. AGIEval: A Human-Centric Benchmark. arXiv:2304.06364."


def _gaokao(subject: str, title: str, **own: Any) -> Entry:
    known: dict[str, Any] = {"language": "zh", "metrics": _MULTIPLE_CHOICE, "chance": 25.0} | own
    name, hub = f"agieval_gaokao_{subject}", f"hails/agieval-gaokao-{subject}"
    return Entry(name, f"Gaokao {title}", "agieval", "1.0", citation=_AGIEVAL, hub=hub, **known)


# fmt: off
ENTRIES: Mapping[str, Mapping[str, tuple[Entry, ...]]] = {
    "knowledge": {
        "mmlu": (
            Entry(
                "mmlu", "MMLU", "mmlu/default", "2+1.0", "en", ("acc,none",),
                "Hendrycks et al. 2021. Measuring Massive Multitask Language Understanding. "
                "arXiv:2009.03300.",
                hub="cais/mmlu", chance=25.0,
            ),
        ),
        "cmmlu": (
            Entry(
                "cmmlu", "CMMLU", "cmmlu", "1.0+1.0", "zh", _MULTIPLE_CHOICE,
                "Li et al. 2023. CMMLU: Measuring Massive Multitask Language Understanding in "
                "Chinese. arXiv:2306.09212.",
                hub="haonan-li/cmmlu", chance=25.0,
            ),
        ),
        "ceval": (
            Entry(
                "ceval-valid", "C-Eval, validation", "ceval", "2.0+2.0", "zh", _MULTIPLE_CHOICE,
                "Huang et al. 2023. C-Eval. arXiv:2305.08322.",
                hub="ceval/ceval-exam", chance=25.0,
            ),
        ),
        "gpqa": (
            Entry(
                "gpqa_diamond_zeroshot", "GPQA Diamond", "gpqa/zeroshot", "2.2", "en",
                _MULTIPLE_CHOICE,
                "Rein et al. 2023. GPQA: A Graduate-Level Google-Proof Q&A Benchmark. "
                "arXiv:2311.12022.",
                hub="Idavidrein/gpqa", chance=25.0,
            ),
        ),
        "mmlu_pro": (
            Entry(
                "mmlu_pro", "MMLU-Pro", "mmlu_pro", "2.0+3.1", "en",
                ("exact_match,custom-extract",),
                "Wang et al. 2024. MMLU-Pro. arXiv:2406.01574.",
                hub="TIGER-Lab/MMLU-Pro",
            ),
        ),
        "bbh": (
            Entry(
                "bbh", "BIG-Bench Hard", "bbh/cot_fewshot", "3.0+4.0", "en",
                ("exact_match,get-answer",),
                "Suzgun et al. 2022. Challenging BIG-Bench Tasks and Whether Chain-of-Thought "
                "Can Solve Them. arXiv:2210.09261.",
                hub="SaylorTwift/bbh",
            ),
        ),
        "gaokao": (
            _gaokao("biology", "Biology"),
            _gaokao("chemistry", "Chemistry"),
            _gaokao("chinese", "Chinese"),
            _gaokao("english", "English", language="en"),
            _gaokao("geography", "Geography"),
            _gaokao("history", "History"),
            _gaokao("mathcloze", "Mathematics, cloze", metrics=("acc,none",), chance=0.0),
            _gaokao("mathqa", "Mathematics"),
            _gaokao("physics", "Physics"),
        ),
    },
    "mathematics": {
        "gsm8k": (
            Entry(
                "gsm8k", "GSM8K", "gsm8k", "3.0", "en",
                ("exact_match,flexible-extract", "exact_match,strict-match"),
                "Cobbe et al. 2021. Training Verifiers to Solve Math Word Problems. "
                "arXiv:2110.14168.",
                hub="openai/gsm8k",
            ),
        ),
        "math500": (
            Entry(
                "hendrycks_math500", "MATH-500", "hendrycks_math", "1.0", "en",
                ("exact_match,none",),
                "Hendrycks et al. 2021, arXiv:2103.03874; the 500 of Lightman et al. 2023, "
                "arXiv:2305.20050.",
                hub="HuggingFaceH4/MATH-500",
            ),
        ),
        "aime25": (
            Entry(
                "aime25", "AIME 2025", "aime", "0.0", "en", ("exact_match,none",),
                "American Invitational Mathematics Examination 2025.",
                hub="math-ai/aime25",
            ),
        ),
    },
    "code": {
        "humaneval": (
            Entry(
                "humaneval", "HumanEval", "humaneval", "1.0", "en", ("pass@1,create_test",),
                "Chen et al. 2021. Evaluating Large Language Models Trained on Code. "
                "arXiv:2107.03374.",
                hub="openai/openai_humaneval", code=True,
            ),
        ),
        "mbpp": (
            Entry(
                "mbpp", "MBPP", "mbpp", "1.0", "en", ("pass_at_1,none",),
                "Austin et al. 2021. Program Synthesis with Large Language Models. "
                "arXiv:2108.07732.",
                hub="google-research-datasets/mbpp", code=True,
            ),
        ),
    },
    "instruction following": {
        "ifeval": (
            Entry(
                "ifeval", "IFEval", "ifeval", "4.0", "en",
                (
                    "prompt_level_strict_acc,none",
                    "inst_level_strict_acc,none",
                    "prompt_level_loose_acc,none",
                    "inst_level_loose_acc,none",
                ),
                "Zhou et al. 2023. Instruction-Following Evaluation for Large Language Models. "
                "arXiv:2311.07911.",
                hub="google/IFEval", mean_of=4,
            ),
        ),
    },
}
# fmt: on
"""Capability -> category -> what lm-eval defines."""


@dataclass(frozen=True, slots=True)
class Unavailable:
    """A benchmark of the paper that is not available here.

    Attributes:
        title: Its name.
        reason: Why.
        instead: The nearest open tasks here.
    """

    title: str
    reason: str
    instead: str


UNAVAILABLE: tuple[Unavailable, ...] = (
    Unavailable(
        "CompassBench",
        "the questions that are scored are not open",
        "lm_eval:mmlu_pro, lm_eval:bbh",
    ),
    Unavailable(
        "NewsBench",
        "its writing part is graded by a closed model, and lm-eval has no such task",
        "lm_eval:ifeval, lm_eval:cmmlu",
    ),
    Unavailable(
        "LiveCodeBench",
        "lm-eval has no such task, and its set of questions changes with every release",
        "lm_eval:humaneval, lm_eval:mbpp",
    ),
)
"""Benchmarks of General-Bench that are not available here."""
