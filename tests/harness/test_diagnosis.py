"""redone diagnose: a planted weakness comes out first, under its right name, with its slice."""

import json
from random import Random

import pyarrow.parquet as pq
import pytest
from planted import (
    EXPLAIN,
    GENDER,
    TAXONOMY,
    TOPIC,
    chinese_to_english_items,
    cut_on_one_task,
    evaluate,
    mostly_right,
    wrong_on_one_label,
)

from redone.harness.diagnosis.cli import main
from redone.harness.diagnosis.diagnose import DiagnosisConfig, diagnose
from redone.tasks.registry import find
from redone.tasks.schema import Completion
from redone.tasks.sources import characters, samples

# --- planted weaknesses --------------------------------------------------------------------------


def test_wrong_on_one_label(tmp_path, data):
    found = diagnose(evaluate(tmp_path / "m", data, wrong_on_one_label), DiagnosisConfig())
    first = found.weaknesses[0]
    assert (first.task, str(first.slice), first.failure) == (TAXONOMY, "label=Running", "wrong")
    pair = found.tasks[TAXONOMY].confusions[0]
    assert (pair.gold, pair.answer, pair.count) == ("Running", "Camping", pair.of)
    assert not any(hint.task == TAXONOMY for hint in found.hints)


def test_a_constant_answer_is_named(tmp_path, data):
    def same(sample, task, draw):
        return "Yes" if task.name == GENDER else mostly_right(sample, task, draw)

    found = diagnose(evaluate(tmp_path / "m", data, same), DiagnosisConfig())
    told = {n: [note for note in t.notes if "constant" in note] for n, t in found.tasks.items()}
    count = found.tasks[GENDER].n
    assert told[GENDER][0].startswith(f'{count} of {count} answers are "Yes", gold of ')
    assert not any(notes for name, notes in told.items() if name != GENDER)


def test_cut_answers_on_one_task(tmp_path, data):
    found = diagnose(evaluate(tmp_path / "m", data, cut_on_one_task), DiagnosisConfig())
    first = found.weaknesses[0]
    assert (first.task, first.slice, first.failure) == (TOPIC, None, "truncated")
    assert found.tasks[TOPIC].failures["truncated"].share == 1
    assert [(h.task, h.observed) for h in found.hints] == [(TOPIC, "truncated")]


def test_chinese_answers_to_english_items(tmp_path, data):
    found = diagnose(evaluate(tmp_path / "m", data, chinese_to_english_items), DiagnosisConfig())
    first = found.weaknesses[0]
    assert (first.task, str(first.slice), first.failure) == (EXPLAIN, "language=en", "language")
    weak = found.tasks[EXPLAIN].slices[0]
    assert weak.failures["language"] == 1 and weak.difference.high < 0
    assert [(h.task, h.observed) for h in found.hints] == [(EXPLAIN, "language")]


def test_all_three_at_once_are_the_first_three(tmp_path, data):
    def answer(sample, task, draw):
        for planted in (wrong_on_one_label, cut_on_one_task, chinese_to_english_items):
            text = planted(sample, task, draw)
            if text != mostly_right(sample, task, draw):
                return text
        return mostly_right(sample, task, draw)

    found = diagnose(evaluate(tmp_path / "m", data, answer), DiagnosisConfig())
    assert {w.task for w in found.weaknesses[:3]} == {TAXONOMY, TOPIC, EXPLAIN}
    shown = {w.task: (str(w.slice), w.failure) for w in found.weaknesses[:3]}
    assert shown[TAXONOMY] == ("label=Running", "wrong")
    assert shown[TOPIC] == ("None", "truncated")
    assert shown[EXPLAIN] == ("language=en", "language")


def test_a_model_without_a_planted_weakness_has_no_slice(tmp_path, data):
    found = diagnose(evaluate(tmp_path / "m", data, mostly_right), DiagnosisConfig())
    assert found.method.slices > 20
    assert not any(task.slices for task in found.tasks.values())
    assert not found.hints


def test_weak_long_items_are_a_slice_of_lengths(tmp_path, data):
    def answer(sample, task, draw):
        long = task.name == GENDER and characters(sample.fields) > 270
        return "" if long else mostly_right(sample, task, draw)

    found = diagnose(evaluate(tmp_path / "m", data, answer), DiagnosisConfig())
    first = found.weaknesses[0]
    assert (first.task, first.slice.value, first.failure) == (GENDER, "long", "empty")
    low, high = first.slice.characters
    assert 200 < low < 300 and high is None
    assert [(h.task, h.observed, h.kinds) for h in found.hints] == [
        (GENDER, "no_answer", ("empty", "refusal"))
    ]


def test_a_translation_cut_by_the_token_limit_counts_as_truncated(tmp_path, data):
    def answer(sample, task, draw):
        return Completion(task.gold(sample)[: len(task.gold(sample)) // 3], finish="length")

    run = evaluate(tmp_path / "m", data, answer, names="sns_mini/zh_en,sns_mini/en_zh")
    found = diagnose(run, DiagnosisConfig())
    assert all(task.failures["truncated"].share > 0.8 for task in found.tasks.values())
    assert {hint.observed for hint in found.hints} == {"truncated"}


# --- buckets and partitions ----------------------------------------------------------------------


def test_buckets_hold_failed_items_of_the_diagnose_partition_only(tmp_path, data):
    found = diagnose(evaluate(tmp_path / "m", data, wrong_on_one_label), DiagnosisConfig())
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
    found = diagnose(run, DiagnosisConfig(partition="all"))
    assert found.weaknesses and found.tasks[TOPIC].n == 240
    assert found.buckets == found.hints == ()
    assert "may come from 'diagnose' items only" in found.notes[0]


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
    found = diagnose(run, DiagnosisConfig(against=other))
    assert found.against == "other"
    assert [(w.task, str(w.slice)) for w in found.weaknesses] == [(TAXONOMY, "label=Running")]
    # Where both answer alike nothing is missing, however far both are from the ceiling.
    assert found.tasks[GENDER].gap.value == 0 and found.tasks[GENDER].skill.value < 90


def test_against_a_run_with_other_prompts_is_refused(tmp_path, data, capsys):
    evaluate(tmp_path / "other", data, mostly_right, names=GENDER, system="Be brief.")
    evaluate(tmp_path / "m", data, mostly_right, names=GENDER)
    argv = [str(tmp_path / "m"), "--against", str(tmp_path / "other")]
    assert main(argv) == 3
    assert "--allow prompt,system;" in capsys.readouterr().err
    assert main([*argv, "--allow", "limits"]) == 3
    assert main([*argv, "--allow", "sistem"]) == 64
    assert "'system'" in capsys.readouterr().err
    assert main([*argv, "--allow", "prompt,system", "--json"]) == 0
    (note,) = [n for n in json.loads(capsys.readouterr().out)["notes"] if "by hand" in n]
    assert "differ in prompt, system" in note
    assert main([argv[0], "--allow", "system"]) == 64
    assert "--against RUN" in capsys.readouterr().err


def test_samples_and_tasks_that_the_other_run_lacks_are_noted(tmp_path, data):
    other = evaluate(tmp_path / "other", data, mostly_right, names=GENDER, limit=100)
    run = evaluate(tmp_path / "m", data, cut_on_one_task, names=f"{GENDER},{TOPIC}")
    found = diagnose(run, DiagnosisConfig(against=other))
    assert found.weaknesses == ()
    assert found.tasks[TOPIC].gap is None
    assert any("items are also in other" in note for note in found.notes)
    assert any(f"{TOPIC} is not in other" in note for note in found.notes)


def test_targets_and_weights_decide_the_order(tmp_path, data):
    run = evaluate(tmp_path / "m", data, mostly_right)
    found = diagnose(run, DiagnosisConfig(targets={GENDER: 50.0, TAXONOMY: 100.0}))
    assert [w.task for w in found.weaknesses] == [TAXONOMY]
    assert found.tasks[GENDER].gap.value < 0 and found.tasks[TOPIC].reference is None
    weighted = diagnose(run, DiagnosisConfig(weights={GENDER: 30.0}))
    assert weighted.weaknesses[0].task == GENDER
    assert weighted.weaknesses[0].priority == pytest.approx(30 * weighted.weaknesses[0].gap.low)


# --- incomplete runs -----------------------------------------------------------------------------


def test_gold_predictions_have_no_weakness(tmp_path, data):
    found = diagnose(evaluate(tmp_path / "m", data, lambda s, t, d: t.gold(s)), DiagnosisConfig())
    assert found.weaknesses == found.buckets == found.hints == ()
    assert all(t.notes[0].startswith("Every item has value 1") for t in found.tasks.values())


def test_one_sample_has_a_score_and_no_rank(tmp_path, data):
    run = evaluate(
        tmp_path / "m", data, lambda s, t, d: "", names=GENDER, limit=1, partition="diagnose"
    )
    found = diagnose(run, DiagnosisConfig())
    task = found.tasks[GENDER]
    assert (task.n, task.score.value, task.score.low, task.gap.low) == (1, 0, None, None)
    assert found.weaknesses == found.hints == ()
    assert "no interval, no rank" in task.notes[0]


def test_nan_values_are_left_out_and_noted(tmp_path, data):
    run = evaluate(tmp_path / "m", data, mostly_right, names=GENDER)
    path = tmp_path / "m/scores.parquet"
    table = pq.read_table(path)
    values = table["value"].to_pylist()
    broken = [float("nan") if n % 3 == 0 else v for n, v in enumerate(values)]
    column = table.schema.get_field_index("value")
    pq.write_table(table.set_column(column, table.schema.field("value"), [broken]), path)
    task = diagnose(run, DiagnosisConfig()).tasks[GENDER]
    assert task.not_scored > 30 and task.score.value is not None
    assert any("not scored" in note for note in task.notes)


def test_no_draws_no_solvability_and_with_draws_three_shares(tmp_path, data):
    def answer(sample, task, draw):
        kind = sample.index % 4
        right = kind == 0 or (kind == 1 and draw == 2)
        return task.gold(sample) if right else "?"

    greedy = diagnose(evaluate(tmp_path / "g", data, answer, names=GENDER), DiagnosisConfig())
    assert greedy.tasks[GENDER].solvability is None
    options = {"overrides": {"temperature": 0.7}, "draws": 4}
    run = evaluate(tmp_path / "m", data, answer, names=GENDER, **options)
    solved = diagnose(run, DiagnosisConfig()).tasks[GENDER].solvability
    assert (solved.draws, solved.threshold) == (4, 1)
    assert solved.always + solved.sometimes + solved.never == pytest.approx(1)
    assert 0.15 < solved.always < 0.35 and 0.15 < solved.sometimes < 0.35 < solved.never


@pytest.mark.shared_data
def test_a_label_of_the_published_taxonomy_is_found_among_all_slices(tmp_path, data_dir):
    def answer(sample, task, draw):
        wrong = Random(sample.id).random() < 0.2 or sample.tags.get("label") == "Fashion"
        return "?" if wrong and task.name == TAXONOMY else task.gold(sample)

    names = f"{TAXONOMY},sns_bench/gender,sns_bench/ner"
    found = diagnose(evaluate(tmp_path / "m", data_dir, answer, names=names), DiagnosisConfig())
    assert found.method.slices > 20
    label = {s.tags["label"] for s in samples(find(None, TAXONOMY)[0], data_dir)}
    assert "Fashion" in label
    assert [str(part.slice) for part in found.tasks[TAXONOMY].slices] == ["label=Fashion"]
    assert found.weaknesses[0].task == TAXONOMY and not found.weaknesses[1:]
