"""A run in progress is watched: without its lock, to its end, and safely."""

import io
import json
import shutil

import pytest

from redone.harness.live import LiveRun
from redone.harness.run_folder import RunFolder, RunUnreadable
from redone.reports.cli import main
from redone.reports.watch import line, status, view, watch

HOSTILE = "\x1b[2J\x1b]0;owned\x07 [red]x[/red] \u202e<b>" + "long " * 5000


@pytest.fixture(scope="module")
def complete(scripted_run):
    """Wrong on every other item, with answers that attack a terminal."""

    def spoil(task, sample):
        return HOSTILE if sample.index % 2 else None

    suites = "sns-mini,general-mini"
    return scripted_run("watched", spoil, "--limit", "8", suite=suites)


class Growing:
    """A copy of a run that is written anew, a part at a time."""

    def __init__(self, complete, folder):
        self.complete, self.folder = complete, folder
        self.lines = (complete / "responses.jsonl").read_bytes().splitlines(keepends=True)
        folder.mkdir()

    def prepare(self, *names):
        for name in names or ("samples.jsonl", "run.json"):
            shutil.copy(self.complete / name, self.folder / name)

    def answer(self, upto, torn=b""):
        (self.folder / "responses.jsonl").write_bytes(b"".join(self.lines[:upto]) + torn)

    def finish(self):
        self.answer(len(self.lines))
        self.prepare("results.json")


@pytest.fixture
def growing(complete, tmp_path):
    return Growing(complete, tmp_path / "run")


def shown(run, width=100):
    from rich.console import Console

    console = Console(file=io.StringIO(), width=width)
    console.print(view(run))
    return console.file.getvalue()


class TestReading:
    def test_before_the_questions_are_known_it_waits(self, growing):
        run = LiveRun(growing.folder)
        assert run.update() == 0 and not run.prepared and not run.finished
        assert "preparing the prompts" in status(run)

    def test_answers_are_counted_and_scored_as_they_come(self, growing):
        growing.prepare()
        run = LiveRun(growing.folder)
        assert run.update() == 0 and run.total == len(growing.lines)
        growing.answer(30)
        assert run.update() == 30 and run.update() == 0
        assert sum(state.judged for state in run.tasks().values()) == 30
        assert run.seconds_left is not None and not run.finished

    def test_a_torn_last_line_waits_for_its_end(self, growing):
        growing.prepare()
        run = LiveRun(growing.folder)
        growing.answer(5, torn=growing.lines[5][:40])
        assert run.update() == 5
        growing.answer(7)
        assert run.update() == 2

    def test_an_answer_given_twice_counts_once(self, growing):
        growing.prepare()
        growing.answer(5, torn=growing.lines[4])
        run = LiveRun(growing.folder)
        assert run.update() == 5

    def test_at_the_end_the_figures_are_those_of_the_run(self, growing, complete):
        growing.prepare()
        growing.finish()
        run = LiveRun(growing.folder)
        run.update()
        assert run.finished
        results = json.loads((complete / "results.json").read_text())
        table = {row["name"]: row["score"] for row in results["tables"]["corrected"]}
        for name, state in run.tasks().items():
            assert state.figure.point == pytest.approx(table[name])
        suites = [row for row in results["tables"]["corrected"] if row["level"] == "suite"]
        assert {title: figure.point for title, figure in run.suites().items()} == pytest.approx(
            {row["title"]: row["score"] for row in suites}
        )
        failures = [t["scorings"]["corrected"]["failures"] for t in results["tasks"].values()]
        assert run.kinds() == {
            kind: sum(f.get(kind, 0) for f in failures) for f in failures for kind in f
        }

    def test_a_folder_in_use_is_read_and_left_as_it_is(self, growing):
        growing.prepare()
        growing.answer(9, torn=b'{"sample": "')
        with RunFolder(growing.folder):
            before = {p.name: p.read_bytes() for p in growing.folder.iterdir()}
            run = LiveRun(growing.folder)
            assert run.update() == 9
            assert {p.name: p.read_bytes() for p in growing.folder.iterdir()} == before

    def test_without_texts_there_is_progress_and_no_score(self, growing):
        growing.prepare("run.json")
        growing.answer(9)
        run = LiveRun(growing.folder)
        assert run.update() == 9 and run.tasks() == {} and run.suites() == {}
        assert "it is scored at the end" in shown(run)

    def test_no_folder_and_a_deleted_folder_are_reported(self, growing, tmp_path):
        with pytest.raises(RunUnreadable, match="is not a run folder"):
            LiveRun(tmp_path / "none")
        run = LiveRun(growing.folder)
        shutil.rmtree(growing.folder)
        with pytest.raises(RunUnreadable, match="stopped before"):
            run.update()

    def test_a_broken_line_is_named(self, growing):
        growing.prepare()
        growing.answer(2, torn=b"{nonsense}\n")
        with pytest.raises(RunUnreadable, match="byte"):
            LiveRun(growing.folder).update()


class TestShowing:
    def test_the_screen_has_progress_scores_and_failures(self, growing):
        growing.prepare()
        growing.answer(100)
        run = LiveRun(growing.folder)
        run.update()
        text = shown(run)
        for words in (f"100 of {len(growing.lines)} completions", "8/8", "so far", " left"):
            assert words in text
        assert "\x1b" not in text and "\u202e" not in text and "[red]x[/red]" in text
        lines = [text.rstrip() for text in text.splitlines()]
        assert max(map(len, lines)) <= 100
        assert any(line.startswith("task ") for line in lines) and "━" * 60 in lines

    def test_a_log_gets_a_line_from_time_to_time(self, growing, capsys):
        growing.prepare()
        turns = []

        def sleep(seconds):
            turns.append(seconds)
            growing.answer(10 * len(turns)) if len(turns) < 20 else growing.finish()

        assert watch(growing.folder, sleep) == 0
        out = capsys.readouterr().out
        logged = [text for text in out.splitlines() if " completions" in text and " of " in text]
        assert len(turns) == 20 and 1 < len(logged) < 6
        assert "corrected" in out and "redone report" in out and "\x1b" not in out

    def test_a_run_that_is_over_is_shown_at_once(self, complete, capsys):
        assert main(["--watch", str(complete)]) == 0
        assert "official" in capsys.readouterr().out

    def test_one_line_has_everything(self, growing):
        growing.prepare()
        growing.answer(100)
        run = LiveRun(growing.folder)
        run.update()
        assert "100 of" in line(run) and "per second" in line(run)

    def test_two_runs_cannot_be_watched(self, complete, capsys):
        assert main(["--watch", str(complete), str(complete)]) == 64
        assert "--watch shows one run" in capsys.readouterr().err
