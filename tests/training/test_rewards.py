"""The reward of an answer is its evaluation: same parser, same score, for every task."""

import json
import math
import pickle
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random
from statistics import median

import pyarrow.parquet as parquet
import pytest

from redone.harness.display import Progress
from redone.harness.evaluate import Plan, ask, prepare, records_of
from redone.harness.models.scripted import ScriptedModel
from redone.harness.run_folder import RunFolder
from redone.harness.score import score_run
from redone.tasks.check import hostile_texts
from redone.tasks.prompts import messages, prompt_for
from redone.tasks.registry import TASKS, by_name, find
from redone.tasks.schema import Completion, Outcome, Services
from redone.tasks.sources import samples
from redone.training.rewards import SPREAD, RawAnswer, Rewards, columns_of
from redone.training.rows import TrainingRow
from redone.training.shaping import Shaping

PAIRS, ITEMS = 1_000, 25
EMBEDDED = [task.name for task in find("sns-mini,general-mini")]
PUBLISHED = [task.name for task in find("sns,tweeteval")]


def row_of(task, sample):
    """A corpus row that asks what a sample asks."""
    return TrainingRow(
        id=sample.id,
        task=task.name,
        messages=messages(prompt_for(task, sample.language, {}), sample.fields),
        answer=task.gold(sample),
        language=sample.language,
        fields=sample.fields,
        target=sample.target,
        tags=sample.tags,
    )


def rows_of(name, data, limit=ITEMS):
    return [row_of(TASKS[name], sample) for sample in samples(TASKS[name], data, limit=limit)]


def random_texts(task, rows, draws, random):
    """`draws` answers to each row: golds, broken ones, other rows' golds, everything, hostile texts."""
    golds = [row.answer for row in rows]
    everything = task.baselines.all_candidates(rows[0].sample())
    hostile = hostile_texts(draws * len(rows), random, [*golds[:20], everything])
    for row in rows:
        for text in islice(hostile, draws):
            at = random.randrange(len(row.answer) + 1)
            planted = random.choice((" ", "x", "不", "\n\nBecause"))
            text = random.choice(
                (
                    row.answer,
                    row.answer[:at] + planted + row.answer[at:],
                    random.choice(golds),
                    task.baselines.random(row.sample(), random),
                    text[:20_000].encode("utf-8", "replace").decode(),  # as decoded tokens are
                )
            )
            yield row, Completion(text, random.choice(("stop", "stop", "length")))


def evaluated(task, data, draws, pairs, folder):
    """What `redone eval` makes of the answers: (sample, draw) -> value and failure."""
    answers = {}
    for row, completion in pairs:
        answers.setdefault(row.id, []).append(completion)
    model = ScriptedModel(lambda request: answers[request.sample][request.draw])
    plan = Plan([task], data, limit=ITEMS, draws=draws, overrides={"temperature": 1.0})
    with RunFolder(folder) as run:
        with Progress(prepare(run, plan, model, {})) as bar:
            ask(run, plan, model, bar)
        score_run(run, records_of(run, plan, model), {task.name: task}, Services())
    scoring = task.scorings["corrected"].given(Services()).name
    columns = ["sample", "draw", "scoring", "value", "failure"]
    table = parquet.read_table(folder / "scores.parquet", columns=columns)
    return {
        (line["sample"], line["draw"]): (line["value"], line["failure"])
        for line in table.to_pylist()
        if line["scoring"] == scoring
    }


def same_as_evaluation(name, data, folder):
    task, rows = TASKS[name], rows_of(name, data)
    draws = math.ceil(PAIRS / len(rows))
    pairs = list(random_texts(task, rows, draws, Random(name)))
    judged = Rewards().score([row for row, _ in pairs], [done for _, done in pairs])
    wanted = evaluated(task, data, draws, pairs, folder / "run")
    assert len(judged) == len(wanted) >= PAIRS
    for number, ((row, _), found) in enumerate(zip(pairs, judged, strict=True)):
        assert (found.value, found.failure) == wanted[row.id, number % draws]
        assert found.reward == found.value  # nothing is added unless asked for


@pytest.mark.parametrize("name", EMBEDDED)
def test_reward_equals_evaluation(name, tmp_path):
    same_as_evaluation(name, tmp_path, tmp_path)


@pytest.mark.shared_data
@pytest.mark.parametrize("name", PUBLISHED)
def test_reward_equals_evaluation_of_published_tasks(name, data_dir, tmp_path):
    same_as_evaluation(name, data_dir, tmp_path)


# --- what belongs to no task here ------------------------------------------------------------------

ANY = Path("unused")  # embedded tasks read no data folder
CLOSED, WORDS = "general_mini/stories", "sns_mini/zh_en"


def gold_and_wrong(name):
    row = rows_of(name, ANY, limit=1)[0]
    return [row, row], [Completion(row.answer), Completion("no such thing")]


def test_gold_is_worth_one():
    right, wrong = Rewards().score(*gold_and_wrong(CLOSED))
    assert (right.value, right.reward, right.failure) == (1.0, 1.0, None)
    assert (wrong.value, wrong.failure) == (0.0, "format")


@pytest.mark.parametrize(
    "change",
    [
        {"task": "tweeteval/no_such_task"},
        {"task": "sns_mini/ner"},
        {"task": "sns_mini/mrc_complex"},
        {"task": "tweeteval/irony"},
        {"target": None},
    ],
    ids=str,
)
def test_a_row_of_another_task_has_no_reward_rather_than_zero(change):
    rows, completions = gold_and_wrong(CLOSED)
    rows = [replace(row, **change) for row in rows]
    assert [j.value for j in Rewards().score(rows, completions)] == [None, None]
    assert [j.reward for j in Rewards().score(rows, completions)] == [None, None]


def test_rewards_of_some_tasks_leave_other_rows_alone():
    rows, completions = gold_and_wrong(CLOSED)
    other = rows_of(WORDS, ANY, limit=1)[0]
    judged = Rewards(tasks=[CLOSED]).score([*rows, other], [*completions, Completion(other.answer)])
    assert [j.value for j in judged] == [1.0, 0.0, None]


def test_every_row_of_every_task_fits_its_task():
    for name in EMBEDDED:
        rows = rows_of(name, ANY)
        judged = Rewards().score(rows, [Completion(row.answer) for row in rows])
        assert all(j.value is not None and j.value > 1 - 1e-5 for j in judged), name


def test_no_row_fits_a_task_whose_targets_have_another_form():
    for name in ("general_mini/lists", "sns_mini/mrc_simple", "sns_mini/gender"):
        rows = [replace(row, task=name) for row in rows_of("sns_mini/taxonomy_multiple", ANY)]
        judged = Rewards().score(rows, [Completion(row.answer) for row in rows])
        assert {j.value for j in judged} == {None}, name


def test_rewards_can_be_pickled():
    rewards = Rewards(shaping=Shaping(pattern=0.25), weights={CLOSED: 2.0}, ends=(7,))
    again = pickle.loads(pickle.dumps(rewards))
    assert again.score(*gold_and_wrong(CLOSED)) == rewards.score(*gold_and_wrong(CLOSED))
    assert again.__name__ == rewards.__name__ == "redone"


# --- what a model wrote -----------------------------------------------------------------------------


def test_thinking_is_stripped_from_raw_text():
    (row, _), _ = gold_and_wrong(CLOSED)
    right, only_thought = f"<think>Not so sure.</think>{row.answer}", f"<think>{row.answer}"
    thought, unclosed, unseen = Rewards().score(
        [row] * 3, [right, RawAnswer(only_thought, cut=True), f"thought unseen</think>{row.answer}"]
    )
    assert (thought.value, unseen.value) == (1.0, 1.0)
    assert (unclosed.value, unclosed.failure) == (0.0, "truncated")


def test_a_completion_of_a_backend_is_taken_as_it_is():
    (row, _), _ = gold_and_wrong(CLOSED)
    (judged,) = Rewards().score([row], [Completion("", "length", thinking=row.answer)])
    assert (judged.value, judged.failure) == (0.0, "truncated")


def test_as_a_reward_function_of_trl():
    rows, completions = gold_and_wrong(CLOSED)
    columns = columns_of(rows)
    rewards = Rewards(shaping=Shaping(length=1.0, max_tokens=10, buffer=5), ends=(99,))
    given = rewards(
        prompts=[column["prompt"] for column in columns],
        completions=[[{"role": "assistant", "content": c.text}] for c in completions],
        completion_ids=[[1] * 7 + [99], [1] * 10],
        row=[column["row"] for column in columns],
        task=[column["task"] for column in columns],
        trainer_state=None,
    )
    assert given == pytest.approx([1.0 - 3 / 5, 0.0 - 1.0])


def test_a_wrong_task_column_gives_none():
    rows, completions = gold_and_wrong(CLOSED)
    texts = [c.text for c in completions]
    assert Rewards()([""] * 2, texts, row=rows, task=[CLOSED, WORDS]) == [1.0, None]


# --- services -----------------------------------------------------------------------------------------


class Box:
    """A sandbox that runs nothing: a program passes if it holds the right line."""

    identity = "box"

    def run(self, program, tests, *, seconds=10.0):
        return Outcome(None if "return 2 * n" in program else "failed")

    def run_many(self, programs, *, seconds=10.0):
        return [self.run(*program) for program in programs]


@pytest.fixture
def program_row(tmp_path, monkeypatch):
    pytest.importorskip("lm_eval")
    from redone.tasks.general import definitions

    problem = {
        "task_id": "own/0",
        "prompt": 'def double(n):\n    """Twice n."""\n',
        "canonical_solution": "    return 2 * n\n",
        "test": "def check(candidate):\n    assert candidate(2) == 4\n",
        "entry_point": "double",
    }
    (tmp_path / "humaneval.jsonl").write_text(json.dumps(problem) + "\n")
    (tmp_path / "mirror.toml").write_text(
        '[[dataset]]\nhub = "openai/openai_humaneval"\nfiles = { test = "humaneval.jsonl" }\n'
    )
    monkeypatch.setenv("REDONE_MIRROR", str(tmp_path))
    definitions.definition.cache_clear()
    task = by_name("lm_eval:humaneval")
    (sample,) = samples(task, tmp_path)
    return replace(row_of(task, sample), messages=({"role": "user", "content": "Double."},))


def test_programs_are_judged_in_the_sandbox(program_row):
    texts = ["    return 2 * n\n", "    return n\n"] * 6
    judged = Rewards(Services(sandbox=Box())).score([program_row] * 12, texts)
    assert [j.value for j in judged] == [1.0, 0.0] * 6
    assert TASKS["lm_eval:humaneval"].reward == "sandbox"


def test_without_a_sandbox_programs_have_no_reward(program_row):
    assert Rewards().score([program_row], ["    return 2 * n\n"])[0].reward is None


def test_rewards_with_the_real_sandbox_can_be_pickled(program_row):
    from redone.harness.sandbox.service import ForkSandbox

    with closing(ForkSandbox(workers=2)) as sandbox:
        again = pickle.loads(pickle.dumps(Rewards(Services(sandbox=sandbox))))
        with closing(again.services.sandbox) as other:
            assert other.identity == sandbox.identity
            judged = again.score([program_row] * 2, ["    return 2 * n\n", "    return n\n"])
            assert [j.value for j in judged] == [1.0, 0.0]


# --- what lets a group teach ----------------------------------------------------------------------------


def test_every_kind_of_reward_has_a_spread():
    assert set(SPREAD) == {task.reward for task in TASKS.values()}


def test_a_full_stop_is_no_difference_in_a_translation_and_a_word_is():
    rows = [row for row in rows_of(WORDS, ANY) if len(row.answer.split()) > 5]

    def lost(change):
        judged = Rewards().score(rows, [Completion(change(row.answer)) for row in rows])
        return median(1 - j.value for j in judged)

    marks, words = lost(lambda text: text.rstrip(".!?")), lost(lambda text: text.rpartition(" ")[0])
    assert marks < SPREAD["metric"] < words
