"""Nothing that is evaluated is trained on, and nothing is decided on what must stay unseen."""

from pathlib import Path

import pytest
from corpora import bucket, diagnosis, row, write_tweets

from redone.tasks.errors import RedoneError
from redone.tasks.registry import by_name, find
from redone.tasks.schema import PARTITIONS
from redone.tasks.sources import sourced
from redone.training.corpus.balanced import balanced_rows
from redone.training.corpus.contamination import EvaluationItems, only_diagnose, tasks_of
from redone.training.corpus.difficulty import Solved, hard_rows
from redone.training.corpus.failures import failure_rows
from redone.training.corpus.selection import SelectionSettings
from redone.training.corpus.sources import generated_rows, registry_rows
from redone.training.rows import counted

IRONY = by_name("tweeteval/irony")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_tweets(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def items(data):
    return EvaluationItems([IRONY, by_name("general_mini/facts")], data)


@pytest.fixture(scope="module")
def evaluated(data):
    """An item of each partition, with its text."""
    found = list(sourced(IRONY, data, PARTITIONS))
    return [next(pair for pair in found if pair[0].partition == name) for name in PARTITIONS]


def test_planted_overlaps_of_every_partition_are_dropped_and_told(items, evaluated):
    rows = [row(0)]
    for sample, text in evaluated:
        name = sample.partition
        asked = ({"role": "user", "content": f"Is this ironic?\n{text}"},)
        rows += [
            row(f"{name} item", id=sample.id),
            row(f"{name} cluster", cluster=sample.cluster),
            row(f"{name} exact", fields={"text": text.upper() + " !!"}),
            row(f"{name} near", messages=asked),
            row(f"{name} answer", answer=f"Yes. {text}"),
            row(f"{name} rationale", rationale=f"It says: {text}"),
            row(
                f"{name} system",
                messages=(
                    {"role": "system", "content": text},
                    {"role": "user", "content": "Ironic?"},
                ),
            ),
        ]
    cleaned = items.clean(rows)
    assert [r.id for r in cleaned.rows] == [rows[0].id]
    assert [d.row for d in cleaned.dropped] == [r.id for r in rows[1:]]
    assert [d.why for d in cleaned.dropped[:5]] == ["item", "cluster", "exact", "near", "near"]
    assert counted(cleaned.dropped) == {"near": 9, "exact": 6, "item": 3, "cluster": 3}
    told = cleaned.dropped[3].reason
    assert told.startswith("It holds 100% of evaluation item") and "partition diagnose" in told


def test_rows_of_the_train_split_and_generated_ones_stay(items, data):
    rows = [*registry_rows([IRONY], data), *generated_rows("animals")]
    assert items.clean(rows).rows == tuple(rows)


def test_a_row_that_comes_twice_is_kept_once(items):
    rows = list(generated_rows("animals", count=5))
    cleaned = items.clean([*rows, *rows])
    assert cleaned.rows == tuple(rows) and counted(cleaned.dropped) == {"repeated": 5}


def test_refusing_names_the_rows_and_the_way_out(items, evaluated):
    sample, _ = evaluated[1]
    near = row("near", cluster=sample.cluster)
    with pytest.raises(
        RedoneError, match=r"1 training row\(s\) repeat.*near.*partition gate.*clean"
    ):
        items.refuse_named([row(0), near])
    with pytest.raises(RedoneError, match="It is an evaluation item"):
        items.refuse_named([row(0, id=sample.id)])


@pytest.mark.parametrize(
    "choose",
    [
        lambda rows, items: balanced_rows(rows, SelectionSettings(general_share=0), items),
        lambda rows, items: failure_rows(
            rows, diagnosis(bucket(IRONY.name, "c", 0.5)), SelectionSettings(general_share=0), items
        ),
        lambda rows, items: hard_rows(
            rows, {r.id: Solved(2, 1) for r in rows}, SelectionSettings(general_share=0), items
        ),
    ],
    ids=["mix", "select", "hardest"],
)
def test_every_choice_refuses_evaluation_items(choose, items, evaluated):
    rows = [row(number) for number in range(8)]
    assert choose(rows, items).rows
    for sample, _ in evaluated:
        with pytest.raises(RedoneError, match="repeat evaluation items"):
            choose([*rows, row("x", id=sample.id)], items)
        with pytest.raises(RedoneError, match="repeat evaluation items"):
            choose([*rows, row("x", cluster=sample.cluster)], items)
    with pytest.raises(RedoneError, match="Two rows have the id"):
        choose([*rows, rows[0]], items)
    with pytest.raises(
        RedoneError, match="not checked against the evaluation items of tweeteval/hate"
    ):
        choose([*rows, row("x", task="tweeteval/hate", label="hate")], items)


def test_a_corpus_is_held_against_what_is_evaluated_and_its_own_tasks():
    rows = [row(1), row(2), row(3, task="tweeteval/hate", label="hate")]
    held = tasks_of(rows, find("general-mini"))
    assert [t.name for t in held[-2:]] == ["tweeteval/irony", "tweeteval/hate"]
    assert len(held) == 10


@pytest.mark.parametrize("partition", ["gate", "report", "all"])
def test_decisions_follow_from_the_diagnose_partition_alone(partition, items):
    with pytest.raises(RedoneError, match=f"partition '{partition}'.*may follow 'diagnose' alone"):
        only_diagnose(partition, "The length limit")
    found = diagnosis(bucket(IRONY.name, "c", 0.5), partition=partition)
    with pytest.raises(
        RedoneError, match=f"The diagnosis of 'by-hand' is of partition '{partition}'"
    ):
        failure_rows([row(1)], found, SelectionSettings(general_share=0), items)
    only_diagnose("diagnose", "The length limit")


@pytest.mark.shared_data
def test_train_rows_of_the_published_tweets_that_repeat_evaluation_tweets_are_dropped(data_dir):
    tasks = [task for task in find("tweeteval") if not task.held_out]
    rows = list(registry_rows(tasks, data_dir))
    cleaned = EvaluationItems(find("tweeteval"), data_dir).clean(rows)
    why = counted(cleaned.dropped)
    assert len(rows) == 29_655
    assert len(cleaned.dropped) == pytest.approx(400, abs=10)
    assert why["cluster"] + why["exact"] == pytest.approx(300, abs=10)
    assert not {d.row for d in cleaned.dropped} & {r.id for r in cleaned.rows}


def test_a_threshold_is_a_share():
    with pytest.raises(RedoneError, match="threshold of 0"):
        EvaluationItems([by_name("general_mini/facts")], Path(), threshold=0)
