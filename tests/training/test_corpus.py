"""Rows to learn from: where they come from, how they are kept, and what is wrong with bad ones."""

import json
from pathlib import Path

import pytest
from corpora import LABELS, row, write_tweets

from redone.tasks.errors import BadRow, MissingData, RedoneError
from redone.tasks.registry import by_name, find
from redone.tasks.schema import Completion, Services
from redone.training.corpus.sources import (
    generated_rows,
    own_rows,
    read_corpus,
    registry_rows,
    trainable_tasks,
    write_corpus,
)
from redone.training.rewards import Rewards, reasonable
from redone.training.rows import TrainingRow

GOOD = {
    "id": "a",
    "task": "tweeteval/irony",
    "question": "Tweet: what a day\nIs this tweet ironic? Answer:",
    "answer": "Yes",
    "target": "irony",
}


def written(tmp_path, *records):
    path = tmp_path / "corpus.jsonl"
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in records), "utf-8")
    return path


# --- sources -------------------------------------------------------------------------------------


def test_train_splits_of_the_registry_become_rows(tmp_path):
    tasks = [by_name(f"tweeteval/{name}") for name in LABELS]
    rows = list(registry_rows(tasks, write_tweets(tmp_path)))
    assert len(rows) == 5 * 200 and len({r.id for r in rows}) == len(rows)
    assert {r.task for r in rows} == {t.name for t in tasks}
    assert not any(r.general for r in rows)
    # Every answer is worth 1 to its task, and what is asked is what the evaluation asks.
    assert {j.value for j in Rewards().score(rows, [r.answer for r in rows])} == {1.0}
    first = rows[0]
    assert first.messages[0]["role"] == "system" and first.fields["text"] in str(first.messages)
    assert first.tags["label"] == first.target and len(first.cluster) == 16


def test_general_rows_are_made_from_any_seed_and_carry_rationales():
    rows = list(generated_rows(count=12, seed=5))
    assert len(rows) == 8 * 12 and all(r.general for r in rows)
    assert {j.value for j in Rewards().score(rows, [r.answer for r in rows])} == {1.0}
    reasoned = [r for r in rows if r.rationale]
    # Behind a rationale the task still reads the answer; where it could not, there is none.
    assert {r.task for r in reasoned} == {
        f"general_mini/{name}" for name in ("facts", "word_problems", "numerals", "stories")
    }
    judged = Rewards().score(reasoned, [r.learnt(True) for r in reasoned])
    assert {j.value for j in judged} == {1.0}
    assert list(generated_rows("animals", 5, 12)) == [
        r for r in rows if r.tags["family"] == "animals"
    ]


def test_generated_rows_of_seed_0_are_the_train_partition_of_the_registry():
    facts = by_name("general_mini/facts")
    assert list(registry_rows([facts], None)) == list(generated_rows("animals"))


def test_tasks_without_rows_to_train_on_are_refused(tmp_path):
    names = [task.name for task in trainable_tasks()]
    assert "tweeteval/irony" in names and "general_mini/facts" in names
    assert "tweeteval/sentiment" not in names and "sns_mini/ner" not in names
    with pytest.raises(RedoneError, match="tweeteval/sentiment is held out"):
        list(registry_rows(find(None, "tweeteval/sentiment"), tmp_path))
    with pytest.raises(RedoneError, match="sns_mini/ner has no train split.*tweeteval/irony"):
        list(registry_rows(find(None, "sns_mini/ner"), tmp_path))
    with pytest.raises(RedoneError, match="'facts' is for evaluation only"):
        list(generated_rows("facts"))
    with pytest.raises(MissingData, match="redone tasks fetch tweeteval"):
        list(registry_rows(find(None, "tweeteval/irony"), tmp_path))


def test_own_files_are_put_together_and_ids_differ_across_them(tmp_path):
    one, two = written(tmp_path, GOOD), tmp_path / "two.jsonl"
    write_corpus([row(1)], two)
    assert [r.id for r in own_rows([one, two])] == ["a", "tweeteval/irony/1"]
    with pytest.raises(BadRow, match="'a' is in another corpus file already"):
        own_rows([one, one])


# --- the format ----------------------------------------------------------------------------------


def test_a_corpus_read_again_is_the_same(tmp_path):
    rows = [*generated_rows(count=6), row(1), row(2, weight=2.5, general=True)]
    write_corpus(rows, tmp_path / "c.jsonl")
    assert read_corpus(tmp_path / "c.jsonl") == rows
    assert all(TrainingRow.from_json(r.to_json()) == r for r in rows)


def test_a_question_is_given_in_one_of_three_ways(tmp_path):
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "And this?"},
        {"role": "assistant", "content": "Yes"},
        {"role": "user", "content": "What a day"},
    ]
    plain = {k: v for k, v in GOOD.items() if k != "question"}
    asked, told, rendered = read_corpus(
        written(
            tmp_path,
            GOOD,
            plain | {"id": "b", "messages": turns},
            plain | {"id": "c", "fields": {"text": "what a day"}},
        )
    )
    assert asked.messages == ({"role": "user", "content": GOOD["question"]},)
    assert told.messages == tuple(turns)
    # Without either the task's own prompt shows the fields, as in an evaluation.
    assert rendered.messages[-1]["content"].startswith("Tweet: what a day\n")
    assert by_name("tweeteval/irony").prompts["en"].system == rendered.messages[0]["content"]


def test_general_tasks_make_general_rows_unless_the_row_says_otherwise(tmp_path):
    facts = {
        "id": "f",
        "task": "general_mini/facts",
        "question": "Name the capital of France: Rome or Paris?",
        "answer": "Paris",
    }
    own, other, tweet = read_corpus(
        written(tmp_path, facts, facts | {"id": "g", "general": False}, GOOD)
    )
    assert own.general and not other.general and not tweet.general


def test_a_row_without_a_target_is_for_sft_only(tmp_path):
    (untargeted,) = read_corpus(written(tmp_path, {**GOOD, "target": None, "answer": "who knows"}))
    assert not untargeted.judgeable
    with pytest.raises(RedoneError, match="Row 'a' of tweeteval/irony has no target.*SFT only"):
        untargeted.sample()


@pytest.mark.parametrize("fields", [{"txt": "x"}, {"text": ""}])
def test_a_field_that_the_prompt_shows_is_asked_for(tmp_path, fields):
    row = {name: value for name, value in GOOD.items() if name != "question"} | {"fields": fields}
    told = r"field 'fields\.text': the prompt of tweeteval/irony shows text"
    with pytest.raises(BadRow, match=told):
        read_corpus(written(tmp_path, row))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"id": ""}, "field 'id': a text is expected"),
        ({"id": 7}, "field 'id': a text is expected"),
        ({"task": "tweeteval/ironie"}, "field 'task'.*Did you mean 'tweeteval/irony'"),
        ({"task": "tweeteval/sentiment"}, "field 'task': tweeteval/sentiment is held out"),
        ({"answer": " "}, "field 'answer': a text is expected"),
        ({"answer": "No"}, "field 'answer': tweeteval/irony counts it as worth 0, not 1"),
        ({"target": "ironic"}, "field 'target': tweeteval/irony cannot score"),
        ({"target": ["a", {}]}, "field 'target': tweeteval/irony cannot score"),
        ({"rationale": 3}, "field 'rationale': a text is expected, not a number"),
        ({"language": "English"}, "field 'language': 'English' is no ISO 639 code"),
        ({"weight": 0}, "field 'weight': a number above 0"),
        ({"weight": True}, "field 'weight': a number above 0"),
        ({"general": "yes"}, "field 'general': true or false"),
        ({"fields": []}, "field 'fields': an object is expected, not a list"),
        ({"tags": {"label": 1}}, "field 'tags': an object of texts"),
        ({"cluster": "12"}, "field 'cluster': 16 hexadecimal digits"),
        ({"anser": "Yes"}, "Unknown field 'anser'. Did you mean 'answer'"),
        ({"messages": []}, "field 'question': `messages` is there too"),
        ({"question": ""}, "field 'question': a text is expected"),
    ],
)
def test_a_bad_row_is_told_by_file_row_and_field(tmp_path, change, told):
    path = written(tmp_path, GOOD | {"id": "fine"}, GOOD | change)
    with pytest.raises(BadRow, match=rf"corpus\.jsonl, row 2.*{told}"):
        read_corpus(path)


@pytest.mark.parametrize(
    ("turns", "told"),
    [
        ("Hello", "field 'messages': a list of turns"),
        ([{"role": "user"}], r"field 'messages\[0\]': an object of `role` and `content`"),
        ([{"role": "tool", "content": "x"}], r"field 'messages\[0\]': 'tool' is not allowed here"),
        ([{"role": "user", "content": " "}], r"field 'messages\[0\]': the content"),
        ([{"role": "assistant", "content": "x"}], "the last turn must be the user's"),
    ],
)
def test_bad_turns_are_told(tmp_path, turns, told):
    plain = {k: v for k, v in GOOD.items() if k != "question"}
    with pytest.raises(BadRow, match=told):
        read_corpus(written(tmp_path, plain | {"messages": turns}))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "row 2: not valid JSON"),
        ("[]", "row 2: an object is expected, not a list"),
        (json.dumps(GOOD), "row 2, field 'id': 'a' is the id of row 1 already"),
    ],
)
def test_bad_lines_are_told(tmp_path, line, told):
    with pytest.raises(BadRow, match=told):
        read_corpus(written(tmp_path, GOOD, line))
    with pytest.raises(MissingData, match="cannot be read"):
        read_corpus(tmp_path / "nowhere.jsonl")


# --- rationales ----------------------------------------------------------------------------------


def test_with_a_rationale_reasons_are_asked_for_and_come_first():
    (plain, *_) = generated_rows("remainders", count=1)
    assert plain.asked(False) == plain.messages
    assert plain.asked(True)[-1]["content"].startswith(plain.messages[-1]["content"])
    assert "reason" in plain.asked(True)[-1]["content"].lower()
    assert plain.learnt(True) == f"{plain.rationale}\n\nAnswer: {plain.answer}"
    assert plain.learnt(False) == plain.answer
    assert row(1).learnt(True) == row(1).answer
    chinese = next(r for r in generated_rows("remainders", count=3) if r.language == "zh")
    assert chinese.learnt(True).endswith(f"答案：{chinese.answer}")


def test_a_rationale_that_hides_the_answer_is_refused(tmp_path):
    (copying, *_) = generated_rows("copying", count=1)
    assert copying.rationale == "" and not reasonable(copying)
    record = json.loads(copying.to_json()) | {"rationale": "I copy it letter by letter."}
    with pytest.raises(BadRow, match="field 'rationale': .* cannot parse the answer behind it"):
        read_corpus(written(tmp_path, record))


def test_tweets_could_be_reasoned_about_although_they_have_no_rationale():
    assert reasonable(row(1)) and row(1).rationale == ""


def test_a_row_is_judged_as_the_evaluation_judges_its_sample():
    one = row(3)
    scoring = by_name(one.task).scorings["corrected"]
    score = scoring.score(one.sample(), [Completion("Yes, it is.")], Services())
    assert Rewards().score([one], ["Yes, it is."])[0].value == score.value == 1.0
    assert one.sample().partition == one.sample().split == "train"


def test_the_rows_that_the_documentation_shows_can_be_read(tmp_path):
    text = (Path(__file__).parents[2] / "docs/corpus.md").read_text("utf-8")
    shown = [line.strip() for line in text.splitlines() if line.startswith('    {"id"')]
    tweet, pears = read_corpus(written(tmp_path, *shown))
    assert tweet.judgeable and tweet.messages[0]["role"] == "system"
    assert pears.general and pears.rationale and reasonable(pears)
