"""redone-diagnose: a planted weakness comes out first, under its right name, with its slice."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from random import Random

import pyarrow.parquet as pq
import pytest

from redone.harness.diagnosis.cli import main
from redone.harness.diagnosis.diagnose import Question, diagnose
from redone.harness.diagnosis.record import load, save
from redone.harness.models.scripted import ScriptedModel
from redone.harness.progress import Progress
from redone.harness.results import write_results
from redone.harness.runner import Plan, ask, items_of, prepare
from redone.harness.scored import ScoredRun
from redone.harness.scores import judge
from redone.harness.store import RunFolder
from redone.tasks.registry import find
from redone.tasks.schema import Completion, Services
from redone.tasks.sources import characters, samples

GENDER, EXPLAIN = "sns_bench/gender", "sns_bench/query_corr_explain"
TOPIC, TAXONOMY = "sns_bench/query_corr_topic", "sns_bench/taxonomy_single"
NAMES = ",".join((GENDER, EXPLAIN, TOPIC, TAXONOMY))
KINDS = ("Baking", "Gardening", "Running", "Camping")


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """240 invented items of four tasks, half of them Chinese, with lengths from 20 to 400."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "sns-bench").mkdir()
    random = Random(0)

    def note(n):
        words = "".join(random.choices("abcdefgh ", k=random.randint(10, 380)))
        return f"笔记第{n}号 {words}" if n % 2 else f"Note number {n} {words}"

    def write(name, rows):
        (folder / f"sns-bench/Note-{name}.json").write_text(json.dumps(rows))

    def rows(answers, **fields):
        return [
            {"language": "zh" if n % 2 else "en", "answer": random.choice(answers)}
            | {field: make(n) for field, make in fields.items()}
            for n in range(240)
        ]

    write("Gender", rows(["Yes", "No"], content=note))
    write("QueryCorr-explain", rows(["Yes", "No"], sentence1=lambda n: "why?", sentence2=note))
    levels = ["-1", "0", "1", "2", "3"]
    write("QueryCorr-topic", rows(levels, content=lambda n: f"Query: q\nNote: t{n} {note(n)}"))
    write("Taxonomy-single", rows(KINDS, content=note, candidates=lambda n: ", ".join(KINDS)))
    return folder


def evaluate(path, data, answer, names=NAMES, **options):
    """A finished run of a model that answers `answer(sample, task, draw)`."""
    tasks = find(None, names)
    known = {s.id: (s, t) for t in tasks for s in samples(t, data)}
    model = ScriptedModel(lambda r: answer(*known[r.sample], r.draw), name=str(path.name))
    plan = Plan(tasks=tasks, data=data, **options)
    with RunFolder(path) as folder:
        total = prepare(folder, plan, model, {"name": model.name})
        with Progress(total) as progress:
            ask(folder, plan, model, progress)
        judged = judge(
            folder, items_of(folder, plan, model), {t.name: t for t in tasks}, Services()
        )
        write_results(folder, judged, {t.name: t for t in tasks}, Services(), resamples=50)
    return ScoredRun(path)


def mostly_right(sample, task, draw=0, share=0.9):
    """The gold answer nine times in ten, else another label of the task."""
    random = Random(f"{sample.id}{draw}")
    gold = task.gold(sample)
    labels = {GENDER: ("Yes", "No"), EXPLAIN: ("Yes", "No"), TAXONOMY: KINDS}
    others = [x for x in labels.get(task.name, ("-1", "0", "1", "2", "3")) if x != gold]
    return gold if random.random() < share else random.choice(others)


def wrong_on_one_label(sample, task, draw=0):
    if task.name == TAXONOMY and sample.target == "Running":
        return "Camping"
    return mostly_right(sample, task, draw)


def cut_on_one_task(sample, task, draw=0):
    if task.name == TOPIC:
        return Completion("Let me think about what the note says", finish="length")
    return mostly_right(sample, task, draw)


def chinese_to_english_items(sample, task, draw=0):
    if task.name == EXPLAIN and sample.language == "en":
        return "这篇笔记讲了很多有意思的事情，我很喜欢"
    return mostly_right(sample, task, draw)


# --- planted weaknesses --------------------------------------------------------------------------


def test_wrong_on_one_label(tmp_path, data):
    found = diagnose(evaluate(tmp_path / "m", data, wrong_on_one_label), Question())
    first = found.weaknesses[0]
    assert (first.task, str(first.slice), first.failure) == (TAXONOMY, "label=Running", "wrong")
    pair = found.tasks[TAXONOMY].confusions[0]
    assert (pair.gold, pair.answer, pair.count) == ("Running", "Camping", pair.of)
    assert not any(hint.task == TAXONOMY for hint in found.hints)


def test_cut_answers_on_one_task(tmp_path, data):
    found = diagnose(evaluate(tmp_path / "m", data, cut_on_one_task), Question())
    first = found.weaknesses[0]
    assert (first.task, first.slice, first.failure) == (TOPIC, None, "truncated")
    assert found.tasks[TOPIC].failures["truncated"].share == 1
    assert [(h.task, h.term) for h in found.hints] == [(TOPIC, "length")]


def test_chinese_answers_to_english_items(tmp_path, data):
    found = diagnose(evaluate(tmp_path / "m", data, chinese_to_english_items), Question())
    first = found.weaknesses[0]
    assert (first.task, str(first.slice), first.failure) == (EXPLAIN, "language=en", "language")
    weak = found.tasks[EXPLAIN].slices[0]
    assert weak.failures["language"] == 1 and weak.difference.high < 0
    assert [(h.task, h.term) for h in found.hints] == [(EXPLAIN, "language")]


def test_all_three_at_once_are_the_first_three(tmp_path, data):
    def answer(sample, task, draw):
        for planted in (wrong_on_one_label, cut_on_one_task, chinese_to_english_items):
            text = planted(sample, task, draw)
            if text != mostly_right(sample, task, draw):
                return text
        return mostly_right(sample, task, draw)

    found = diagnose(evaluate(tmp_path / "m", data, answer), Question())
    assert {w.task for w in found.weaknesses[:3]} == {TAXONOMY, TOPIC, EXPLAIN}
    shown = {w.task: (str(w.slice), w.failure) for w in found.weaknesses[:3]}
    assert shown[TAXONOMY] == ("label=Running", "wrong")
    assert shown[TOPIC] == ("None", "truncated")
    assert shown[EXPLAIN] == ("language=en", "language")


def test_a_model_without_a_planted_weakness_has_no_slice(tmp_path, data):
    found = diagnose(evaluate(tmp_path / "m", data, mostly_right), Question())
    assert found.method.slices > 20
    assert not any(task.slices for task in found.tasks.values())
    assert not found.hints


def test_long_items_answered_badly_are_a_slice_told_in_characters(tmp_path, data):
    def answer(sample, task, draw):
        long = task.name == GENDER and characters(sample.fields) > 270
        return "" if long else mostly_right(sample, task, draw)

    found = diagnose(evaluate(tmp_path / "m", data, answer), Question())
    first = found.weaknesses[0]
    assert (first.task, first.slice.value, first.failure) == (GENDER, "long", "empty")
    low, high = first.slice.characters
    assert 200 < low < 300 and high is None
    assert [(h.task, h.term, h.kinds) for h in found.hints] == [
        (GENDER, "answer", ("empty", "refusal"))
    ]


def test_a_translation_that_the_limit_cut_is_truncated_although_it_can_be_scored(tmp_path, data):
    def answer(sample, task, draw):
        return Completion(task.gold(sample)[: len(task.gold(sample)) // 3], finish="length")

    run = evaluate(tmp_path / "m", data, answer, names="sns_mini/zh_en,sns_mini/en_zh")
    found = diagnose(run, Question())
    assert all(task.failures["truncated"].share > 0.8 for task in found.tasks.values())
    assert {hint.term for hint in found.hints} == {"length"}


# --- buckets and partitions ----------------------------------------------------------------------


def test_buckets_hold_failed_items_of_the_diagnose_partition_only(tmp_path, data):
    found = diagnose(evaluate(tmp_path / "m", data, wrong_on_one_label), Question())
    items = {s.id: s for s in samples(find(None, TAXONOMY)[0], data)}
    bucket = found.buckets[0]
    assert str(bucket.slice) == "label=Running"
    assert len(bucket.items) == bucket.n > 10
    for sample in (items[i] for i in bucket.items):
        assert sample.partition == "diagnose" and sample.target == "Running"
        assert bucket.slice.matches(sample.language, sample.tags, characters(sample.fields))
    whole = next(b for b in found.buckets if b.task == TAXONOMY and b.slice is None)
    assert set(bucket.items) < set(whole.items)


def test_another_partition_gives_the_map_and_no_buckets(tmp_path, data):
    run = evaluate(tmp_path / "m", data, cut_on_one_task)
    found = diagnose(run, Question(partition="all"))
    assert found.weaknesses and found.tasks[TOPIC].n == 240
    assert found.buckets == found.hints == ()
    assert "come from 'diagnose' items alone" in found.notes[0]


def test_a_run_without_diagnose_items_says_what_it_has(tmp_path, data, capsys):
    evaluate(tmp_path / "m", data, mostly_right, names=GENDER, partition="gate")
    assert main([str(tmp_path / "m")]) == 64
    said = capsys.readouterr().err
    assert "no scored item in partition 'diagnose'; it has gate" in said
    assert main([str(tmp_path / "m"), "--partition", "gate", "--json"]) == 0


# --- references ----------------------------------------------------------------------------------


def test_against_another_run_the_gap_is_paired(tmp_path, data):
    other = evaluate(tmp_path / "other", data, mostly_right)
    run = evaluate(tmp_path / "m", data, wrong_on_one_label)
    found = diagnose(run, Question(against=other))
    assert found.against == "other"
    assert [(w.task, str(w.slice)) for w in found.weaknesses] == [(TAXONOMY, "label=Running")]
    # Where both answer alike nothing is missing, however far both are from the ceiling.
    assert found.tasks[GENDER].gap.value == 0 and found.tasks[GENDER].skill.value < 90


def test_against_a_run_with_other_prompts_is_refused(tmp_path, data, capsys):
    evaluate(tmp_path / "other", data, mostly_right, names=GENDER, system="Be brief.")
    evaluate(tmp_path / "m", data, mostly_right, names=GENDER)
    assert main([str(tmp_path / "m"), "--against", str(tmp_path / "other")]) == 3
    assert "system" in capsys.readouterr().err


def test_samples_and_tasks_that_the_other_run_lacks_are_told(tmp_path, data):
    other = evaluate(tmp_path / "other", data, mostly_right, names=GENDER, limit=100)
    run = evaluate(tmp_path / "m", data, cut_on_one_task, names=f"{GENDER},{TOPIC}")
    found = diagnose(run, Question(against=other))
    assert found.weaknesses == ()
    assert found.tasks[TOPIC].gap is None
    assert any("items are also in other" in note for note in found.notes)
    assert any(f"{TOPIC} is not in other" in note for note in found.notes)


def test_targets_and_weights_decide_the_order(tmp_path, data):
    run = evaluate(tmp_path / "m", data, mostly_right)
    found = diagnose(run, Question(targets={GENDER: 50.0, TAXONOMY: 100.0}))
    assert [w.task for w in found.weaknesses] == [TAXONOMY]
    assert found.tasks[GENDER].gap.value < 0 and found.tasks[TOPIC].reference is None
    weighted = diagnose(run, Question(weights={GENDER: 30.0}))
    assert weighted.weaknesses[0].task == GENDER
    assert weighted.weaknesses[0].priority == pytest.approx(30 * weighted.weaknesses[0].gap.low)


# --- what a run may lack -------------------------------------------------------------------------


def test_a_perfect_sheet_has_no_weakness(tmp_path, data):
    found = diagnose(evaluate(tmp_path / "m", data, lambda s, t, d: t.gold(s)), Question())
    assert found.weaknesses == found.buckets == found.hints == ()
    assert all(t.notes[0].startswith("Every item has value 1") for t in found.tasks.values())


def test_one_sample_has_a_score_and_no_rank(tmp_path, data):
    run = evaluate(
        tmp_path / "m", data, lambda s, t, d: "", names=GENDER, limit=1, partition="diagnose"
    )
    found = diagnose(run, Question())
    task = found.tasks[GENDER]
    assert (task.n, task.score.value, task.score.low, task.gap.low) == (1, 0, None, None)
    assert found.weaknesses == found.hints == ()
    assert "no interval, no rank" in task.notes[0]


def test_values_that_are_no_numbers_are_left_out_and_told(tmp_path, data):
    run = evaluate(tmp_path / "m", data, mostly_right, names=GENDER)
    path = tmp_path / "m/scores.parquet"
    table = pq.read_table(path)
    values = table["value"].to_pylist()
    broken = [float("nan") if n % 3 == 0 else v for n, v in enumerate(values)]
    column = table.schema.get_field_index("value")
    pq.write_table(table.set_column(column, table.schema.field("value"), [broken]), path)
    task = diagnose(run, Question()).tasks[GENDER]
    assert task.not_scored > 30 and task.score.value is not None
    assert any("not scored" in note for note in task.notes)


def test_no_draws_no_solvability_and_with_draws_three_shares(tmp_path, data):
    def answer(sample, task, draw):
        kind = sample.index % 4
        right = kind == 0 or (kind == 1 and draw == 2)
        return task.gold(sample) if right else "?"

    greedy = diagnose(evaluate(tmp_path / "g", data, answer, names=GENDER), Question())
    assert greedy.tasks[GENDER].solvability is None
    options = {"overrides": {"temperature": 0.7}, "draws": 4}
    run = evaluate(tmp_path / "m", data, answer, names=GENDER, **options)
    solved = diagnose(run, Question()).tasks[GENDER].solvability
    assert (solved.draws, solved.threshold) == (4, 1)
    assert solved.always + solved.sometimes + solved.never == pytest.approx(1)
    assert 0.15 < solved.always < 0.35 and 0.15 < solved.sometimes < 0.35 < solved.never


@pytest.mark.shared_data
def test_a_label_of_the_published_taxonomy_is_found_among_all_slices(tmp_path, data_dir):
    def answer(sample, task, draw):
        wrong = Random(sample.id).random() < 0.2 or sample.tags.get("label") == "Fashion"
        return "?" if wrong and task.name == TAXONOMY else task.gold(sample)

    names = f"{TAXONOMY},sns_bench/gender,sns_bench/ner"
    found = diagnose(evaluate(tmp_path / "m", data_dir, answer, names=names), Question())
    assert found.method.slices > 20
    label = {s.tags["label"] for s in samples(find(None, TAXONOMY)[0], data_dir)}
    assert "Fashion" in label
    assert [str(part.slice) for part in found.tasks[TAXONOMY].slices] == ["label=Fashion"]
    assert found.weaknesses[0].task == TAXONOMY and not found.weaknesses[1:]


# --- the file ------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def diagnosed(tmp_path_factory, data):
    run = evaluate(tmp_path_factory.mktemp("runs") / "m", data, chinese_to_english_items)
    save(diagnose(run, Question()), run.path / "diagnosis.json")
    return run.path


@pytest.fixture
def written(tmp_path, diagnosed):
    return Path(shutil.copytree(diagnosed, tmp_path / "m")) / "diagnosis.json"


def test_the_file_is_read_back_as_it_was_written(written):
    found = load(written)
    again = Path(f"{written}.again")
    save(found, again)
    assert again.read_bytes() == written.read_bytes()


def test_the_same_run_gives_the_same_file(tmp_path, written):
    before = written.read_bytes()
    assert main([str(tmp_path / "m"), "--json"]) == 0
    assert written.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.pop("buckets"), "buckets"),
        (lambda d: d.update(more=1), "more"),
        (lambda d: d.update(schema_version=2), "schema version 2"),
        (lambda d: d["tasks"][GENDER].update(n="many"), "n"),
        (lambda d: d["weaknesses"][0].update(failure="tired"), "failure"),
        (lambda d: d["weaknesses"][0].update(task="sns_bench/nur"), "'sns_bench/nur'"),
        (lambda d: d.update(partition="gate"), "'diagnose'"),
    ],
)
def test_a_file_of_another_form_is_refused_naming_the_field(written, change, said):
    content = json.loads(written.read_text())
    change(content)
    written.write_text(json.dumps(content))
    with pytest.raises(Exception, match=said) as error:
        load(written)
    assert type(error.value).__name__ == "BadRow"


# --- what users type -----------------------------------------------------------------------------


def test_the_tables_name_what_the_file_holds(written, capsys):
    assert main([str(written.parent)]) == 0
    out = capsys.readouterr().out
    for text in ("Capability map", "Weaknesses", "language=en", "Reward hints", "Confusions"):
        assert text in out
    assert str(written) in out


def test_hostile_labels_are_shown_as_text(written, capsys):
    from redone.harness.diagnosis.output import show

    raw = json.loads(written.read_text())
    raw["tasks"][GENDER]["confusions"] = [
        {
            "gold": "[red]Yes[/red]",
            "answer": "No\u001b[31m\u202e" + "x" * 500,
            "count": 900,
            "of": 1000,
        }
    ]
    written.write_text(json.dumps(raw))
    show(load(written), written)
    out = capsys.readouterr().out
    assert "[red]Yes[/red]" in out
    assert "\x1b" not in out and "\u202e" not in out and "x" * 80 not in out


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (("--partition", "diagnosis"), 64, "'diagnose'"),
        (("--scoring", "correct"), 64, "'corrected'"),
        (("--target", "sns_bench/gendre=5"), 64, "sns_bench/gender"),
        (("--target", "sns_bench/gender=high"), 64, "a number from 0 to 100"),
        (("--target", "sns_bench/gender=nan"), 64, "a number from 0 to 100"),
        (("--target", "=5"), 64, "name of a task is missing"),
        (("--target", "nothing.toml"), 66, "nothing.toml"),
        (("--weight", "sns_bench/gender=-1"), 64, "from 0 to 1000"),
        (("--against", "nowhere"), 64, "redone2"),
        (("--against", "redone2"), 64, "write redone2:MODEL"),
        (("--against", "redone2:RedOne-2.0-5B"), 64, "'RedOne-2.0-4B'"),
        (("--against", "."), 65, "no run.json"),
        (("--output", "no/such/folder/d.json"), 64, "--output"),
    ],
)
def test_bad_input_gets_one_message_that_helps(written, monkeypatch, capsys, argv, code, said):
    monkeypatch.chdir(written.parent.parent)
    assert main([str(written.parent), *argv]) == code
    message = capsys.readouterr().err
    assert said in message and message.count("redone-diagnose:") == 1


def test_two_references_are_one_too_many(written, capsys):
    folder = str(written.parent)
    assert main([folder, "--against", folder, "--target", f"{GENDER}=50"]) == 64
    assert "give one of them" in capsys.readouterr().err


def test_targets_may_stand_in_a_file(written, capsys):
    table = written.parent / "targets.toml"
    table.write_text(f'"{GENDER}" = 100\n"sns_bench/taxonomy*" = 95.5\n')
    assert main([str(written.parent), "--target", str(table), "--json"]) == 0
    tasks = json.loads(capsys.readouterr().out)["tasks"]
    assert tasks[GENDER]["reference"]["score"] == 100
    assert tasks[TAXONOMY]["reference"]["kind"] == "target"
    assert tasks[TOPIC]["reference"] is None


def test_folders_that_are_no_finished_run_are_told_so(written, tmp_path, capsys):
    assert main([str(tmp_path)]) == 65
    assert "no run.json" in capsys.readouterr().err
    results = written.parent / "results.json"
    content = json.loads(results.read_text())
    content["tasks"][GENDER]["missing"] = 3
    results.write_text(json.dumps(content))
    assert main([str(written.parent)]) == 3
    assert f"{GENDER} (3)" in capsys.readouterr().err


def test_scores_of_an_older_redone_or_none_are_made_again_by_rescoring(written, capsys):
    path = written.parent / "scores.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["characters"]), path)
    assert main([str(written.parent)]) == 65
    assert "--rescore" in capsys.readouterr().err
    path.write_bytes(b"PAR1 not at all")
    assert main([str(written.parent)]) == 65
    assert "--rescore" in capsys.readouterr().err


# --- published rows ------------------------------------------------------------------------------


def test_a_published_row_is_shown_and_not_ranked_on_other_data(written, capsys):
    argv = [str(written.parent), "--against", "redone2:RedOne-2.0-4B", "--json"]
    assert main(argv) == 0
    published = json.loads(capsys.readouterr().out)["published"]
    figures = {f["name"]: f for f in published["figures"]}
    assert figures["sns_bench/gender"]["printed"] == 78.76
    assert figures["sns_bench/gender"]["score"]["value"] is not None
    assert figures["sns_bench/gender"]["why_not"].startswith("not the published samples in full")
    assert figures["sns_bench/ner"]["why_not"] == "the run lacks its tasks"
    assert figures["sns_trans/zh_en"]["printed"] == pytest.approx((38.61 + 62.46) / 2)
    assert all(f["rank"] is None for f in figures.values())


@pytest.mark.shared_data
def test_full_data_and_the_authors_prompts_give_a_rank(tmp_path, data_dir):
    from redone.harness.diagnosis.published import beside, published_row
    from redone.tasks.prompts import load_prompts

    prompts = load_prompts(data_dir / "sns-bench/official_prompts.json")
    answers = {"names": f"{GENDER},sns_bench/ner", "prompts": prompts}
    run = evaluate(tmp_path / "m", data_dir, lambda s, t, d: "Yes", **answers)
    row = published_row("redone2:RedOne-2.0-4B")
    figures = {f.name: f for f in beside(run, row).figures}
    gender, ner = figures["sns_bench/gender"], figures["sns_bench/ner"]
    assert (gender.why_not, ner.why_not) == ("", "")
    assert (ner.rank, gender.rank) == (1, 2)
    assert gender.gap.value == pytest.approx(78.76 - gender.score.value)


def test_a_table_of_ones_own_is_checked(written, tmp_path, capsys):
    table = tmp_path / "own.toml"
    for text, said in (
        ('source = "s"\n[rows.m]\n"sns_bench/nur" = 5', "sns_bench/ner"),
        ('source = "s"\n[rows.m]\n"sns_bench/ner" = "5"', "rows.m.sns_bench/ner"),
        ("[rows.m]", "source"),
        ("rows =", "not TOML"),
    ):
        table.write_text(text)
        assert main([str(written.parent), "--against", f"{table}:m"]) in (64, 65)
        assert said in capsys.readouterr().err
    table.write_text('source = "s"\n[rows.m]\n"sns_bench/gender" = 50')
    assert main([str(written.parent), "--against", f"{table}:m"]) == 0


def test_help_answers_without_heavy_imports():
    code = (
        "import sys\n"
        "from redone.harness.diagnosis.cli import parser\n"
        "parser().format_help()\n"
        "heavy = {'torch', 'pyarrow', 'numpy', 'rich', 'scipy', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
