"""Checks a task on the data at hand: gold predictions, empty answers, trivial baselines, fuzz.

Gold predictions must score 100, empty answers 0. The chance level of a task is the best of its
trivial baselines: all candidates at once, the best constant answer, the mean of random answers. A
lax parser shows as a baseline above the stored level; a level that is set too high, to hide that,
is one that no baseline comes near. Parsers must survive hostile outputs.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np

from .prompts import messages, prompt_for
from .schema import FAILURES, Completion, Sample, Scoring, Services
from .sources import samples
from .task import UNKNOWN_CHANCE, Chance, Task

ROUNDING = (0.05, 0.006)
"""How far a baseline may exceed the stored chance level, which is rounded: metric, value."""
INFLATION = (0.5, 0.01)
"""How far the stored level may exceed the best baseline."""
UNEVEN = 0.8
"""Share of the rows from which one label is reported as too frequent."""
CONSTANTS = 50
"""Golds that are tried as constant answers."""
RANDOM_ANSWERS = 10_000
"""Random baselines are drawn until this many answers are scored: at least 10, at most 200 draws."""
SLOW = 5.0
"""Seconds that scoring a hostile output may take."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """The scores of a trivial baseline under `corrected`.

    Attributes:
        name: Which baseline.
        metric: In percent, 0 where undefined.
        value: Mean value, 0..1.
        error: Standard errors of metric and value, for a mean over random draws.
    """

    name: str
    metric: float
    value: float
    error: tuple[float, float] = (0.0, 0.0)


@dataclass(slots=True)
class Report:
    """The result for one task.

    Attributes:
        task: The task.
        items: Number of samples in all evaluation partitions.
        baselines: The trivial baselines, of the constant ones the best only.
        whole: Whether the baselines were scored under `corrected` itself, not its reduced form.
        fuzzed: Hostile outputs scored, per scoring.
        problems: Why the task fails; empty if it passed.
        notes: What could not be checked here.
    """

    task: Task
    items: int = 0
    baselines: list[Baseline] = field(default_factory=list)
    whole: bool = True
    fuzzed: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def best(self) -> tuple[float, float]:
        """Metric and value of the best baseline, each on its own."""
        return max(b.metric for b in self.baselines), max(b.value for b in self.baselines)


def check(
    task: Task,
    folder: Path,
    *,
    fuzz: int = 10_000,
    seed: int = 0,
    services: Services | None = None,
    measure: bool = False,
) -> Report:
    """Checks one task.

    Args:
        task: Which.
        folder: The data folder.
        fuzz: Hostile outputs for each scoring.
        seed: Of random baselines and hostile outputs.
        services: What scoring may use; without a needed one its reduced form is checked.
        measure: The chance level is being measured, so it is not compared with the stored one.

    Raises:
        MissingData: A file of the task is not in the folder.
        BadRow: A file breaks its format.
    """
    services = services or Services()
    report = Report(task)
    items = list(samples(task, folder))
    report.items = len(items)
    if not items:
        report.problems.append("there is no sample")
        return report
    _check_samples(report, items, folder)
    _check_prompts(report, items)
    corrected = task.scorings["corrected"]
    scoring = corrected.given(services)
    if missing := services.missing(scoring.needs):
        report.notes.append(f"its scoring needs {', '.join(missing)}: answers are not checked here")
        return report
    _check_gold_and_empty(report, scoring, items, services)
    report.baselines = list(_baselines(task, scoring, items, services, seed))
    report.whole = scoring.name == "corrected"
    if not report.whole:
        report.notes.append(
            f"checked under {scoring.name}; the chance level is that of the whole scoring, which "
            f"needs {', '.join(corrected.needs)}"
        )
    if not measure and task.kind != "task_file":
        if task.chance.known:
            report.problems += chance_problems(report)
        else:
            report.notes.append(
                "its chance level is unknown: `redone tasks check --write` measures it"
            )
    for each in task.scorings.values():
        _check_fuzz(report, each.given(services), items, services, fuzz, seed)
    return report


def chance_of(task: Task, folder: Path, most: int, seed: int = 0) -> Chance:
    """The level of the best trivial baseline on a seeded choice of samples.

    Args:
        task: Which.
        folder: The data folder.
        most: Samples that are looked at.
        seed: Of the choice and of the random baseline.

    Returns:
        An unknown level where there is no sample, or scoring needs a service.
    """
    items = list(samples(task, folder, limit=most, seed=seed))
    scoring = task.scorings["corrected"]
    if not items or scoring.needs:
        return UNKNOWN_CHANCE
    found = list(_baselines(task, scoring, items, Services(), seed))
    metric, value = max(b.metric for b in found), max(b.value for b in found)
    return Chance(round(metric, 2), round(value, 4))


def _check_samples(report: Report, items: Sequence[Sample], folder: Path) -> None:
    task = report.task
    train = list(samples(task, folder, partition="train"))
    ids = Counter(s.id for s in (*items, *train))
    if twice := [i for i, n in ids.items() if n > 1]:
        report.problems.append(f"{len(twice)} ids are not unique, the first is {twice[0]}")
    odd = {s.partition for s in items} & {"train"} or {s.partition for s in train} - {"train"}
    if odd:
        report.problems.append(
            f"samples of partition {', '.join(sorted(odd))} are where none may be"
        )
    parts: dict[str, set[str]] = {}
    for sample in items:
        if sample.partition in ("diagnose", "gate"):
            parts.setdefault(sample.cluster, set()).add(sample.partition)
    if torn := sum(len(p) > 1 for p in parts.values()):
        report.problems.append(f"{torn} clusters are torn between diagnose and gate")
    if repeated := _duplicates(items):
        report.notes.append(f"{len(repeated)} rows repeat another: {_rows(repeated)}")
    labels = Counter(s.tags["label"] for s in items if "label" in s.tags)
    if labels and (most := max(labels, key=lambda each: labels[each])):
        share = labels[most] / len(items)
        if len(labels) > 1 and share > UNEVEN:
            report.notes.append(
                f"the label {most!r} has {share:.0%} of the rows: accuracy says little, see "
                "macro_f1 or mcc"
            )
    known = {s.cluster for s in items}
    if shared := sum(s.cluster in known for s in train):
        report.notes.append(f"{shared} train items have the text of an evaluation item")


def _duplicates(items: Sequence[Sample]) -> list[Sample]:
    """Samples whose fields and target an earlier one has."""
    seen: set[str] = set()
    found = []
    for sample in items:
        content = json.dumps([sample.fields, sample.target], sort_keys=True)
        if content in seen:
            found.append(sample)
        seen.add(content)
    return found


def _rows(items: Sequence[Sample]) -> str:
    """The first rows of some samples, for messages."""
    shown = ", ".join(f"{s.split} {s.index + 1}" for s in items[:5])
    return shown + (", ..." if len(items) > 5 else "")


def _check_prompts(report: Report, items: Sequence[Sample]) -> None:
    for language in sorted({s.language for s in items}):
        sample = next(s for s in items if s.language == language)
        prompt = prompt_for(report.task, language, {})
        shown = "".join(m["content"] for m in messages(prompt, dict.fromkeys(sample.fields, "")))
        for name in (word.partition("}")[0] for word in shown.split("{")[1:]):
            if name.isidentifier():
                report.problems.append(f"the {language} prompt shows {{{name}}}, which is no field")


def _score(
    scoring: Scoring, items: Sequence[Sample], answers: Sequence[str], services: Services
) -> tuple[float, list[float], list[str | None]]:
    """Metric in percent (0 where undefined), and value and failure of each sample."""
    scores = [
        scoring.score(sample, [Completion(text)], services)
        for sample, text in zip(items, answers, strict=True)
    ]
    with np.errstate(all="ignore"):
        sums = np.sum([s.stats for s in scores], axis=0)
        metric = float(scoring.metrics[0].from_sums(sums))
    values = [s.value for s in scores]
    return (metric if math.isfinite(metric) else 0.0), values, [s.failure for s in scores]


def _check_gold_and_empty(
    report: Report, scoring: Scoring, items: Sequence[Sample], services: Services
) -> None:
    """Gold predictions score 100 and have no failure, empty answers score 0 and fail as empty."""
    gold = [report.task.gold(sample) for sample in items]
    metric, values, failures = _score(scoring, items, gold, services)
    if abs(metric - 100) > 1e-3:
        report.problems.append(f"the gold predictions score {metric:.4f}, not 100")
    wrong = (
        f"a gold answer has value {value:.4f} and failure {failure} (sample {sample.id}, row "
        f"{sample.index + 1} of split {sample.split})"
        for sample, value, failure in zip(items, values, failures, strict=True)
        if abs(value - 1) > 1e-5 or failure is not None
    )
    report.problems += islice(wrong, 1)
    for text in ("", " \n\t"):
        _, values, failures = _score(scoring, items, [text] * len(items), services)
        wrong = (
            f"the answer {text!r} has value {value:.4f} and failure {failure}, not 0 and empty "
            f"(sample {sample.id})"
            for sample, value, failure in zip(items, values, failures, strict=True)
            if value != 0 or failure != "empty"
        )
        report.problems += islice(wrong, 1)


def _baselines(
    task: Task, scoring: Scoring, items: Sequence[Sample], services: Services, seed: int
) -> Iterator[Baseline]:
    def baseline(name: str, answers: Sequence[str]) -> Baseline:
        metric, values, _ = _score(scoring, items, answers, services)
        return Baseline(name, metric, statistics.fmean(values))

    yield baseline("all candidates", [task.baselines.all_candidates(sample) for sample in items])
    constants = [
        baseline(f"always {text[:30]!r}", [text] * len(items)) for text in _constants(task, items)
    ]
    if constants:
        bests = {max(constants, key=lambda s: s.metric), max(constants, key=lambda s: s.value)}
        yield from sorted(bests, key=lambda s: -s.metric)
    rounds = min(200, max(10, RANDOM_ANSWERS // len(items)))
    drawn = []
    for n in range(rounds):
        answers = [task.baselines.random(s, Random(f"{seed}|{n}|{s.id}")) for s in items]
        drawn.append(baseline("random", answers))
    metrics, values = [b.metric for b in drawn], [b.value for b in drawn]
    errors = [statistics.stdev(x) / math.sqrt(rounds) for x in (metrics, values)]
    means = statistics.fmean(metrics), statistics.fmean(values)
    yield Baseline("random", *means, (errors[0], errors[1]))


def _constants(task: Task, items: Sequence[Sample]) -> list[str]:
    """The task's own constant answers, and the most frequent golds.

    Of golds that occur once each, five stand for all: where every gold is another text, one of them
    is right for one item.
    """
    frequent = Counter(task.gold(sample) for sample in items).most_common(CONSTANTS)
    often = [text for text, count in frequent if count > 1]
    once = [text for text, count in frequent if count == 1]
    few = once if len(frequent) < CONSTANTS else once[:5]
    return list(dict.fromkeys([*task.baselines.constants(items), *often, *few]))


def chance_problems(report: Report) -> list[str]:
    """Where the task's chance level and its measured baselines disagree."""
    chance = report.task.chance
    problems = []
    for index, (figure, stored) in enumerate((("metric", chance.metric), ("value", chance.value))):
        for baseline in report.baselines:
            found = getattr(baseline, figure)
            if found > stored + ROUNDING[index] + 3 * baseline.error[index]:
                problems.append(
                    f"the baseline `{baseline.name}` has {figure} {found:.4g}, above the stored "
                    f"chance level {stored:.4g}"
                )
        best = max(report.baselines, key=lambda s: getattr(s, figure))
        margin = INFLATION[index] + 3 * best.error[index]
        if report.whole and stored > getattr(best, figure) + margin:
            problems.append(
                f"the stored chance level ({figure} {stored:.4g}) is inflated: the best trivial "
                f"baseline, `{best.name}`, has {getattr(best, figure):.4g}"
            )
    return problems


def measured_chance(report: Report) -> Chance | None:
    """The level to store for a task: None if the stored one holds, or cannot be measured here."""
    if not report.whole or not report.baselines:
        return None
    if report.task.chance.known and not chance_problems(report):
        return None
    metric, value = report.best
    return Chance(round(metric, 2), round(value, 2))


def _check_fuzz(
    report: Report,
    scoring: Scoring,
    items: Sequence[Sample],
    services: Services,
    count: int,
    seed: int,
) -> None:
    random = Random(f"{seed}|{report.task.name}")
    some = random.sample(list(items), min(40, len(items)))
    all_candidates = report.task.baselines.all_candidates
    own = [text for s in some for text in (report.task.gold(s), all_candidates(s))]
    for number, text in enumerate(hostile_texts(count, random, own)):
        completion = Completion(text, finish=random.choice(("stop", "length")))
        started = time.perf_counter()
        try:
            problem = _bad_score(scoring, random.choice(some), completion, services)
        except Exception as error:  # what is tested here is that there is none
            problem = f"{type(error).__name__}: {error}"
        seconds = time.perf_counter() - started
        if not problem and seconds > SLOW:
            problem = f"it took {seconds:.1f} s"
        if problem:
            report.problems.append(
                f"{scoring.name}: hostile output {number}, {ascii(text[:60])} ({len(text)} "
                f"characters): {problem[:200]}"
            )
            return
    report.fuzzed = count


def _bad_score(
    scoring: Scoring, sample: Sample, completion: Completion, services: Services
) -> str | None:
    score = scoring.score(sample, [completion], services)
    if not 0 <= score.value <= 1:
        return f"value {score.value}"
    if len(score.stats) != len(scoring.statistics) or not all(map(math.isfinite, score.stats)):
        return f"statistics {score.stats}"
    if score.failure is not None and score.failure not in FAILURES:
        return f"failure {score.failure!r}"
    json.dumps(score.parsed)
    return None


# --- hostile outputs -----------------------------------------------------------------------------

# fmt: off
_PIECES = (
    # what frames answers
    "```json\n", "```python\n", "```", "<think>", "</think>", "<Result>", "</Result>", "<result>",
    "Answer:", "the answer is", "Final answer", "Translation:", "译文：", "答案：", "答案是",
    "Input:", "**", "# ", "- ", "1. ", "<|im_end|>", "</s>", "endofresponse", "<Doc>",
    # what parts and what denies
    "[", "]", "{", "}", "(", ")", "[[", '"', "'", "“", "”", "\\", "\\x", "\\u12", "|", "｜", ">",
    "/", "\n", "\n\n", "\r\n", "\t", " ", ",", "，", "、", ":", "：", ".", "。", "%", "=", "#",
    "not ", "but ", "because ", "and ", "而是", "因为", "no answer", "the note does not say",
    # answers of all tasks
    "-1", "3", "Yes", "no", "是", "否", "None", "none", "[]", '[""]', "joy", "Favor", "neither",
    '{"Option": "a", "Reason": "b"}', '{"Option": 1}', '{"Option": "', '", "Reason": "', '"}',
    "['a', 'b']", "[[['a']]]", "b'a'", "{1, 2}", "null", "true", "True",
    # numbers, code and markup
    "NaN", "1e999", "-Infinity", "0x", "1+2j", "9" * 40, "-" * 30, "not " * 9, "[" * 40, "x" * 99,
    "__import__('os').system('true')", "exec('x=1')", "lambda: 0", "x = [i for i in range(9)]",
    "<script>alert(1)</script>", "<!--", "&lt;", "<b>", "</b>", "%s%n", "${x}", "{text}",
    # characters
    "\x00", "\x1b[2J", "\x1b]0;title\x07", "\r", "\x85", "\u2028", "\u202e", "\u200b", "\u200d",
    "\ufeff", "\ud800", "\udfff", "\ue000", "\uf8f0", "\ufffd", "\U0010ffff", "e\u0301" * 9, "ß",
    "İ", "ﬀ", "ﷺ", "１２", "٣", "ⅷ", "क्षि", "가", "👩‍👩‍👧‍👦", "🏳️‍🌈", "你好", "word",
    # refusals
    "I'm sorry, but I can't help with that.", "对不起，我无法回答", "as an AI", "抱歉",
)
_OPENERS = (
    "[", "{", "(", "-", "not ", '{"a":', "[{", "<Result>[", "f'{", "'", "lambda:", "~", "**",
    "<div>",
)
_UNITS = (
    " ", "\n", ". ", "[", "{", "['", "['a", "'a',", '["', "|", "3 ", "yes ", "not ", "because ",
    "is ", "the answer is ", "答案是", "Translation: ", "\\", '"', "`", "```", "#", "-", "- ",
    " and ", "<|", "\nInput", "\x00", "😀", "ﷺ",
    "a b. ", '{"Option":', '{"Option": "a", "Reason": "',
    "<Result>", "<think>", "\nOption: a",
)
# fmt: on

ENDLESS: tuple[str, ...] = (
    *((unit * 19_990)[:19_990] for unit in _UNITS),
    *((unit * 1_000_000)[:1_000_000] for unit in ("a", "9", "我", "\n", "[", "a b ", "<Result>")),
    "[" * 9_000 + "]" * 9_000,
    "(" * 9_500 + "1" + ")" * 9_500,
    "-" * 19_000 + "1",
    "a" + "\n" * 19_000 + "b",
    "<Result>" + "[" * 19_000,
    "<think>" * 2_000 + "</think>",
)
"""Texts on which a careless parser takes minutes, or overflows the stack."""


def _soup(random: Random, own: Sequence[str]) -> str:
    pieces = [*_PIECES, *own, *own]
    return "".join(random.choice(pieces) for _ in range(random.randint(1, 40)))


def _characters(random: Random, own: Sequence[str]) -> str:
    limit = random.choice((0x80, 0x800, 0x3000, 0x10000, 0x110000))
    return "".join(chr(random.randrange(limit)) for _ in range(random.randint(0, 200)))


def _broken(random: Random, own: Sequence[str]) -> str:
    """An answer that was cut, doubled, wrapped or peppered."""
    text = random.choice(own)
    at = random.randrange(len(text) + 1)
    piece, head, tail = random.choice(_PIECES), text[:at], text[at:]
    return random.choice(
        (head, tail, head + piece + tail, text + piece + text, piece + text + piece)
    )


def _nested(random: Random, own: Sequence[str]) -> str:
    opener = random.choice(_OPENERS)
    depth = random.choice((10, 100, 1000, 20000))
    middle = random.choice((*own, "1", ""))
    closer = {"[": "]", "{": "}", "(": ")", '{"a":': "}", "[{": "}]"}.get(opener, "")
    return opener * depth + middle + closer * random.choice((0, depth, depth - 1))


def _repeated(random: Random, own: Sequence[str]) -> str:
    piece = random.choice((*_PIECES, *own)) or " "
    return piece * random.randint(2, 400)


def _long(random: Random, own: Sequence[str]) -> str:
    """A megabyte."""
    piece = random.choice((*_PIECES, *own, " ", "a", "汉", "a b\n")) or " "
    return (piece * (1_000_000 // len(piece) + 1))[:1_000_000]


_KINDS = {_soup: 0.45, _broken: 0.3, _characters: 0.13, _repeated: 0.1, _nested: 0.02}
"""Maker of hostile outputs -> its share."""


def hostile_texts(count: int, random: Random, own: Sequence[str]) -> Iterator[str]:
    """Hostile outputs.

    Args:
        count: How many; the last of each thousand has a megabyte.
        random: Decides all.
        own: Texts of the task (golds, lists of candidates), to be mixed in and mangled.
    """
    kinds = random.choices(list(_KINDS), list(_KINDS.values()), k=count)
    for number, kind in enumerate(kinds, 1):
        yield (_long if number % 1000 == 0 else kind)(random, own)
