"""Proves a task on the data at hand: what a perfect, an empty and a clueless answer sheet score.

A task states its chance level: what somebody reaches who cannot do it. That is the best of three:
the sheet that lists all candidates, the best constant answer, and the mean of random sheets. A
parser that is too lax shows as a sheet above the stated level; a level that is set too high, to
hide that, shows as one that no sheet comes near.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import numpy as np

from .hostile import hostile_texts
from .prompts import messages, prompt_for
from .schema import FAILURES, Completion, Sample, Scoring, Services, Task
from .sources import samples

ROUNDING = (0.05, 0.006)
"""How far a sheet may pass the stated chance level (metric in points, value): it is rounded."""
INFLATION = (0.5, 0.01)
"""How far the stated level may lie above the best sheet."""
CONSTANTS = 50
"""Golds that are tried as constant answers."""
RANDOM_JUDGEMENTS = 10_000
"""Random sheets are made until this many answers are judged: at least 10, at most 200."""
SLOW = 5.0
"""Seconds that no judgement of a hostile output may take."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """What an answer sheet scored under `corrected`.

    Attributes:
        name: Whose answers.
        metric: In percent, 0 where undefined.
        value: Mean value, 0..1.
        error: Standard errors of metric and value, for a mean over random sheets.
    """

    name: str
    metric: float
    value: float
    error: tuple[float, float] = (0.0, 0.0)


@dataclass(slots=True)
class Report:
    """What was found of one task.

    Attributes:
        task: The task.
        items: Number of samples in all evaluation partitions.
        sheets: The sheets without skill, the best constant answer only.
        fuzzed: Hostile outputs judged, per scoring.
        problems: Why the task fails; empty if it is proved.
        notes: What could not be proved here.
    """

    task: Task
    items: int = 0
    sheets: list[Sheet] = field(default_factory=list)
    fuzzed: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def best(self) -> tuple[float, float]:
        """Metric and value of the best sheet without skill, each on its own."""
        return max(s.metric for s in self.sheets), max(s.value for s in self.sheets)


def check(
    task: Task,
    folder: Path,
    *,
    fuzz: int = 10_000,
    seed: int = 0,
    services: Services | None = None,
) -> Report:
    """Proves one task.

    Args:
        task: Which.
        folder: The data folder.
        fuzz: Hostile outputs for each scoring.
        seed: Of random sheets and hostile outputs.
        services: What scoring may use; without a needed one its reduced form is proved.

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
    scoring = task.scorings["corrected"].given(services)
    _check_gold(report, scoring, items, services)
    _check_empty(report, scoring, items, services)
    report.sheets = list(_sheets_without_skill(task, scoring, items, services, seed))
    whole = scoring.name == "corrected"
    if not whole:
        report.notes.append(
            f"proved under {scoring.name}; the chance level is that of the whole scoring, which "
            f"needs {', '.join(task.scorings['corrected'].needs)}"
        )
    _check_chance(report, whole)
    for each in task.scorings.values():
        _check_fuzz(report, each.given(services), items, services, fuzz, seed)
    return report


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
    known = {s.cluster for s in items}
    if shared := sum(s.cluster in known for s in train):
        report.notes.append(f"{shared} train items have the text of an evaluation item")


def _check_prompts(report: Report, items: Sequence[Sample]) -> None:
    for language in sorted({s.language for s in items}):
        sample = next(s for s in items if s.language == language)
        prompt = prompt_for(report.task, language, {})
        shown = "".join(m["content"] for m in messages(prompt, dict.fromkeys(sample.fields, "")))
        for name in (word.partition("}")[0] for word in shown.split("{")[1:]):
            if name.isidentifier():
                report.problems.append(f"the {language} prompt shows {{{name}}}, which is no field")


def _judge(
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


def _check_gold(
    report: Report, scoring: Scoring, items: Sequence[Sample], services: Services
) -> None:
    gold = [report.task.gold(sample) for sample in items]
    metric, values, failures = _judge(scoring, items, gold, services)
    if abs(metric - 100) > 1e-3:
        report.problems.append(f"the gold sheet scores {metric:.4f}, not 100")
    for sample, value, failure in zip(items, values, failures, strict=True):
        if abs(value - 1) > 1e-5 or failure is not None:
            report.problems.append(
                f"a gold answer has value {value:.4f} and failure {failure} (sample {sample.id})"
            )
            break


def _check_empty(
    report: Report, scoring: Scoring, items: Sequence[Sample], services: Services
) -> None:
    for text in ("", " \n\t"):
        _, values, failures = _judge(scoring, items, [text] * len(items), services)
        for sample, value, failure in zip(items, values, failures, strict=True):
            if value != 0 or failure != "empty":
                report.problems.append(
                    f"the answer {text!r} has value {value:.4f} and failure {failure}, not 0 and "
                    f"empty (sample {sample.id})"
                )
                break


def _sheets_without_skill(
    task: Task, scoring: Scoring, items: Sequence[Sample], services: Services, seed: int
) -> Iterator[Sheet]:
    def sheet(name: str, answers: Sequence[str]) -> Sheet:
        metric, values, _ = _judge(scoring, items, answers, services)
        return Sheet(name, metric, statistics.fmean(values))

    yield sheet("everything", [task.baselines.all_candidates(sample) for sample in items])
    constants = [
        sheet(f"always {text[:30]!r}", [text] * len(items)) for text in _constants(task, items)
    ]
    if constants:
        bests = {max(constants, key=lambda s: s.metric), max(constants, key=lambda s: s.value)}
        yield from sorted(bests, key=lambda s: -s.metric)
    rounds = min(200, max(10, RANDOM_JUDGEMENTS // len(items)))
    guessed = [
        sheet(
            "random",
            [task.baselines.random(sample, Random(f"{seed}|{n}|{sample.id}")) for sample in items],
        )
        for n in range(rounds)
    ]
    metrics, values = [s.metric for s in guessed], [s.value for s in guessed]
    error = tuple(statistics.stdev(x) / math.sqrt(rounds) for x in (metrics, values))
    yield Sheet("random", statistics.fmean(metrics), statistics.fmean(values), (error[0], error[1]))


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


def _check_chance(report: Report, whole: bool) -> None:
    chance = report.task.chance
    for index, (figure, stated) in enumerate((("metric", chance.metric), ("value", chance.value))):
        for sheet in report.sheets:
            found = getattr(sheet, figure)
            if found > stated + ROUNDING[index] + 3 * sheet.error[index]:
                report.problems.append(
                    f"the sheet `{sheet.name}` has {figure} {found:.4g}, above the stated chance "
                    f"level {stated:.4g}"
                )
        best = max(report.sheets, key=lambda s: getattr(s, figure))
        margin = INFLATION[index] + 3 * best.error[index]
        if whole and stated > getattr(best, figure) + margin:
            report.problems.append(
                f"the stated chance level ({figure} {stated:.4g}) is inflated: the best sheet "
                f"without skill, `{best.name}`, has {getattr(best, figure):.4g}"
            )


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
    own = [
        text
        for s in some
        for text in (report.task.gold(s), report.task.baselines.all_candidates(s))
    ]
    for number, text in enumerate(hostile_texts(count, random, own)):
        completion = Completion(text, finish=random.choice(("stop", "length")))
        started = time.perf_counter()
        try:
            problem = _judged_badly(scoring, random.choice(some), completion, services)
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


def _judged_badly(
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
