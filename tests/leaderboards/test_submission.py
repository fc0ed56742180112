"""A submitted result: made from a run, without texts, and trusted in nothing."""

import orjson
import pytest

from redone.harness.run_folder import RunUnreadable
from redone.harness.scored_run import ScoredRun
from redone.leaderboards.cli import RESULTS, main
from redone.leaderboards.schema import load, save
from redone.leaderboards.submission import problems, problems_of, submission_of, submit_run
from redone.tasks.errors import RedoneError

NER = "sns_mini/ner"


def corrected(record, task=NER):
    return record["tasks"][task]["scorings"]["corrected"]


class TestMaking:
    def test_figures_are_those_of_the_run(self, finished, submission):
        results = orjson.loads((finished / "results.json").read_bytes())
        for role, rows in results["tables"].items():
            for row, own in zip(rows, submission.tables[role], strict=True):
                assert (own.name, own.score, own.low, own.high) == (
                    row["name"], row["score"], row["low"], row["high"],
                )  # fmt: skip
                assert own.signature == row["signature"]

    def test_it_is_read_back_and_small(self, submission, tmp_path):
        path = save(submission, tmp_path)
        assert load(path) == submission and path.name == submission.file_name
        assert path.stat().st_size < 100_000

    def test_no_text_and_no_path_gets_in(self, finished, submission):
        content = orjson.dumps(submission.model_dump()).decode()
        with (finished / "samples.jsonl").open("rb") as file:
            for line in file:
                item = orjson.loads(line)
                for text in item["fields"].values():
                    assert not isinstance(text, str) or len(text) < 12 or text not in content
        assert str(finished.parent) not in content

    def test_a_run_is_the_same_file_again(self, finished, submission):
        assert submission_of(ScoredRun(finished)).file_name == submission.file_name

    def test_a_name_that_is_no_line_is_refused_with_the_way_out(self, finished):
        for name in ("a\x1b[31mb", "two\nlines", "\u202eesrever", "x" * 200, ""):
            with pytest.raises(RunUnreadable, match="--name"):
                submission_of(ScoredRun(finished), name)


class TestChecking:
    def test_an_honest_result_has_no_problem(self, submission):
        assert list(problems(submission)) == []

    def test_the_results_that_ship_are_right(self):
        found = problems_of(RESULTS)
        assert found and not any(found.values())

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (lambda r: corrected(r).update(score=99.0), "not its primary metric"),
            (
                lambda r: corrected(r).update(score=99.0, metrics={"micro_f1": 99.0}),
                "follows from the summed statistics",
            ),
            (lambda r: corrected(r).update(sums=[1.0]), "3 summed statistics"),
            (lambda r: corrected(r).update(low=90.0, high=10.0), "not an interval"),
            (lambda r: corrected(r).update(scoring="generous"), "no scoring 'generous'"),
            (lambda r: corrected(r).update(not_scored=99), "99 of 12 samples"),
            (lambda r: corrected(r).update(metrics={}), "micro_f1 are expected"),
            (lambda r: r["tasks"][NER].update(data="0" * 16), "signature does not match"),
            (lambda r: r["tasks"][NER].update(prompt="0" * 16), "signature does not match"),
            (lambda r: r["tasks"][NER].update(samples=13), "signature does not match"),
            (lambda r: r["tasks"][NER].update(version=7), "version 7, but this redone has"),
            (lambda r: r["tasks"][NER]["scorings"].pop("official"), "both scorings"),
            (lambda r: r["request"].update(seed=1), "signature does not match"),
            (lambda r: r["request"].update(system="Be kind."), "signature does not match"),
            (lambda r: r["versions"].pop("redone"), "version of redone is missing"),
            (lambda r: r["tasks"].update({"made/up": r["tasks"][NER]}), "Unknown task 'made/up'"),
            (lambda r: r["tables"]["corrected"].pop(), "rows of the corrected table do not follow"),
            (lambda r: r["tables"]["corrected"][-1].update(score=100.0), "the mean of its parts"),
            (lambda r: r["tables"]["official"][0].update(signature="x|v:1"), "is expected"),
        ],
    )  # fmt: skip
    def test_what_was_altered_is_found(self, changed, change, told):
        assert any(told in problem for problem in problems(changed(change)))

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (lambda r: r.update(note="hello"), "note: Extra inputs"),
            (lambda r: corrected(r).update(score=101.0), "less than or equal to 100"),
            (lambda r: corrected(r).update(score="99"), "valid number"),
            (lambda r: r["model"].update(name="a\u202eb"), "model.name"),
            (lambda r: r["request"].update(partition="test"), "request.partition"),
            (lambda r: r.update(tasks={}), "tasks: "),
            (lambda r: r.update(schema_version=2), "schema_version"),
        ],
    )
    def test_another_form_is_refused_by_field(self, submission, tmp_path, change, told):
        record = orjson.loads(orjson.dumps(submission.model_dump()))
        change(record)
        path = tmp_path / "x.json"
        path.write_bytes(orjson.dumps(record))
        with pytest.raises(RedoneError, match=told):
            load(path)

    def test_broken_and_huge_files_are_refused(self, tmp_path):
        path = tmp_path / "x.json"
        path.write_text("{")
        with pytest.raises(RedoneError, match="not valid JSON"):
            load(path)
        path.write_bytes(b" " * 3_000_000)
        with pytest.raises(RedoneError, match="larger than"):
            load(path)

    def test_a_copy_under_another_name_is_found(self, submission, tmp_path):
        path = save(submission, tmp_path)
        (tmp_path / "zz.json").write_bytes(path.read_bytes())
        wrong = problems_of(tmp_path)["zz.json"]
        assert f"its name must be {path.name}" in wrong[0] and "the same model" in wrong[1]

    def test_the_same_run_under_another_model_name_is_found(self, finished, tmp_path):
        for name in ("mine", "../.hidden"):
            save(submission_of(ScoredRun(finished), name), tmp_path)
        assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]
        assert sum("the same model" in w for ws in problems_of(tmp_path).values() for w in ws) == 1


class TestCommands:
    def test_scripted_answers_are_not_a_result(self, tmp_path, capsys, monkeypatch):
        from redone.harness.cli import main as evaluate

        monkeypatch.chdir(tmp_path)
        sheet = ["--backend", "scripted", "--model", "gold", "--tasks", NER, "--output", "gold"]
        assert evaluate(sheet) == 0
        assert (
            main(["submit", "gold", "--output", ".", "--name", "Best"]) == RunUnreadable.exit_code
        )
        assert "scripted answers" in capsys.readouterr().err
        assert main(["--run", "gold"]) == 0

    def test_submit_then_validate(self, finished, tmp_path, capsys):
        assert main(["submit", str(finished), "--output", str(tmp_path), "--name", "Mine"]) == 0
        path = capsys.readouterr().out.strip()
        assert load(tmp_path / path).model.name == "Mine"
        assert main(["validate", str(tmp_path)]) == 0
        assert "1 result file " in capsys.readouterr().out

    def test_submit_run_is_the_command_as_a_function(self, finished, tmp_path, capsys):
        path = submit_run(finished, "Mine", tmp_path / "made")
        assert capsys.readouterr().out == ""
        assert main(["submit", str(finished), "--output", str(tmp_path), "--name", "Mine"]) == 0
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()

    def test_validate_names_file_and_problem_and_fails(self, changed, tmp_path, capsys):
        save(changed(lambda r: corrected(r).update(score=99.0)), tmp_path)
        assert main(["validate", str(tmp_path)]) == 1
        assert f"{NER}, corrected: the score is not" in capsys.readouterr().out

    def test_control_characters_in_a_file_do_not_reach_the_terminal(self, tmp_path, capsys):
        (tmp_path / "a\x1bb.json").write_text('{"\x1b[31m": 1}'.replace("\x1b", "\\u001b"))
        assert main(["validate", str(tmp_path)]) == 1
        assert "\x1b" not in capsys.readouterr().out

    def test_an_unfinished_run_is_refused(self, tmp_path, capsys):
        assert main(["submit", str(tmp_path), "--output", str(tmp_path)]) == 65
        assert "is not a run folder" in capsys.readouterr().err

    def test_without_a_checkout_a_folder_is_asked_for(
        self, finished, tmp_path, capsys, monkeypatch
    ):
        monkeypatch.chdir(tmp_path)
        assert main(["submit", str(finished)]) == 64
        assert "name a folder with --output" in capsys.readouterr().err
