"""Files of predictions that were made elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from ...tasks.errors import BadRow, UnknownName
from ...tasks.general.choices import asks_of_choices, likelihoods
from ...tasks.registry import by_name
from ...tasks.schema import Sample
from ...tasks.sources import json_objects, samples
from ...tasks.task import Task

_EXAMPLE = 'A row looks like {"task": "sns_mini/ner", "index": 0, "prediction": "Paris"}.'


def read_predictions(
    path: Path, tasks: Sequence[Task], folder: Path
) -> dict[str, str | Sequence[str]]:
    """The predictions of a file, texts by sample id.

    The file is JSON or JSON lines of objects with `prediction` and either `id` (a sample id) or
    `task` and `index` (0-based row in the task's file, counted within its split; `split` may name
    it); a row with both must mean one sample. A prediction is a text, or a list of texts, one per
    draw; of a multiple-choice task of lm-eval's it may be the index of a choice, or the
    log-likelihoods as lm-eval logs them.

    Raises:
        BadRow: A row is not as described, or a second one for its sample; or there is none.
        UnknownName: A row's task is none.
    """
    found = {
        (t.name, s.split, s.index): _Known(s.id, t.name, s.index, *_sizes(s))
        for t in tasks
        for s in samples(t, folder)
    }
    by_id = {sample.id: sample for sample in found.values()}
    only_split = {task: split for task, split, _ in found}
    table: dict[str, str | Sequence[str]] = {}
    rows: dict[str, int] = {}
    for number, row in enumerate(_rows(path), 1):
        where = f"{path}, row {number}"
        if not isinstance(row, dict):
            raise BadRow(f"{where}: an object is expected. {_EXAMPLE}")
        identity = _identity(row, where, only_split, found, by_id)
        if identity is None:
            continue
        if identity in rows:
            raise BadRow(
                f"{path}, rows {rows[identity]} and {number}: both are predictions for sample "
                f"{identity}{_place(by_id.get(identity))}. Leave one out; several draws are one "
                "row with a list of texts."
            )
        rows[identity] = number
        table[identity] = _texts(row.get("prediction"), by_id.get(identity), where)
    if unmatched := len(table.keys() - by_id.keys()):
        note = f"{unmatched} of {len(table)} predictions match no sample of these tasks."
        print(f"{path}: {note}", file=sys.stderr)
    return table


def _rows(path: Path) -> Iterator[Any]:
    """The elements of a file of predictions, one at least."""
    some = False
    try:
        for row in json_objects(path):
            some = True
            yield row
    except BadRow as error:
        raise BadRow(f"{error} Predictions are JSON or JSON lines, in UTF-8. {_EXAMPLE}") from None
    if not some:
        raise BadRow(f"{path} holds no predictions. {_EXAMPLE}")


class _Known(NamedTuple):
    """A sample, and the choices and requests of one of multiple choice."""

    id: str
    task: str
    index: int
    choices: int
    requests: int


def _sizes(sample: Sample) -> tuple[int, int]:
    return asks_of_choices(sample), len(sample.fields.get("asks", ()))


def _identity(
    row: Mapping[str, Any],
    where: str,
    only_split: Mapping[str, str],
    found: Mapping[tuple[str, str, int], _Known],
    by_id: Mapping[str, _Known],
) -> str | None:
    """The id of a row's sample; None for one of a task that is not selected."""
    if "id" in row:
        if not isinstance(row["id"], str) or not row["id"]:
            raise BadRow(f"{where}, field 'id': a sample id, a text, not {_shown(row['id'])}.")
        if (other := _contradiction(row, only_split, found, by_id)) is not None:
            raise BadRow(f"{where}: 'id' is that of {other}. Leave out the one that is wrong.")
        return row["id"]
    task, index = row.get("task"), row.get("index")
    if not isinstance(task, str):
        raise BadRow(f"{where}: give 'id', or 'task' (text) and 'index' (number). {_EXAMPLE}")
    if not isinstance(index, int) or isinstance(index, bool):
        raise BadRow(f"{where}, field 'index': a whole number is expected, not {_shown(index)}.")
    split = row.get("split", only_split.get(task))
    if split is not None and not isinstance(split, str):
        raise BadRow(f"{where}, field 'split': a text is expected, not {_shown(split)}.")
    if task not in only_split:
        # Of a task that is not selected; a name that is no task's is a mistake.
        try:
            by_name(task)
        except UnknownName:
            raise UnknownName(f"task in {where}:", task, only_split, listing="") from None
        return None
    sample = found.get((task, str(split), index))
    if sample is None:
        raise BadRow(f"{where}: {task} has no row {index} in split {split!r}.")
    return sample.id


def _contradiction(
    row: Mapping[str, Any],
    only_split: Mapping[str, str],
    found: Mapping[tuple[str, str, int], _Known],
    by_id: Mapping[str, _Known],
) -> str | None:
    """How the place that a row with an id gives contradicts that id, None if it does not."""
    task, index = row.get("task"), row.get("index")
    split = row.get("split")
    sample = by_id.get(row["id"])
    if sample is None:
        if not isinstance(task, str) or type(index) is not int:
            return None
        place = (task, str(split or only_split.get(task)), index)
        return f"no sample of {task}; the row also says index {index}" if place in found else None
    same_task = task is None or str(task).partition("+")[0] == sample.task.partition("+")[0]
    same_place = index is None or (type(index) is int and index == sample.index)
    same_split = split is None or found.get((sample.task, str(split), sample.index)) is sample
    if same_task and same_place and same_split:
        return None
    given = {"task": task, "split": split, "index": index}
    said = ", ".join(f"{name} {_shown(v)}" for name, v in given.items() if v is not None)
    return f"{sample.task}, index {sample.index}; the row also says {said}"


def _texts(prediction: Any, sample: _Known | None, where: str) -> str | list[str]:
    """What a row predicts, as a text (or a text per draw)."""
    if isinstance(prediction, str):
        return prediction
    if isinstance(prediction, list) and prediction and all(isinstance(t, str) for t in prediction):
        return prediction
    where = f"{where}, field 'prediction'"
    if sample is None or not sample.choices:
        raise BadRow(f"{where}: a text or list of texts, not {_shown(prediction)}. {_EXAMPLE}")
    if isinstance(prediction, int) and not isinstance(prediction, bool):
        if not 0 <= prediction < sample.choices:
            raise BadRow(f"{where}: a choice from 0 to {sample.choices - 1}, not {prediction}.")
        return str(prediction)
    found = likelihoods(prediction, sample.requests)
    if found is None:
        raise BadRow(
            f"{where}: the text of a choice, its letter, its index, or {sample.requests} "
            "log-likelihoods (finite, none above 0) as "
            f"lm-eval logs them, not {_shown(prediction)}."
        )
    # JSON has no infinity, and the scorer reads either form.
    return orjson.dumps([[str(value), greedy] for value, greedy in found]).decode()


def _place(sample: _Known | None) -> str:
    return f" ({sample.task}, index {sample.index})" if sample else ""


def _shown(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= 60 else f"{text[:57]}..."
