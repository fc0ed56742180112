"""The board: averages made again, and nobody ranked against somebody asked otherwise."""

import pytest

from redone.harness.scored_run import ScoredRun
from redone.leaderboards.board import board, findings
from redone.leaderboards.rows import MEAN
from redone.leaderboards.submission import problems, submission_of


def sheet(found, name):
    return next(s for s in found if s.name == name)


def row(found, label, scoring=None):
    return next(
        (n, r)
        for n, r in enumerate(found.rows)
        if r.label == label and scoring in (None, r.scoring)
    )


class TestPrinted:
    def test_the_headline_comes_out_of_the_table(self, paper):
        rows = {r.label: r.cells for r in sheet(board([paper], []), "sns").rows}
        means = {name: cells[MEAN].value for name, cells in rows.items()}
        assert round(means["RedOne-2.0-4B"] - means["Qwen3-4B"], 2) == 8.74
        assert round(means["RedOne-2.0-4B"] - means["RedOne-7B"], 2) == 2.41

    def test_one_printed_average_disagrees_and_both_are_kept(self, paper):
        wrong = [
            (r.label, key, round(cell.value, 2), cell.printed)
            for r in sheet(board([paper], []), "sns").rows
            for key, cell in r.cells.items()
            if cell.printed is not None
        ]
        assert wrong == [("Qwen3-30B-A3B", "sns_trans", 43.41, 37.05)]

    def test_the_second_table_repeats_it_and_is_marked_too(self, paper):
        _, found = row(sheet(board([paper], []), "table 2"), "Qwen3-30B-A3B")
        assert found.cells["sns_trans"].printed == 37.05

    def test_every_table_is_there_in_its_own_order_and_without_ranks(self, paper):
        found = board([paper], [])
        assert [s.name for s in found] == ["sns", "table 2", "table 3", "table 4"]
        third = sheet(found, "table 3")
        assert third.ranks is None and third.rows[0].label == "Qwen3-4B"

    def test_printed_rows_rank_among_all_of_them(self, paper):
        found = sheet(board([paper], []), "sns")
        number, _ = row(found, "RedOne-2.0-30B-A3B")
        place = found.ranks.of(number, "sns_bench")
        assert (place.rank, place.of, place.mark) == (1, 30, "")
        assert found.ranks.notes == ()

    def test_what_does_not_follow_is_found(self, paper):
        held = [f for f in findings(paper) if f.expected]
        assert all(f.holds for f in held) and len(held) == 6
        assert sum(not f.expected for f in findings(paper)) == 1
        claims = [c.model_copy(update={"points": c.points + 0.01}) for c in paper.claims]
        altered = paper.model_copy(update={"claims": claims})
        assert sum(f.expected and not f.holds for f in findings(altered)) == 2
        rows = {**paper.rows, "Qwen3-4B": {**paper.rows["Qwen3-4B"], "sns_bench/mrc": 90.0}}
        altered = paper.model_copy(update={"rows": rows})
        assert sum(f.expected and not f.holds for f in findings(altered)) == 1


class TestMeasured:
    def test_alike_asked_runs_rank_and_scorings_stay_apart(self, finished, better):
        both = [submission_of(ScoredRun(run)) for run in (finished, better)]
        found = sheet(board([], both), "sns-mini")
        for scoring in ("official", "corrected"):
            high, _ = row(found, "better.jsonl", scoring)
            low, _ = row(found, "finished.jsonl", scoring)
            one, two = (found.ranks.of(n, "sns-mini") for n in (high, low))
            assert (one.rank, two.rank, one.of) == (1, 2, 2) and one.mark == two.mark
        marks = {found.ranks.of(n, "sns-mini").mark for n in range(len(found.rows))}
        assert marks == {"", "a"}
        assert any("scoring" in reason for note in found.ranks.notes for reason in note.reasons)

    def test_equal_scorings_are_one_row(self, submission):
        found = sheet(board([], [submission]), "general-mini")
        assert [r.scoring for r in found.rows] == ["both"]

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda t, r: t.update(data="0" * 16), "samples"),
            (lambda t, r: t.update(prompt="0" * 16), "prompts"),
            (lambda t, r: t.update(version=99), "task versions"),
            (lambda t, r: t["settings"].update(max_tokens=7), "limits"),
            (lambda t, r: t["settings"].update(max_repetition=None), "limits"),
            (lambda t, r: t["settings"].update(temperature=0.5), "sampling"),
            (lambda t, r: t.update(protocol="official"), "protocol: official and redone's own"),
            (lambda t, r: r["request"].update(draws=4), "draws: 4, not 1"),
            (lambda t, r: r["request"].update(partition="gate"), "partition: gate, not all"),
            (lambda t, r: r["request"].update(system="Hm."), "system text"),
            (lambda t, r: r["model"].update(thinking="on"), "thinking: on, not auto"),
        ],
    )
    def test_whatever_differs_keeps_two_rows_apart_and_is_named(
        self, submission, changed, change, words
    ):
        other = changed(lambda r: change(r["tasks"]["general_mini/facts"], r), name="other")
        found = sheet(board([], [submission, other]), "general-mini")
        for column in ("general-mini", "general_mini/knowledge"):
            places = [found.ranks.of(n, column) for n in range(2)]
            assert [p.rank for p in places] == [None, None]
            assert [p.mark for p in places] == ["", "a"]
        assert any(words in reason for reason in found.ranks.notes[0].reasons)

    def test_a_column_in_which_all_is_alike_still_ranks(self, submission, changed):
        change = lambda r: r["tasks"]["general_mini/facts"].update(prompt="0" * 16)  # noqa: E731
        found = sheet(board([], [submission, changed(change, name="other")]), "general-mini")
        assert [found.ranks.of(n, "general_mini/reading").rank for n in range(2)] == [1, 1]

    def test_a_mean_of_fewer_tasks_is_no_mean(self, scripted_run):
        run = scripted_run(
            "few", lambda *_: None, "--tasks", "sns_mini/taxonomy_single,sns_mini/ner"
        )
        found = sheet(board([], [submission_of(ScoredRun(run))]), "sns-mini")
        assert [c.key for c in found.columns] == ["sns_bench_mini/ner"]

    def test_demonstrations_say_so(self, submission):
        assert all(s.demonstration and s.notes for s in board([], [submission]))

    def test_a_subset_of_the_samples_is_named_as_one(self, submission):
        _, found = row(sheet(board([], [submission]), "sns-mini"), "finished.jsonl")
        assert found.samples == "subset: 168 samples, 12 per task"
        assert found.signatures and all("|scoring:" in s for s in found.signatures)

    @pytest.mark.shared_data
    def test_only_the_authors_protocol_stands_in_a_printed_column(self, paper, data_dir, tmp_path):
        from redone.harness.cli import main

        found = {}
        for name in ("own", "official", "official:greedy"):
            asked = ("--protocol", name) if name != "own" else ()
            run = tmp_path / name.replace(":", "-")
            where = ("--data-dir", str(data_dir), "--output", str(run), *asked)
            tasks = ("--tasks", "sns_bench/gender", "--backend", "scripted", "--model", "gold")
            assert main([*tasks, *where]) == 0
            made = submission_of(ScoredRun(run), name, baselines=True)
            assert list(problems(made)) == []
            found[name] = made
        made = sheet(board([paper], list(found.values())), "sns")
        printed, _ = row(made, "Qwen3-4B")
        column = "sns_bench/gender"
        for name in ("official", "official:greedy"):
            number, cells = row(made, name, "official")
            assert made.ranks.of(number, column).mark == made.ranks.of(printed, column).mark == ""
            assert ("protocol", name) in cells.facts
        number, own = row(made, "own", "official")
        assert made.ranks.of(number, column).mark != ""
        assert own.cells[column].apart == (
            "not the authors' prompt",
            "not asked under the authors' protocol (--protocol official)",
            "not the authors' limits",
        )
