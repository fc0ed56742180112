"""Contamination: what repeats an evaluation item is found, what does not is not."""

import json
from pathlib import Path

import pytest

from redone.tasks.cli import main
from redone.tasks.contamination import EvaluationTexts, TrainingTexts, overlaps, training_texts
from redone.tasks.errors import BadRow, MissingData, RedoneError
from redone.tasks.registry import find
from redone.tasks.schema import PARTITIONS
from redone.tasks.sources import DataPaths, sourced

TASKS = find("sns-mini")
NOTE = find(tasks="sns_mini/taxonomy_single")[0]
ITEMS = list(sourced(NOTE, Path(), PARTITIONS))


def of(sample):
    return {(o.sample, o.kind) for o in found(sample)}


def found(*texts, answer=()):
    return list(overlaps([TrainingTexts(texts, answer)], EvaluationTexts([NOTE], Path())))


@pytest.mark.parametrize("sample, source", ITEMS, ids=[s.id for s, _ in ITEMS])
def test_every_item_is_found_in_every_disguise(sample, source):
    assert (sample.id, "exact") in of(source)
    assert (sample.id, "exact") in of(f"  {source.upper()}!!! 🎉")
    inside = f"Sort this post for me, please:\n{source}\nWhich category is it?"
    assert {o.kind for o in found(inside) if o.sample == sample.id} == {"near"}
    cut = source[: int(len(source) * 0.93)]
    assert sample.id in {o.sample for o in found(cut)}


def test_other_texts_of_the_same_kind_are_not(tmp_path):
    halves = [source[: len(source) // 2] for _, source in ITEMS]
    assert not found(*halves[:1])
    assert not found(
        "Post: my new tent kept us dry all week\nCandidates: Camping, Cooking\nCategory:"
    )
    assert not found("今天的晚饭：番茄炒蛋和米饭，十分钟搞定")


def test_an_answer_alone_is_no_item_but_may_hold_one():
    source = ITEMS[0][1]
    assert not [o for o in found("Write a post.", answer=[source]) if o.kind == "exact"]
    assert [o.kind for o in found("Write a post.", answer=[source])] == ["near"]


def test_a_sheet_of_all_tasks_finds_itself():
    items = EvaluationTexts(TASKS, Path())
    assert len(items) == 224
    for task in TASKS:
        for sample, source in sourced(task, Path(), PARTITIONS):
            assert sample.id in {o.sample for o in items.overlaps(1, TrainingTexts([source]), 0.8)}


def test_the_threshold_is_a_share():
    source = ITEMS[0][1]
    half = TrainingTexts([source[: len(source) // 2]])
    items = EvaluationTexts([NOTE], Path())
    assert list(overlaps([half], items, threshold=0.3))
    with pytest.raises(RedoneError, match="threshold of 0"):
        list(overlaps([], items, threshold=0))


def test_short_questions_are_found_as_they_are_asked():
    (facts,) = find(tasks="general_mini/facts")
    items = EvaluationTexts([facts], Path())
    for sample, _ in sourced(facts, Path(), PARTITIONS):
        row = TrainingTexts([sample.fields["question"]], ["an answer"])
        assert sample.id in {o.sample for o in items.overlaps(1, row, 0.8)}


def test_the_command_counts_names_rows_and_ends_with_1(tmp_path, capsys):
    train = tmp_path / "train.jsonl"
    rows = [
        {"question": "Is water wet?", "answer": "Yes"},
        {
            "messages": [
                {"role": "user", "content": ITEMS[3][1]},
                {"role": "assistant", "content": "a"},
            ]
        },
    ]
    train.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    out = tmp_path / "found.jsonl"
    assert main(["overlap", str(train), "--tasks", NOTE.name, "--output", str(out)]) == 1
    printed = capsys.readouterr().out
    assert f"{NOTE.name}: 1 exact, training rows 2" in printed
    assert json.loads(out.read_text())["row"] == 2
    train.write_text(json.dumps(rows[0]), "utf-8")
    assert main(["overlap", str(train)]) == 0


def test_a_row_told_in_fields_is_read_as_its_task_asks_it(tmp_path):
    sample = ITEMS[3][0]
    row = {"task": NOTE.name, "fields": dict(sample.fields), "answer": "a"}
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps(row), "utf-8")
    (texts,) = training_texts(path)
    assert sample.id in {o.sample for o in EvaluationTexts([NOTE], Path()).overlaps(1, texts, 0.8)}


@pytest.mark.parametrize(
    "line, told",
    [
        ("{", "row 1: not valid JSON"),
        ("[]", "row 1: an object is expected"),
        ('{"answer": "x"}', "row 1: none of question, prompt, text or messages"),
        ('{"messages": "x"}', "row 1, field 'messages': a list"),
        ('{"messages": [{"role": "user"}]}', "row 1, field 'messages': objects"),
    ],
)
def test_bad_rows_are_named(tmp_path, line, told):
    path = tmp_path / "train.jsonl"
    path.write_text(line, "utf-8")
    with pytest.raises(BadRow, match=told):
        list(training_texts(path))
    with pytest.raises(MissingData, match="cannot be read"):
        list(training_texts(tmp_path / "nowhere"))


# --- documents that a task wraps into prompts ----------------------------------------------------

INSTRUCTION = (
    "Read the following message, which somebody published on a social network, and decide which "
    "of the feelings in the list its writer shows most clearly. Answer with exactly one word from "
    "the list, in lower case, and write nothing else before or after it.\\n\\nMessage: "
)
POSTS = [
    f"{subject} {verb} {thing}"
    for subject, verb, thing in zip(
        ["my neighbour", "our old cat", "the bakery", "nobody", "that tram", "a small fox"] * 4,
        ["painted", "slept beside", "gave away", "believes", "missed", "carried off"] * 4,
        [f"the {c} {t}" for c in ("green", "paper", "winter", "quiet") for t in (
            "fence", "parcel", "loaves", "rumour", "junction", "mitten")],
        strict=True,
    )
]  # fmt: skip
DEFINITION = """
task: wrapped
dataset_path: own/posts
output_type: multiple_choice
test_split: test
doc_to_text: "%s{{post}}\\nFeeling:"
doc_to_choice: ["joy", "anger", "sadness"]
doc_to_target: feeling
metric_list: [{metric: acc}]
metadata: {version: 1}
"""


@pytest.fixture(scope="module")
def wrapped(tmp_path_factory):
    """A task of lm-eval's form: short posts in a long instruction."""
    folder = tmp_path_factory.mktemp("wrapped")
    rows = [
        {"post": post, "feeling": n % 3, "hint": "one of joy, anger and sadness, in lower case"}
        for n, post in enumerate(POSTS)
    ]
    (folder / "posts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "mirror.toml").write_text(
        '[[dataset]]\nhub = "own/posts"\nfiles = { test = "posts.jsonl" }\n'
    )
    (folder / "wrapped.yaml").write_text(DEFINITION % INSTRUCTION)
    data = DataPaths(folder, (folder,), folder)
    (task,) = find(None, "lm_eval:wrapped", data)
    return data, task, EvaluationTexts([task], folder)


@pytest.mark.parametrize(
    "form",
    [
        "{}",
        "Translate this into Latin:\n{}",
        "Is it rude to write “{}” to a friend?",
        "Summarise: {}\nOne sentence, please.",
        "She said {} and left, which is all that I know about the matter at this point.",
    ],
)
def test_a_short_post_is_found_under_any_instruction(wrapped, form):
    _, task, items = wrapped
    for sample, _ in list(sourced(task, wrapped[0].folder, PARTITIONS))[:5]:
        row = TrainingTexts([form.format(sample.fields["document"]["post"])], ["an answer"])
        assert sample.id in {o.sample for o in items.overlaps(1, row, 0.8)}


def test_what_all_documents_share_is_no_item(wrapped):
    _, _, items = wrapped
    for text in (
        f"{INSTRUCTION}we moved the chairs before the rain came\nFeeling:",
        "one of joy, anger and sadness, in lower case",
        "joy\nanger\nsadness",
        "",
    ):
        assert not items.overlaps(1, TrainingTexts([text], ["joy"]), 0.8)


def test_the_command_finds_rows_of_a_wrapped_task(wrapped, tmp_path, monkeypatch, capsys):
    data, _, _ = wrapped
    monkeypatch.setenv("REDONE_LM_EVAL_TASKS", str(data.include))
    monkeypatch.setenv("REDONE_MIRROR", str(data.mirrors[0]))
    train = tmp_path / "train.jsonl"
    rows = [{"question": f"Who wrote this? {post}", "answer": "a"} for post in POSTS[:5]]
    train.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["overlap", str(train), "--tasks", "lm_eval:wrapped"]) == 1
    assert "5 training rows overlap" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["so true lol", "wow", "今晚月色真美"])
def test_very_short_texts_are_found_where_they_stand_alone(text, monkeypatch):
    """Below a few letters a text is no item: everybody writes it."""
    from redone.tasks import contamination

    monkeypatch.setattr(contamination, "sourced", lambda *_: [(ITEMS[0][0], text)])
    items = EvaluationTexts([NOTE], Path())
    for form in ("Sort this post:\n{}", 'What does "{}" mean?', "Post: {}", "{}"):
        row = TrainingTexts([form.format(text)])
        assert bool(items.overlaps(1, row, 0.8)) == (len(text) > 3), form
    assert not items.overlaps(1, TrainingTexts([f"{text[:2]} is not what I meant at all"]), 0.8)
