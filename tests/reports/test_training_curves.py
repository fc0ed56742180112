"""Training curves: found beside the runs, drawn from what the trainer logged."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from step_logs import dapo, logged, sft

from redone.reports.cli import main
from redone.reports.plot import MAX_POINTS
from redone.reports.training import curves_of, read_log, steps_table
from redone.tasks.errors import RedoneError


@pytest.fixture
def trained(base, tuned, refined, tmp_path):
    """A folder as `redone train` leaves it: three runs, the logs of two stages."""
    import shutil

    for name, run in (("base", base), ("exploratory", tuned), ("targeted-report", refined)):
        shutil.copytree(run, tmp_path / "out" / "runs" / name)
    logged(tmp_path / "out" / "stages" / "exploratory", 40, dapo, torn='{"step": 41, "lo')
    logged(tmp_path / "out" / "stages" / "targeted", 12, sft)
    return tmp_path / "out"


def runs_of(trained):
    return [trained / "runs" / name for name in ("base", "exploratory", "targeted-report")]


class TestLog:
    def test_a_torn_line_and_later_fields_do_not_matter(self, trained):
        log = read_log(trained / "stages" / "exploratory" / "steps.jsonl")
        assert len(log.steps) == 40 and log.skipped == 4 and log.label == "exploratory"
        assert log.total("tokens_generated") == 3600
        assert np.isnan(log.scalars["reward"][9]) and "entropy" not in log.scalars

    @pytest.mark.parametrize("line", ["{", "[]", '{"loss": 1}', '{"step": true}'])
    def test_a_line_that_is_no_step_is_named(self, tmp_path, line):
        path = tmp_path / "steps.jsonl"
        path.write_text(f'{{"step": 1}}\n{line}\n')
        with pytest.raises(RedoneError, match="line 2"):
            read_log(path)

    def test_what_is_no_finite_number_is_absent(self, tmp_path):
        path = tmp_path / "steps.jsonl"
        path.write_text('{"step": 1, "loss": "nan", "reward": null, "tasks": 3, "kept": 2}\n')
        log = read_log(path)
        assert set(log.scalars) == {"kept"} and not log.tasks


class TestPictures:
    def test_every_figure_that_was_logged_is_drawn(self, trained):
        found = curves_of(read_log(trained / "stages" / "exploratory" / "steps.jsonl"))
        assert [p.title for p in found.panels] == [
            "Reward and its parts", "Value of the completions", "Loss", "Groups",
        ]  # fmt: skip
        reward = found.panels[0]
        assert list(reward.series)[:2] == ["reward", "shaping: length"]
        for panel in found.panels:
            root = ET.fromstring(panel.picture)
            assert root.find("{*}title").text.startswith(panel.title)
            # A skipped step is a gap, so every line comes in pieces.
            lines = root.findall("{*}polyline")
            assert len(lines) == 4 * len(panel.series)

    def test_value_and_chance_are_means_over_answers(self, trained):
        found = curves_of(read_log(trained / "stages" / "exploratory" / "steps.jsonl"))
        value, chance = found.panels[1].series["value"], found.panels[1].series["chance"]
        assert value[4] == pytest.approx(0.05 * 30 / 40)
        assert chance[4] == pytest.approx((0.5 * 30 + 0.1 * 10) / 40)
        irony = found.tasks[0]
        assert irony.task == "tweeteval/irony" and irony.rollouts == 36 * 30
        assert irony.start == pytest.approx(0.025) and irony.end == pytest.approx(0.375)

    def test_supervised_stages_have_what_they_log(self, trained):
        found = curves_of(read_log(trained / "stages" / "targeted" / "steps.jsonl"))
        assert [p.title for p in found.panels] == ["Loss"] and found.tasks == ()

    @pytest.mark.parametrize("steps", [0, 1, 2, 5000])
    def test_any_number_of_steps_can_be_drawn(self, tmp_path, steps):
        found = curves_of(read_log(logged(tmp_path / "s", steps, sft) / "steps.jsonl"))
        assert len(found.panels) == (1 if steps else 0)
        for panel in found.panels:
            points = [p.get("points") for p in ET.fromstring(panel.picture).findall("{*}polyline")]
            assert all(len(p.split()) <= MAX_POINTS for p in points)

    def test_figures_that_never_change_can_be_drawn(self, tmp_path):
        for value in (0.0, -3.0, 1e-300, 1e12):
            folder = logged(tmp_path / str(value), 5, lambda s, v=value: {"step": s, "loss": v})
            (panel,) = curves_of(read_log(folder / "steps.jsonl")).panels
            assert "nan" not in panel.picture and "inf" not in panel.picture


class TestReport:
    def test_logs_beside_the_runs_are_found_and_their_data_offered(self, trained, report):
        page = report(*runs_of(trained))
        assert [a["id"] for tag, a in page.tags if tag == "section" and a["id"] == "training"]
        rows = page.table("training")
        assert len(rows) == 52 and {row["stage"] for row in rows} == {"exploratory", "targeted"}
        first = rows[0]
        assert first["reward"] == pytest.approx(-0.04)
        assert first["tasks/tweeteval/irony/value"] == 0.01
        assert "40 steps, 4 of them skipped" in page.text

    def test_names_in_a_log_are_text(self, trained, report):
        page = report(*runs_of(trained))
        assert "<script>alert(1)</script>⟨1B⟩" in page.text
        assert "<script>alert(1)" not in page.source

    def test_without_logs_there_is_no_such_section(self, base, tuned, report):
        page = report(base, tuned)
        assert not any(a.get("id") == "training" for _, a in page.tags)

    def test_logs_from_elsewhere_are_named(self, base, tuned, trained, report, tmp_path):
        page = report(base, tuned, "--training", trained)
        assert {row["stage"] for row in page.table("training")} == {"exploratory", "targeted"}
        page = report(base, tuned, "--training", trained / "stages" / "targeted")
        assert {row["stage"] for row in page.table("training")} == {"targeted"}

    def test_a_folder_without_a_log_is_refused(self, base, tuned, tmp_path, capsys):
        assert main([str(base), str(tuned), "--training", str(tmp_path)]) == 64
        assert "neither it nor its stages/ has a steps.jsonl" in capsys.readouterr().err

    def test_markdown_has_a_line_per_stage(self, trained, tmp_path):
        target = tmp_path / "r.md"
        assert main([*map(str, runs_of(trained)), "--output", str(target)]) == 0
        text = target.read_text("utf-8")
        assert (
            "| exploratory | 40 (4 skipped) |" in text
            and "| targeted | 12 | 3.000 → 0.250 |" in text
        )

    def test_every_column_is_a_figure_of_its_step(self, trained):
        log = read_log(trained / "stages" / "exploratory" / "steps.jsonl")
        table = steps_table([log])
        assert table.columns[:3] == ("stage", "step", "loss") and len(table.rows) == 40
        assert {"parts/length", "tasks/sns_mini/ner/n"} <= set(table.columns)
