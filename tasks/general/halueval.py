"""HaluEval, general user queries: does an answer hold something made up?

Li et al. 2023, "HaluEval: A Large-Scale Hallucination Evaluation Benchmark for Large Language
Models", EMNLP, arXiv:2305.11747. 4,507 answers of ChatGPT to user queries, judged by people. Four
of five hold no hallucination, so the figure is the mean recall of yes and no: always saying the
more frequent one gets 50.

lm-eval has no such task. `official` reads an answer as the authors' script does for the other parts
of the benchmark: it looks for the words Yes and No, and what has both or neither is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..answers import Reading
from ..labels import YES_NO, read_label
from ..metrics import labels
from ..schema import (
    Baselines,
    Chance,
    Completion,
    Metric,
    Prompt,
    Record,
    Sample,
    Score,
    Scoring,
    Services,
    Settings,
    Task,
)
from .mirror_files import MirrorReader

FILE = "halueval/general_data.json"
LABELS = ("Yes", "No")

CITATION = (
    "Li et al. 2023. HaluEval: A Large-Scale Hallucination Evaluation Benchmark for Large Language "
    "Models. EMNLP. arXiv:2305.11747."
)


def _row(raw: Mapping[str, Any]) -> Record:
    label = raw["hallucination"].strip().capitalize()
    if label not in LABELS:
        raise ValueError(f"field 'hallucination': yes or no is expected, not {label!r}.")
    return Record(
        fields={"query": raw["user_query"], "response": raw["chatgpt_response"]},
        target=label,
        language="en",
        source=raw["user_query"],
        tags={"label": label},
    )


def read_official(sample: Sample, completion: Completion) -> Reading:
    """Yes where the answer has that word and not No, and the other way round."""
    found = [label for label in LABELS if label in completion.text]
    if len(found) == 1:
        return Reading(found[0])
    return Reading(None, "format" if completion.text.strip() else "empty")


def read_corrected(sample: Sample, completion: Completion) -> Reading:
    """The label that the answer commits to."""
    return read_label(completion, YES_NO, "en")


def _scoring(name: str, read: Callable[[Sample, Completion], Reading]) -> Scoring:
    def judge(sample: Sample, completions: Sequence[Completion], services: Services) -> Score:
        reading = read(sample, completions[0])
        right = reading.answer == sample.target
        return Score(
            float(right),
            labels.counts(LABELS, reading.answer, sample.target),
            reading.answer,
            reading.failure or (None if right else "wrong"),
        )

    metrics = (
        Metric("macro_recall", labels.macro_recall),
        Metric("macro_f1", labels.macro_f1),
        Metric("accuracy", labels.accuracy),
    )
    return Scoring(name, labels.columns(LABELS), judge, metrics)


TASK = Task(
    name="general/halueval",
    title="HaluEval, general",
    category="halueval",
    capability="hallucination",
    language="en",
    version=1,
    dataset=None,
    read=MirrorReader(
        FILE, {"user_query": str, "chatgpt_response": str, "hallucination": str}, _row
    ),
    prompts={
        "en": Prompt(
            "You check answers for hallucination. An answer is hallucinated if it states as a "
            "fact something that is false, that cannot be verified, or that was invented. Does "
            "the response to the query hold any hallucination? Reply with Yes or No only.\n\n"
            "Example\nQuery: Who wrote Hamlet?\nResponse: Hamlet was written by Shakespeare.\n"
            "Answer: No\n\n"
            "Example\nQuery: How high is the Eiffel Tower?\nResponse: It is 512 metres high.\n"
            "Answer: Yes",
            "Query: {query}\nResponse: {response}\nAnswer:",
        )
    },
    settings=Settings(max_tokens=16),
    scorings={
        "corrected": _scoring("corrected", read_corrected),
        "official": _scoring("official", read_official),
    },
    gold=lambda sample: sample.target,
    baselines=Baselines(
        random=lambda sample, random: random.choice(LABELS),
        constants=lambda samples: list(LABELS),
        all_candidates=lambda sample: "Yes, No",
    ),
    chance=Chance(50.0, 0.82),
    reward="exact",
    citation=CITATION,
    held_out=True,
)
