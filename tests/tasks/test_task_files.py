"""A task is a file: every kind of answer, and what is said about a file that is wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from redone.tasks.check import check
from redone.tasks.errors import RedoneError
from redone.tasks.registry import find, of_run, record_of
from redone.tasks.schema import Completion, Sample, Score, Services
from redone.tasks.sources import samples
from redone.tasks.task import Task
from redone.tasks.task_file.draft import draft, write_draft

EXAMPLES = Path(__file__).parents[2] / "examples"


def task_file(folder: Path, answer: str, rows: Sequence[dict[str, Any]], **parts: str) -> Task:
    """The task of a file with this `[answer]`, over these rows."""
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    prompt = parts.get("prompt", 'user = "Post: {text}"')
    (folder / "task.toml").write_text(
        'name = "acme/task"\n'
        f'[data]\ntest = "rows.jsonl"\n{parts.get("data", "")}\n'
        f"[prompt]\n{prompt}\n"
        f"[answer]\n{answer}\n"
    )
    return find(None, str(folder / "task.toml"))[0]


def score(task: Task, text: str, row: int = 0, services: Services | None = None) -> Score:
    """The corrected score of one answer to one row."""
    sample = by_row(task)[row]
    scoring = task.scorings["corrected"]
    return scoring.score(sample, [Completion(text)], services or Services())


def by_row(task: Task) -> list[Sample]:
    """The samples in file order."""
    return list(samples(task, Path()))


def figures(task: Task, answers: Sequence[str]) -> dict[str, float]:
    """Every metric, in percent, of one answer per row."""
    stats = [score(task, text, row).stats for row, text in enumerate(answers)]
    sums = np.sum(stats, axis=0)
    return {m.name: float(m.from_sums(sums)) for m in task.scorings["corrected"].metrics}


# --- every kind of answer ------------------------------------------------------------------------

POSTS = [{"text": f"post {n}", "topic": topic} for n, topic in enumerate("aab" * 4)]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_an_example_is_short_and_passes_its_check(path: Path):
    assert len(path.read_text().splitlines()) <= 25
    (task,) = find(None, str(path))
    report = check(task, path.parent, fuzz=200)
    assert report.items == 20 and not report.problems


def test_labels_are_those_of_the_data_and_an_answer_may_be_a_sentence(tmp_path: Path):
    rows = [{"text": "x", "topic": topic} for topic in ("food", "travel", "pets")]
    task = task_file(tmp_path, 'kind = "label"\nfield = "topic"', rows)
    assert score(task, "The topic is travel.", 1).value == 1
    assert score(task, "food", 1).failure == "wrong"
    assert score(task, "no idea", 1).failure == "format"


def test_aliases_stand_for_their_label_in_data_and_answers(tmp_path: Path):
    answer = 'kind = "label"\nfield = "topic"\nlabels = { food = ["meal"], travel = [] }'
    task = task_file(tmp_path, answer, [{"text": "x", "topic": "meal"}])
    assert by_row(task)[0].target == "food"
    assert score(task, "meal").value == score(task, "food").value == 1


def test_an_exact_label_is_the_whole_answer(tmp_path: Path):
    answer = 'kind = "label"\nfield = "topic"\nmatch = "exact"'
    task = task_file(tmp_path, answer, POSTS)
    assert score(task, " a\n").value == 1
    assert score(task, "It is a.").failure == "format"


def test_label_metrics_are_those_of_scikit_learn(tmp_path: Path):
    metrics = pytest.importorskip("sklearn.metrics")
    names = ("accuracy", "macro_f1", "micro_f1", "macro_recall", "mcc")
    answer = f'kind = "label"\nfield = "topic"\nmetrics = {json.dumps(names)}'
    gold, said = list("aabbccabcc"), list("abbbcaab") + ["?", "?"]
    task = task_file(tmp_path, answer, [{"text": str(n), "topic": g} for n, g in enumerate(gold)])
    ours = figures(task, said)
    labels = ["a", "b", "c"]
    theirs = {
        "accuracy": metrics.accuracy_score(gold, said),
        "macro_f1": metrics.f1_score(gold, said, labels=labels, average="macro"),
        "micro_f1": metrics.f1_score(gold, said, labels=labels, average="micro"),
        "macro_recall": metrics.recall_score(gold, said, labels=labels, average="macro"),
        "mcc": metrics.matthews_corrcoef(gold, said),
    }
    assert ours == pytest.approx({name: 100 * value for name, value in theirs.items()})


def test_a_set_of_labels_may_be_a_list_or_text_between_separators(tmp_path: Path):
    answer = 'kind = "labels"\nfield = "tags"\nmetrics = ["micro_f1", "exact_match"]'
    rows = [{"text": "x", "tags": ["tea", "city"]}, {"text": "y", "tags": "tea, food"}]
    task = task_file(tmp_path, answer, rows)
    assert by_row(task)[1].target == ["tea", "food"]
    assert figures(task, ["city, tea", "tea"]) == pytest.approx(
        {"micro_f1": 100 * 2 * 3 / 7, "exact_match": 50}
    )


@pytest.mark.parametrize("gold", ["B", "green", 1, "b"])
@pytest.mark.parametrize(
    "said", ["B", "(B)", "b)", "B. green", "The answer is B.", "green", "**B**"]
)
def test_a_choice_may_be_its_letter_its_index_or_its_text(tmp_path: Path, gold: Any, said: str):
    answer = 'kind = "choice"\nfield = "gold"\noptions = "options"'
    rows = [{"text": "color?", "options": ["red", "green", "blue"], "gold": gold}]
    task = task_file(tmp_path, answer, rows, prompt='user = "{text}\\n{choices}"')
    assert score(task, said).value == 1
    assert score(task, "A").failure == "wrong"


def test_a_gold_cell_that_means_two_options_is_refused_unless_the_file_says_which(tmp_path: Path):
    answer = 'kind = "choice"\nfield = "gold"\noptions = "options"'
    rows = [{"text": "how many?", "options": ["1", "2", "3"], "gold": "1"}]
    prompt = 'user = "{text}\\n{choices}"'
    with pytest.raises(RedoneError, match="the text and the index of different options"):
        task_file(tmp_path, answer, rows, prompt=prompt)
    task = task_file(tmp_path, f'{answer}\ngold_as = "index"', rows, prompt=prompt)
    assert by_row(task)[0].target == "B"


@pytest.mark.parametrize(
    ("said", "letter"),
    [
        ("A. red\nB. green\nC. blue\nAnswer: B", "B"),
        ("A. red B. green C. blue\n答案：B", "B"),
        ("A: no. The answer is B.", "B"),
        ("B. green, because A is too warm", "B"),
        ("A) the answer is green", "B"),
        ("A) or B)", None),
        ("A) B) C)", None),
        ("A、B、C", None),
        ("The answer is a dog", None),
    ],
)
def test_a_choice_among_repeated_options(tmp_path: Path, said: str, letter: str | None):
    answer = 'kind = "choice"\nfield = "gold"\noptions = "options"'
    rows = [{"text": "color?", "options": ["red", "green", "blue"], "gold": "B"}]
    task = task_file(tmp_path, answer, rows, prompt='user = "{text}\\n{choices}"')
    found = score(task, said)
    assert (found.value, found.failure) == ((1, None) if letter else (0, "format"))


def test_the_prompt_shows_the_lettered_options(tmp_path: Path):
    answer = 'kind = "choice"\nfield = "gold"\noptions = ["A", "B"]'
    rows = [{"text": "color?", "A": "red", "B": "green", "gold": "A"}]
    task = task_file(tmp_path, answer, rows, prompt='user = "{text}\\n{choices}"')
    assert by_row(task)[0].fields["choices"] == "A. red\nB. green"


@pytest.mark.parametrize("gold", [True, "yes", "1", "是", "True"])
def test_yes_and_no_in_many_words(tmp_path: Path, gold: Any):
    task = task_file(tmp_path, 'kind = "yes_no"\nfield = "ok"', [{"text": "x", "ok": gold}])
    assert score(task, "Yes, it does.").value == 1
    assert score(task, "否").failure == "wrong"


def test_a_number_within_its_tolerance(tmp_path: Path):
    answer = 'kind = "number"\nfield = "n"\ntolerance = 0.5\nmetrics = ["accuracy", "mae"]'
    task = task_file(tmp_path, answer, [{"text": "x", "n": "1,200"}, {"text": "y", "n": 3}])
    assert score(task, "about 1200.4 euros").value == 1
    assert figures(task, ["1210", "3"]) == pytest.approx({"accuracy": 50, "mae": 5})


def test_the_best_of_several_references_counts(tmp_path: Path):
    answer = 'kind = "text"\nfield = "title"\nmetrics = ["rouge_l", "exact_match"]'
    task = task_file(tmp_path, answer, [{"text": "x", "title": ["a red kite", "the kite is red"]}])
    assert score(task, "The kite is red").value == 1
    assert 0 < score(task, "a kite").value < 1


def test_the_order_of_a_list_counts_where_it_should(tmp_path: Path):
    answer = 'kind = "list"\nfield = "steps"\nordered = true'
    task = task_file(tmp_path, answer, [{"text": "x", "steps": ["boil", "steep", "pour"]}])
    assert score(task, '["boil", "steep", "pour"]').value == 1
    assert score(task, '["pour", "steep", "boil"]').value == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    "said",
    [
        '[{"text": "Ghent", "type": "place"}, {"text": "Ana", "type": "person"}]',
        'Here you go: {"person": ["Ana"], "place": ["Ghent"]}',
    ],
)
def test_spans_in_either_form(tmp_path: Path, said: str):
    gold = [{"text": "Ana", "type": "person"}, {"text": "Ghent", "type": "place"}]
    task = task_file(tmp_path, 'kind = "spans"\nfield = "s"', [{"text": "x", "s": gold}])
    assert score(task, said).value == 1
    assert score(task, '[{"text": "Ana", "type": "place"}]').value == 0


def test_a_field_of_an_object_is_scored_by_its_own_kind(tmp_path: Path):
    answer = (
        'kind = "json"\nfield = "o"\nmetrics = ["field_score", "field:n"]\n'
        'fields.n = { kind = "number", tolerance = 1 }\nfields.c = { kind = "yes_no" }'
    )
    task = task_file(tmp_path, answer, [{"text": "x", "o": {"n": 5, "c": True}}])
    assert score(task, '```json\n{"n": 6, "c": "yes"}\n```').value == 1
    assert score(task, '{"n": 9, "c": "yes"}').value == 0.5
    assert score(task, "n is 5").failure == "format"


@pytest.mark.parametrize(
    ("mode", "said", "value"),
    [("all", "tea in LISBON", 1), ("all", "tea", 0), ("any", "tea", 1), ("none", "tea", 0)],
)
def test_terms_that_the_answer_contains(tmp_path: Path, mode: str, said: str, value: int):
    answer = f'kind = "contains"\nfield = "terms"\nmode = "{mode}"'
    task = task_file(tmp_path, answer, [{"text": "x", "terms": ["tea", "Lisbon"]}])
    assert score(task, said).value == value


def test_the_last_match_of_a_pattern_counts(tmp_path: Path):
    answer = "kind = 'regex'\nfield = 'gold'\npattern = 'Answer: (\\w+)'"
    task = task_file(tmp_path, answer, [{"text": "x", "gold": "tea"}])
    assert score(task, "Answer: milk. No: Answer: TEA").value == 1
    assert score(task, "tea").failure == "format"


def test_a_pattern_that_never_ends_is_stopped(tmp_path: Path):
    answer = "kind = 'regex'\nfield = 'gold'\npattern = '(a|a)*(aa|a)*(a|aa)*c'"
    task = task_file(tmp_path, answer, [{"text": "x", "gold": "tea"}])
    assert score(task, "a" * 5_000).failure == "format"


def test_a_program_is_not_scored_without_the_sandbox(tmp_path: Path):
    answer = 'kind = "code"\nfield = "code"\ntests = "tests"'
    rows = [{"text": "x", "code": "def f(): return 1", "tests": "assert f() == 1"}]
    task = task_file(tmp_path, answer, rows)
    assert not score(task, "def f(): return 1").scored
    assert task.needs() == ("sandbox",)


# --- prompts -------------------------------------------------------------------------------------


def requested(task: Task, row: int = 0) -> list[tuple[str, str]]:
    """The turns that a model gets for a row of a task that writes its own requests."""
    sample = by_row(task)[row]
    assert task.requests is not None
    (request,) = task.requests(sample, task.prompts["en"])
    assert not isinstance(request.prompt, str)
    return [(turn["role"], turn["content"]) for turn in request.prompt]


def test_few_shot_examples_come_from_the_train_rows(tmp_path: Path):
    train = [{"text": f"train {n}", "topic": "a"} for n in range(5)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in train))
    prompt = 'user = "{text}"\nsystem = "Topics: a, b"\nshots = 2'
    answer = 'kind = "label"\nfield = "topic"'
    task = task_file(tmp_path, answer, POSTS, prompt=prompt, data='train = "train.jsonl"')
    roles = [role for role, _ in requested(task)]
    assert roles == ["system", "user", "assistant", "user", "assistant", "user"]
    assert requested(task)[1][1].startswith("train ") and requested(task)[-1][1] == "post 0"


def test_an_example_is_in_the_samples_language_and_never_the_sample_itself(tmp_path: Path):
    rows = [
        {"text": f"{word} {n}", "topic": "a", "lang": lang}
        for lang, word in (("en", "post"), ("zh", "帖子"))
        for n in range(3)
    ]
    prompt = 'user = "Post: {text}"\nshots = 2\n[prompt.languages.zh]\nuser = "帖子：{text}"'
    data = 'train = "rows.jsonl"\nlanguage = "lang"'
    task = task_file(tmp_path, 'kind = "label"\nfield = "topic"', rows, prompt=prompt, data=data)
    samples_ = by_row(task)
    assert task.requests is not None
    for sample in samples_:
        head = "帖子：" if sample.language == "zh" else "Post: "
        (request,) = task.requests(sample, task.prompts[sample.language])
        asked = [turn["content"] for turn in request.prompt if turn["role"] == "user"]
        assert len(asked) == len(set(asked)) == 3
        assert all(text.startswith(head) for text in asked)


CHAT = [
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": "hello"},
    {"role": "user", "content": "where?"},
    {"role": "assistant", "content": "Sintra"},
]


def test_the_last_turn_of_a_conversation_is_answered(tmp_path: Path):
    rows = [{"chat": CHAT[:3], "gold": "Sintra"}]
    prompt = 'messages = "chat"\nsystem = "Be kind."'
    task = task_file(tmp_path, 'kind = "text"\nfield = "gold"', rows, prompt=prompt)
    assert requested(task) == [
        ("system", "Be kind."),
        *((t["role"], t["content"]) for t in CHAT[:3]),
    ]
    assert score(task, "Sintra").value == 1


def test_each_turn_of_the_assistant_is_a_sample_where_that_is_wanted(tmp_path: Path):
    prompt = 'messages = "chat"\nturns = "each"'
    task = task_file(tmp_path, 'kind = "text"\nfield = "gold"', [{"chat": CHAT}], prompt=prompt)
    assert [sample.target for sample in by_row(task)] == [["hello"], ["Sintra"]]
    assert [len(requested(task, row)) for row in (0, 1)] == [1, 3]


def test_a_conversation_must_end_with_the_turn_to_answer(tmp_path: Path):
    rows = [{"chat": CHAT, "gold": "Sintra"}]
    with pytest.raises(RedoneError, match="ends with the assistant's turn"):
        task_file(tmp_path, 'kind = "text"\nfield = "gold"', rows, prompt='messages = "chat"')


def test_a_place_may_have_any_letters_and_stand_for_a_column_with_spaces(tmp_path: Path):
    rows = [{"文本": "茶", "the post": "x", "topic": "a"}]
    prompt = 'user = "{文本} {the_post} {not a place}"'
    task = task_file(tmp_path, 'kind = "label"\nfield = "topic"', rows, prompt=prompt)
    assert by_row(task)[0].fields == {"文本": "茶", "the_post": "x"}


# --- what a run keeps ----------------------------------------------------------------------------


def test_a_stored_task_scores_alike_without_its_file(tmp_path: Path):
    task = task_file(tmp_path, 'kind = "label"\nfield = "topic"\nmetrics = ["macro_f1"]', POSTS)
    record = json.loads(json.dumps(record_of(task)))
    sample = by_row(task)[0]
    for path in tmp_path.iterdir():
        path.unlink()
    stored = of_run(task.name, {task.name: record})
    assert (stored.version, stored.chance) == (task.version, task.chance)
    for text in ("a", "b", "nothing"):
        given = ([Completion(text)], Services())
        scores = [t.scorings["corrected"].score(sample, *given) for t in (task, stored)]
        assert scores[0] == scores[1]


def test_the_version_changes_with_what_is_asked_and_how_it_is_scored(tmp_path: Path):
    base = task_file(tmp_path, 'kind = "label"\nfield = "topic"', POSTS).version
    exact = task_file(tmp_path, 'kind = "label"\nfield = "topic"\nmatch = "exact"', POSTS).version
    other = task_file(
        tmp_path, 'kind = "label"\nfield = "topic"', POSTS, prompt='user = "{text}?"'
    ).version
    assert len({base, exact, other}) == 3


# --- files that are wrong ------------------------------------------------------------------------

LABEL = 'kind = "label"\nfield = "topic"'


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ('kind = "labl"\nfield = "topic"', "answer.kind` is 'labl'; expected one of label, labels"),
        ('kind = "label"\nfeild = "topic"', "'answer.feild' is unknown. Did you mean 'field'"),
        ('kind = "label"\nfield = "topik"', "row 1: Unknown column 'topik'. Did you mean 'topic'"),
        (f'{LABEL}\nmetrics = ["f1"]', "Unknown metric of answers of kind 'label': 'f1'"),
        (f'{LABEL}\nlabels = ["a"]', "row 3, column 'topic': the label 'b' is not one of 'a'"),
        ("kind = 'regex'\nfield = 'topic'\npattern = '('", "no regular expression"),
        ('kind = "number"\nfield = "topic"', "row 1, column 'topic': a number is expected"),
        ('kind = "label" field = "topic"', "not valid TOML"),
        ('kind = "number"\nfield = "text"\nrelative = true', "a number is expected, not True"),
        (f'{LABEL}\nmetrics = "accuracy"', "a list of texts is expected, not 'accuracy'"),
        (f'{LABEL}\nlabels = {{ a = ["x"], b = ["x"] }}', "'x' means both 'a' and 'b'"),
    ],
)
def test_a_mistake_in_the_answer_is_named_with_the_way_out(
    tmp_path: Path, answer: str, message: str
):
    with pytest.raises(RedoneError) as raised:
        task_file(tmp_path, answer, POSTS)
    assert message in str(raised.value)
    assert (
        "task.toml" in str(raised.value) or "rows.jsonl" in str(raised.value) or "metric" in message
    )


@pytest.mark.parametrize("value", ["", None])
def test_an_empty_gold_names_its_row(tmp_path: Path, value: Any):
    with pytest.raises(RedoneError, match=r"rows\.jsonl, row 2, column 'topic'"):
        task_file(tmp_path, LABEL, [{"text": "x", "topic": "a"}, {"text": "y", "topic": value}])


def test_a_place_without_a_column_is_named(tmp_path: Path):
    with pytest.raises(RedoneError, match="Unknown column 'txt'. Did you mean 'text'"):
        task_file(tmp_path, LABEL, POSTS, prompt='user = "{txt}"')


@pytest.mark.parametrize("path", ["../rows.jsonl", "/etc/passwd"])
def test_data_outside_the_folder_are_refused(tmp_path: Path, path: str):
    (tmp_path / "task.toml").write_text(
        f'name = "a/b"\n[data]\ntest = "{path}"\n[prompt]\nuser = "x"\n[answer]\n{LABEL}'
    )
    with pytest.raises(RedoneError, match="outside the folder of the task file"):
        find(None, str(tmp_path / "task.toml"))


def test_a_name_must_not_hide_a_built_in_task(tmp_path: Path):
    task_file(tmp_path, LABEL, POSTS)
    path = tmp_path / "task.toml"
    path.write_text(path.read_text().replace("acme/task", "sns_mini/ner"))
    with pytest.raises(RedoneError, match="'sns_mini/ner' is the name of a built-in task"):
        find(None, str(path))


def test_two_files_must_not_have_one_name(tmp_path: Path):
    task_file(tmp_path, LABEL, POSTS)
    (tmp_path / "other.toml").write_text((tmp_path / "task.toml").read_text())
    with pytest.raises(RedoneError, match="'acme/task' is that of .*other.toml too"):
        find(None, str(tmp_path))


# --- data files ----------------------------------------------------------------------------------


def from_csv(folder: Path, content: bytes, data: str = "") -> Task:
    """The task of a CSV file with these bytes."""
    (folder / "posts.csv").write_bytes(content)
    (folder / "task.toml").write_text(
        f'name = "a/b"\n[data]\ntest = "posts.csv"\n{data}\n[prompt]\nuser = "{{text}}"\n'
        f"[answer]\n{LABEL}"
    )
    return find(None, str(folder / "task.toml"))[0]


TABLE = 'text,topic\nCafé au lait,food\n"two\nlines, one cell",travel\n'


@pytest.mark.parametrize(
    ("content", "data"),
    [
        (TABLE.encode(), ""),
        (TABLE.encode("utf-8-sig"), ""),
        (TABLE.encode("utf-16"), ""),
        (TABLE.replace("\n", "\r\n").encode(), ""),
        (TABLE.encode("latin-1"), 'encoding = "latin-1"'),
    ],
)
def test_a_csv_file_in_many_encodings(tmp_path: Path, content: bytes, data: str):
    rows = by_row(from_csv(tmp_path, content, data))
    assert [row.fields["text"].splitlines()[0] for row in rows] == ["Café au lait", "two"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (TABLE.encode("latin-1"), "is not utf-8. Save the file as UTF-8, or add its encoding"),
        (b"text,topic\na,b,c\n", "row 1 (line 2): 3 cells, and the header has 2"),
        (b"text,text\na,b\n", "the header has the column 'text' twice"),
        (b"text,\na,b\n", "column 2 of the header has no name"),
        (b"", "is empty: a header line"),
        (b"text;topic\na;b\n", "Cells are separated by commas"),
        (b'text,topic\n"a,b\n', "Is a quote missing?"),
    ],
)
def test_a_broken_csv_file_names_the_place(tmp_path: Path, content: bytes, message: str):
    with pytest.raises(RedoneError) as raised:
        from_csv(tmp_path, content)
    assert message in str(raised.value) and "posts.csv" in str(raised.value)


def test_an_endless_cell_is_refused(tmp_path: Path):
    with pytest.raises(RedoneError, match="line 2: field larger than field limit"):
        from_csv(tmp_path, b'text,topic\n"' + b"x" * 50_000_000 + b'",a\n')


# --- a first task file ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "kind", "field"),
    [
        ([{"text": f"p {n}", "topic": "ab"[n % 2]} for n in range(20)], "label", "topic"),
        ([{"post": f"p {n}", "price": n % 4} for n in range(20)], "number", "price"),
        ([{"text": f"p {n}", "ok": "yes" if n % 2 else "no"} for n in range(9)], "yes_no", "ok"),
        ([{"text": f"p {n}", "tags": ["tea", "city"]} for n in range(9)], "labels", "tags"),
        ([{"text": f"p {n}", "out": {"city": f"c {n}"}} for n in range(9)], "json", "out"),
        (
            [{"text": f"p {n}", "reply": f"fine {n}, thanks {n * 7}"} for n in range(9)],
            "text",
            "reply",
        ),
        (
            [{"q": f"p {n}", "A": "x", "B": f"y {n}", "answer": "A"} for n in range(9)],
            "choice",
            "answer",
        ),
    ],
)
def test_a_first_task_file_guesses_the_answer_and_loads(
    tmp_path: Path, rows: list[dict[str, Any]], kind: str, field: str
):
    data, output = tmp_path / "rows.jsonl", tmp_path / "rows.toml"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = draft(data)
    write_draft(data, output, found)
    assert f"answer: column {field!r}, kind {kind} (" in found.guesses[0]
    (task,) = find(None, str(output))
    assert not check(task, tmp_path, fuzz=50).problems
