"""TweetEval: six classifications of English tweets, each scored by its own published metric.

Barbieri et al. 2020, "TweetEval: Unified Benchmark and Comparative Evaluation for Tweet
Classification", Findings of EMNLP: F1 of the ironic class (irony), macro F1 (hate, offensive,
emotion), macro recall (sentiment), mean F1 of favor and against over the tweets of all targets
(stance).

Official: the stripped, lower-cased answer is a label or it is no label. Corrected: the label is
parsed out of the whole answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from .errors import BadRow, MissingData
from .extract_label import extract_label, labels
from .extraction import Extraction, failure_kind
from .metrics.classification import (
    f1_of,
    informedness,
    label_accuracy,
    label_scoring,
    macro_f1,
    macro_recall,
)
from .schema import Completion, Metric, Record, Sample, Settings
from .sources import missing
from .task import REPETITION, ROOM, Baselines, Benchmark, Category, Kind, Prompt, Task

CITATION = (
    "Barbieri et al. 2020. TweetEval: Unified Benchmark and Comparative Evaluation for Tweet "
    "Classification. Findings of EMNLP 2020."
)
TARGETS = {
    "abortion": "the legalisation of abortion",
    "atheism": "atheism",
    "climate": "the view that climate change is a real concern",
    "feminist": "the feminist movement",
    "hillary": "Hillary Clinton",
}
"""Folders of the stance task, and what the tweets there take a stance on."""

PARTITIONING: Mapping[str, Literal["train", "report", "hash"]] = {
    "train": "train",
    "val": "hash",
    "test": "report",
}
"""Training data are exposed as such; diagnosis and gates see val, final figures test."""

# --- reading the files ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LinesReader:
    """Reads the line-by-line files of one task: `<split>_text.txt` and `<split>_labels.txt`.

    Attributes:
        path: Folder of the task, relative to the data folder; holds `mapping.txt`.
        labels: The labels in the order of their numbers, as `mapping.txt` must state them.
        splits: The splits that the task has.
        targets: Subfolder -> what its tweets are about, for a task that has subfolders.
    """

    kind: ClassVar[Kind] = "file"

    path: str
    labels: tuple[str, ...]
    splits: tuple[str, ...] = ("train", "val", "test")
    targets: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, folder: Path) -> Iterator[Record]:
        """The rows by split, then subfolder, in file order.

        Raises:
            MissingData: A file is not there; all are looked for before the first row.
            BadRow: Not UTF-8, unequal numbers of lines, or a label that `mapping.txt` lacks.
        """
        base = folder / self.path
        self._check_mapping(base / "mapping.txt")
        parts = [
            (split, target, *(base / target / f"{split}_{kind}.txt" for kind in ("text", "labels")))
            for split in self.splits
            for target in self.targets or ("",)
        ]
        for path in (path for _, _, *files in parts for path in files):
            _present(path)
        for part in parts:
            yield from self._rows(*part)

    def _rows(self, split: str, target: str, texts: Path, numbers: Path) -> Iterator[Record]:
        tweets, marks = _lines(texts), _lines(numbers)
        if len(tweets) != len(marks):
            raise BadRow(
                f"{texts} has {len(tweets)} lines and {numbers.name} {len(marks)}: row "
                f"{min(len(tweets), len(marks)) + 1} has no counterpart. Fetch both files again."
            )
        known = {str(number): label for number, label in enumerate(self.labels)}
        about = {"target": self.targets[target]} if target else {}
        for number, (tweet, mark) in enumerate(zip(tweets, map(str.strip, marks), strict=True), 1):
            if mark not in known:
                raise BadRow(
                    f"{numbers}, row {number}: the label {mark!r} is not one of "
                    f"{', '.join(f'{n} ({label})' for n, label in known.items())}."
                )
            tags = {"label": known[mark]} | ({"target": target} if target else {})
            fields = {"text": tweet.strip(), **about}
            yield Record(fields, known[mark], "en", tweet, split, tags)

    def _check_mapping(self, path: Path) -> None:
        _present(path)
        stated = [line.split() for line in _lines(path) if line.strip()]
        if stated != [[str(n), label] for n, label in enumerate(self.labels)]:
            raise BadRow(
                f"{path} states the labels {[' '.join(parts) for parts in stated]}; expected are "
                f"{[f'{n} {label}' for n, label in enumerate(self.labels)]}."
            )


def _present(path: Path) -> None:
    if not path.is_file():
        raise MissingData(missing(path, "tweeteval"))


def _lines(path: Path) -> list[str]:
    """Lines by line feed only: tweets hold other characters that Python would split at."""
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        row = error.object[: error.start].count(b"\n") + 1
        raise BadRow(f"{path}, row {row}: not UTF-8 text.") from None
    return [line.rstrip("\r") for line in text.removesuffix("\n").split("\n")] if text else []


# --- scoring -------------------------------------------------------------------------------------


def _official(words: Mapping[str, str]) -> Callable[[Sample, Completion], Extraction]:
    """The authors' rule; `words` is how each label is written."""
    exact = {name.lower(): name for name in words} | {w.lower(): name for name, w in words.items()}

    def read(sample: Sample, completion: Completion) -> Extraction:
        label = exact.get(completion.text.strip().lower())
        return Extraction(label, None if label else failure_kind(completion, "en"))

    return read


# --- the tasks -----------------------------------------------------------------------------------


def _task(
    name: str,
    title: str,
    forms: Mapping[str, Sequence[str]],
    metric: Metric,
    prompt: Prompt,
    *,
    splits: tuple[str, ...] = ("train", "val", "test"),
    targets: Mapping[str, str] | None = None,
) -> Task:
    """One task; `forms` gives each label the ways to write it, the one in the prompt first."""
    names = tuple(forms)
    words = {label: ways[0] for label, ways in forms.items()}
    # "No" is an everyday word: it answers only where it is stated.
    known = labels(forms, firm="No" in words.values(), words=True)
    metrics = (metric, Metric("accuracy", label_accuracy), Metric("informedness", informedness))
    readers: dict[str, Callable[[Sample, Completion], Extraction]] = {
        "official": _official(words),
        "corrected": lambda sample, completion: extract_label(completion, known, "en"),
    }
    return Task(
        name=f"tweeteval/{name}",
        title=title,
        capability="content understanding",
        dataset="tweeteval",
        read=LinesReader(f"tweeteval/{name}", names, splits, targets or {}),
        prompts={"en": prompt},
        version=2,
        settings=Settings(max_tokens=ROOM + 12, max_repetition=REPETITION),
        scorings={
            scoring: label_scoring(scoring, names, read, metrics)
            for scoring, read in readers.items()
        },
        gold=lambda sample: words[sample.target],
        baselines=Baselines(
            random=lambda sample, random: random.choice(list(words.values())),
            constants=lambda samples: list(words.values()),
            all_candidates=lambda sample: ", ".join(words.values()),
        ),
        citation=CITATION,
        splits={split: PARTITIONING[split] for split in splits},
        held_out="train" not in splits,
    )


def _yes_no(yes: str, no: str, *said: str) -> dict[str, tuple[str, ...]]:
    """The forms of a yes-or-no question; the label numbered 0 comes first.

    `said` are words for what is asked: "ironic" says yes, and "not ironic" no.
    """
    denied = (f"{word} {s}" for s in said for word in _DENIALS)
    return {
        no: ("No", "nope", "false", *denied, *(f"non-{s}" for s in said)),
        yes: ("Yes", "yeah", "yep", "true", *said),
    }


_DENIALS = (
    *("not", "not an", "not a", "no", "non", "not really", "not necessarily", "not considered"),
    *("not contain", "not contain any", "not use", "not use any"),
)
_MASKS = "In the tweets @user stands for a name and http for a link.\n\n"

_IRONY = _yes_no("irony", "non_irony", "ironic", "irony")
IRONY = _task(
    "irony",
    "Irony in tweets",
    _IRONY,
    Metric("f1_irony", f1_of(tuple(_IRONY), ["irony"])),
    Prompt(
        "You decide whether tweets are ironic. A tweet is ironic if its writer means something "
        "else than the words say, often the opposite: praise for what went wrong, joy about a "
        f"nuisance, a situation that turned out against all expectation. {_MASKS}"
        "Answer with Yes or No only.\n\n"
        "Tweet: My train is cancelled for the third day running. Best railway in the world!\n"
        "Answer: Yes\n\n"
        "Tweet: My train was on time today and I even got a seat by the window.\nAnswer: No\n",
        "Tweet: {text}\nIs this tweet ironic? Answer:",
    ),
)
HATE = _task(
    "hate",
    "Hate speech against women and immigrants in tweets",
    _yes_no("hate", "not-hate", "hateful", "hate speech"),
    Metric("macro_f1", macro_f1),
    Prompt(
        "You moderate a social network. Decide whether a tweet is hate speech against women or "
        "immigrants: it degrades, threatens or excludes people because they are women or come from "
        "another country, or calls on others to do so. Rude words alone, insults to one person for "
        "what that person did, news and reports about hate are not hate speech. "
        f"{_MASKS}Answer with Yes or No only.\n",
        "Tweet: {text}\nIs this tweet hate speech? Answer:",
    ),
)
OFFENSIVE = _task(
    "offensive",
    "Offensive language in tweets",
    _yes_no("offensive", "not-offensive", "offensive"),
    Metric("macro_f1", macro_f1),
    Prompt(
        "You moderate a social network. Decide whether the language of a tweet is offensive: "
        "swear words, insults, threats, or contempt for a person or a group, open or veiled. "
        f"Criticism in decent words is not offensive. {_MASKS}"
        "Answer with Yes or No only.\n",
        "Tweet: {text}\nIs the language of this tweet offensive? Answer:",
    ),
)
EMOTION = _task(
    "emotion",
    "The main emotion of a tweet",
    {
        "anger": ("anger", "angry", "rage", "annoyance"),
        "joy": ("joy", "joyful", "happy", "happiness"),
        "optimism": ("optimism", "optimistic", "hopeful"),
        "sadness": ("sadness", "sad", "grief"),
    },
    Metric("macro_f1", macro_f1),
    Prompt(
        "You name the emotion that a tweet mainly expresses. It is one of these four:\n"
        "anger: the writer is angry, annoyed or outraged;\n"
        "joy: the writer is happy, amused or delighted with what is;\n"
        "optimism: the writer is hopeful or encourages others about what will be;\n"
        f"sadness: the writer is sad, hurt, worried or disheartened.\n{_MASKS}"
        "Answer with one word: anger, joy, optimism or sadness.\n\n"
        "Tweet: Exam week starts tomorrow and I know we can do this, everybody!\n"
        "Emotion: optimism\n",
        "Tweet: {text}\nWhich emotion does it express: anger, joy, optimism or sadness?\nEmotion:",
    ),
)
SENTIMENT = _task(
    "sentiment",
    "The sentiment of a tweet",
    {"negative": ("negative",), "neutral": ("neutral", "mixed"), "positive": ("positive",)},
    Metric("macro_recall", macro_recall),
    Prompt(
        "You judge the sentiment of tweets: negative if the writer disapproves or feels bad about "
        "something, positive if the writer approves or feels good, neutral if the tweet only "
        f"informs or asks, or if no side prevails. {_MASKS}"
        "Answer with one word: negative, neutral or positive.\n\n"
        "Tweet: The museum opens at ten on Sunday.\nSentiment: neutral\n",
        "Tweet: {text}\nIs its sentiment negative, neutral or positive?\nSentiment:",
    ),
    splits=("val", "test"),
)
_STANCE = {
    "none": ("None", "neither", "neutral", "no stance", "neither in favor nor against"),
    "against": ("Against", "opposed", "opposing", "oppose"),
    "favor": ("Favor", "favour", "in favor", "in favour", "supportive", "supporting"),
}
STANCE = _task(
    "stance",
    "The stance of a tweet towards a target",
    _STANCE,
    Metric("f1_favor_against", f1_of(tuple(_STANCE), ["favor", "against"])),
    Prompt(
        "You judge which stance the writer of a tweet takes on a given subject: Favor if the "
        "writer supports it, Against if the writer opposes it, None if neither can be told from "
        "the tweet. The tweet may not name the subject: support for its opponents counts as "
        f"Against. {_MASKS}"
        "Answer with one word: Favor, Against or None.\n\n"
        "Subject: the new cycle lanes\n"
        "Tweet: Rode to work in half the time today, more of this please!\n"
        "Stance: Favor\n",
        "Subject: {target}\nTweet: {text}\nIs the stance Favor, Against or None?\nStance:",
    ),
    targets=TARGETS,
)

TWEETEVAL = (IRONY, SENTIMENT, HATE, OFFENSIVE, EMOTION, STANCE)
BENCHMARK = Benchmark(
    "TweetEval",
    {
        name: Category(name.capitalize(), (task,))
        for task in TWEETEVAL
        for name in [task.name.partition("/")[2]]
    },
)
