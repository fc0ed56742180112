"""Two runs, paired: differences, what must match, flips."""

import numpy as np
import pytest

from redone.harness.compare import check_comparable, compare, recorded_differences
from redone.harness.flips import flips
from redone.harness.run_folder import NotComparable, RunUnfinished, RunUnreadable
from redone.harness.scored_run import ScoredRun
from redone.harness.stats import Sums, resampled_sums
from redone.tasks.errors import RedoneError, UnknownName
from redone.tasks.registry import by_name

GENDER = "sns_mini/gender"


def half_wrong(task, sample):
    """Wrong on every second item of two tasks."""
    if task.name not in (GENDER, "sns_mini/ner") or sample.index % 2:
        return None
    return "I cannot tell."


@pytest.fixture(scope="module")
def gold(scripted_run):
    return ScoredRun(scripted_run("gold"))


@pytest.fixture(scope="module")
def half(scripted_run):
    return ScoredRun(scripted_run("half", half_wrong))


def test_a_difference_is_that_of_the_two_tables(gold, half):
    found = compare(gold, half, resamples=1000)
    for d in found.differences:
        if d.level != "task":
            continue
        for run, figure in ((gold, d.base), (half, d.candidate)):
            scored = run.results["tasks"][d.name]["scorings"]["corrected"]["score"]
            assert figure == pytest.approx(scored)
    suite = found.row("suite", "sns-mini")
    categories = [d.difference for d in found.differences if d.level == "category"]
    assert suite.difference == pytest.approx(
        (np.mean(categories[:8]) + np.mean(categories[8:])) / 2
    )
    low, high = found.row("task", GENDER).interval(0.05)
    assert low < -50 < high < 0


def test_any_metric_can_be_compared_on_the_tasks_that_have_it(gold, half):
    task = by_name(GENDER)
    name = task.scorings["corrected"].metrics[0].name
    found = compare(gold, half, metric=name, resamples=1000)
    assert found.row("task", GENDER).difference == pytest.approx(
        compare(gold, half, resamples=1000).row("task", GENDER).difference
    )
    without = [t for t in gold.tasks.values() if t.scorings["corrected"].metric(name) is None]
    assert without
    for other in without:
        assert found.row("task", other.name) is None
        assert f"{other.name}: it has no metric {name}; it is left out." in found.notes
    with pytest.raises(RedoneError, match="no scored sample .*of the metric absent"):
        compare(gold, half, metric="absent", resamples=1000)


def test_the_same_seed_gives_the_same_interval(gold, half):
    one, two, other = (compare(gold, half, resamples=1000, seed=s) for s in (0, 0, 1))
    row = ("suite", "sns-mini")
    assert one.row(*row).interval(0.05) == two.row(*row).interval(0.05)
    assert one.row(*row).interval(0.05) != other.row(*row).interval(0.05)


def test_equal_runs_on_few_items_have_a_wide_interval(gold):
    row = compare(gold, gold, resamples=4000).row("task", GENDER)
    low, high = row.interval(0.05)
    # One item of 16 more, fixed or broken, is 5.6 points.
    assert row.difference == 0
    assert (low, high) == pytest.approx((-9.1, 9.1), abs=0.6)


def test_paired_tests_are_by_sample(gold, half):
    pairs = compare(gold, half, resamples=1000).pairs[GENDER]
    assert (pairs.discordance.fixed, pairs.discordance.broken) == (0, 8)
    assert pairs.discordance.p == pytest.approx(2 / 2**8)
    assert pairs.sign_flip == pytest.approx(2 / 2**8)


def test_flips_hold_both_answers(gold, half):
    found = list(flips(compare(gold, half, resamples=1000)))
    gender = [f for f in found if f.task == GENDER]
    assert len(gender) == 8
    assert {f.kind for f in gender} == {"broken"}
    assert {f.candidate.text for f in gender} == {"I cannot tell."}
    assert all(f.base.value == 1 and f.base.failure == "" for f in gender)
    assert all(f.candidate.failure for f in gender)
    assert gender[0].prompt[-1]["role"] == "user"
    back = list(flips(compare(half, gold, resamples=1000)))
    assert {f.kind for f in back} == {"fixed"}
    assert len(back) == len(found)


def test_one_partition_is_compared(gold, half):
    parts = [compare(gold, half, partition=p, resamples=1000) for p in ("diagnose", "gate")]
    assert sum(p.row("task", GENDER).samples for p in parts) == 16
    with pytest.raises(RedoneError, match="share no scored sample of partition 'report'"):
        compare(gold, half, partition="report")


@pytest.mark.parametrize(
    "field, arguments",
    [
        ("prompt", ("--system", "Be brief.")),
        ("limits", ("--max-tokens", "5")),
        ("samples", ("--limit", "8")),
        ("tasks", ("--tasks", "sns_mini/ner")),
        ("sampling", ("--temperature", "0.7")),
        ("draws", ("--temperature", "0.7", "--draws", "2")),
    ],
)
def test_a_mismatch_is_named_and_may_be_allowed(gold, scripted_run, field, arguments):
    spoil = lambda task, sample: None  # noqa: E731
    if "--draws" in arguments:
        other = ScoredRun(_twice(scripted_run, arguments))
    else:
        other = ScoredRun(scripted_run(f"other-{field}", spoil, *arguments))
    with pytest.raises(NotComparable, match=field) as caught:
        compare(gold, other)
    fields = {m.field for m in caught.value.mismatches}
    assert field in fields
    assert "--allow" in str(caught.value)
    found = compare(gold, other, allowed=fields, resamples=1000)
    assert {m.field for m in found.overridden} == fields


def _twice(scripted_run, arguments):
    """A run with two draws: predictions are lists."""
    import json

    from redone.harness.cli import main

    first = scripted_run("gold")
    sheet = first.parent / "twice.jsonl"
    rows = map(json.loads, (first.parent / "gold.jsonl").read_text("utf-8").splitlines())
    sheet.write_text(
        "\n".join(json.dumps({**r, "prediction": [r["prediction"]] * 2}) for r in rows), "utf-8"
    )
    folder = first.parent / "twice"
    command = ["--backend", "scripted", "--model", str(sheet), "--output", str(folder)]
    assert main([*command, *arguments]) == 0
    return folder


def test_an_unknown_field_is_refused(gold, half):
    with pytest.raises(UnknownName, match="prompts.*Did you mean 'prompt'"):
        compare(gold, half, allowed=["prompts"])


def test_backend_and_versions_are_recorded_and_may_differ(gold, half, monkeypatch):
    monkeypatch.setitem(half.run["environment"], "dtype", "bfloat16")
    monkeypatch.setitem(half.run["environment"], "batch_size", 7)
    assert [m.field for m in recorded_differences(gold, half)] == ["dtype"]


def test_unfinished_runs_decide_nothing(gold, scripted_run, tmp_path):
    import shutil

    folder = shutil.copytree(gold.path, tmp_path / "half")
    lines = (folder / "responses.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "responses.jsonl").write_bytes(b"".join(lines[:-3]))
    from redone.harness.cli import main

    assert main(["--rescore", str(folder)]) == 0
    with pytest.raises(RunUnfinished, match="en_zh.*3"):
        ScoredRun(folder)
    (folder / "scores.parquet").unlink()
    with pytest.raises(RunUnfinished, match="no scores yet"):
        ScoredRun(folder)
    with pytest.raises(RunUnreadable, match="no run.json"):
        ScoredRun(tmp_path / "nowhere")


@pytest.mark.parametrize("file", ["run.json", "results.json"])
@pytest.mark.parametrize("content", ["{}", "[]", "{", ""])
def test_files_that_are_no_run_are_named(gold, tmp_path, file, content):
    import shutil

    folder = shutil.copytree(gold.path, tmp_path / "run")
    (folder / file).write_text(content)
    with pytest.raises(RunUnreadable, match=file):
        ScoredRun(folder)


def test_a_run_of_another_task_version_is_not_read_with_ours(gold, monkeypatch):
    run = ScoredRun(gold.path)
    monkeypatch.setitem(run.request["tasks"][GENDER], "version", 0)
    with pytest.raises(RunUnreadable, match="gender version 0"):
        run.scores()


def test_a_run_from_before_limits_were_raised_is_read_and_compared_with_its_like(gold, monkeypatch):
    old, new = ScoredRun(gold.path), ScoredRun(gold.path)
    monkeypatch.setitem(old.request["tasks"][GENDER], "version", 1)
    assert old.tasks[GENDER].version == 2 and old.scores()
    assert check_comparable(old, old, "corrected") == []
    with pytest.raises(NotComparable, match=r"version of sns_mini/gender: 1 and 2"):
        check_comparable(old, new, "corrected")


def test_the_bootstrap_of_bleu_agrees_with_sacrebleu():
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.significance import PairedTest

    from redone.tasks.metrics.translation import bleu, statistics

    generator = np.random.default_rng(0)
    words = [f"w{i}" for i in range(40)]
    references = [" ".join(generator.choice(words, 12)) for _ in range(120)]

    def worse(text, share):
        return " ".join(w if generator.random() > share else "x" for w in text.split())

    systems = [[worse(r, share) for r in references] for share in (0.10, 0.14)]
    sums = [
        np.array([statistics(h, r, "en") for h, r in zip(s, references, strict=True)])
        for s in systems
    ]
    task = Sums.of(np.arange(120), np.hstack(sums))
    drawn = resampled_sums({"t": task}, 120, 4000, seed=0)["t"]
    width = sums[0].shape[1]
    ours = bleu(drawn[:, width:]), bleu(drawn[:, :width])
    named = [("a", systems[0]), ("b", systems[1])]
    test = PairedTest(named, {"BLEU": BLEU()}, [references], test_type="bs", n_samples=4000)
    _, scores = test()
    result = scores["BLEU"][1]
    assert result.score == pytest.approx(float(bleu(sums[1].sum(axis=0))), abs=1e-4)
    assert result.mean == pytest.approx(ours[0].mean(), abs=0.15)
    half = (np.quantile(ours[0], 0.975) - np.quantile(ours[0], 0.025)) / 2
    assert result.ci == pytest.approx(half, rel=0.1)
    # Its p-value: how often centred absolute differences exceed the observed one.
    moved = np.abs(ours[0] - ours[1])
    observed = abs(float(bleu(sums[1].sum(axis=0)) - bleu(sums[0].sum(axis=0))))
    p = ((moved - moved.mean()) > observed).mean()
    assert result.p_value == pytest.approx(p, abs=0.03)
