"""General benchmarks that lm-eval does not define; their files are read from a mirror.

HaluEval, general user queries: does an answer contain hallucination? Li et al. 2023, "HaluEval: A
Large-Scale Hallucination Evaluation Benchmark for Large Language Models", EMNLP, arXiv:2305.11747.
4,507 answers of ChatGPT to user queries, annotated by people. Four of five contain no
hallucination, so the score is the mean recall of yes and no: always giving the more frequent label
scores 50. `official` parses an answer as the authors' script does for the other parts of the
benchmark: it looks for the words Yes and No, and an answer with both or neither is wrong.

WMT 22 to 24 and FLORES-200: news and encyclopedia translation between English and Chinese (Kocmi et
al. 2022, 2023, 2024, Findings of the WMT General Machine Translation Task; NLLB Team 2022,
arXiv:2207.04672). The user supplies the data, one JSON object per line with `source` and `target`,
as `wmt22/en-zh.jsonl` and so on in a mirror (`sacrebleu -t wmt22 -l en-zh --echo src ref` prints
the WMT sets). Scored like SNS-TransBench, with a prompt for edited text.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ..extract_label import YES_NO, extract_label
from ..extraction import Extraction
from ..metrics import classification
from ..schema import Completion, Metric, Record, Sample, Settings
from ..sns_trans import LANGUAGES, direction, row
from ..task import REPETITION, ROOM, Baselines, Chance, Prompt, Task
from .mirror import MirrorReader

# --- HaluEval ------------------------------------------------------------------------------------

HALUEVAL_LABELS = ("Yes", "No")

_HALUEVAL = (
    "Li et al. 2023. HaluEval: A Large-Scale Hallucination Evaluation Benchmark for Large Language "
    "Models. EMNLP. arXiv:2305.11747."
)


def _query(raw: Mapping[str, Any]) -> Record:
    label = raw["hallucination"].strip().capitalize()
    if label not in HALUEVAL_LABELS:
        raise ValueError(f"field 'hallucination': yes or no is expected, not {label!r}.")
    return Record(
        fields={"query": raw["user_query"], "response": raw["chatgpt_response"]},
        target=label,
        language="en",
        source=raw["user_query"],
        tags={"label": label},
    )


def read_official(sample: Sample, completion: Completion) -> Extraction:
    """The label whose word the answer contains, if it does not contain the other."""
    found = [label for label in HALUEVAL_LABELS if label in completion.text]
    if len(found) == 1:
        return Extraction(found[0])
    return Extraction(None, "format" if completion.text.strip() else "empty")


def read_corrected(sample: Sample, completion: Completion) -> Extraction:
    """The label that the answer commits to."""
    return extract_label(completion, YES_NO, "en")


_METRICS = (
    Metric("macro_recall", classification.macro_recall),
    Metric("macro_f1", classification.macro_f1),
    Metric("accuracy", classification.label_accuracy),
)


HALUEVAL = Task(
    name="general/halueval",
    title="HaluEval, general",
    category="halueval",
    capability="hallucination",
    language="en",
    read=MirrorReader(
        "halueval/general_data.json",
        {"user_query": str, "chatgpt_response": str, "hallucination": str},
        _query,
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
    version=2,
    settings=Settings(max_tokens=ROOM + 16, max_repetition=REPETITION),
    scorings={
        name: classification.label_scoring(name, HALUEVAL_LABELS, read, _METRICS)
        for name, read in (("corrected", read_corrected), ("official", read_official))
    },
    gold=lambda sample: sample.target,
    baselines=Baselines(
        random=lambda sample, random: random.choice(HALUEVAL_LABELS),
        constants=lambda samples: list(HALUEVAL_LABELS),
        all_candidates=lambda sample: "Yes, No",
    ),
    chance=Chance(50.0, 0.82),
    citation=_HALUEVAL,
    held_out=True,
)

# --- translation ---------------------------------------------------------------------------------

_WMT = "Kocmi et al. Findings of the Conference on Machine Translation (WMT), {year}."
_FLORES = "NLLB Team 2022. No Language Left Behind. arXiv:2207.04672."

TRANSLATION_SETS: Mapping[str, tuple[str, str, tuple[tuple[str, str], ...]]] = {
    "wmt22": ("WMT 22", _WMT.format(year=2022), (("en", "zh"), ("zh", "en"))),
    "wmt23": ("WMT 23", _WMT.format(year=2023), (("en", "zh"), ("zh", "en"))),
    "wmt24": ("WMT 24", _WMT.format(year=2024), (("en", "zh"),)),
    "flores": ("FLORES-200", _FLORES, (("en", "zh"), ("zh", "en"))),
}
"""Title, citation and directions by name."""


def _pair(source: str, target: str, name: str, raw: Mapping[str, Any]) -> Record:
    texts = {source: raw["source"], target: raw["target"]}
    return row({**texts, "source": name, "src_lang": source, "dst_lang": target})


def _translation(name: str, source: str, target: str) -> Task:
    title, citation, _ = TRANSLATION_SETS[name]
    return direction(
        source,
        target,
        name=f"general/{name}_{source}_{target}",
        title=f"{title}, {LANGUAGES[source]} to {LANGUAGES[target]}",
        category=name,
        read=MirrorReader(
            f"{name}/{source}-{target}.jsonl",
            {"source": str, "target": str},
            partial(_pair, source, target, name),
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


TRANSLATION: Mapping[str, tuple[Task, ...]] = {
    name: tuple(_translation(name, source, target) for source, target in directions)
    for name, (_, _, directions) in TRANSLATION_SETS.items()
}
"""Tasks by set."""
