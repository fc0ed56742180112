"""diagnosis.json read back, and the command redone diagnose."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from planted import (
    GENDER,
    TAXONOMY,
    TOPIC,
    chinese_to_english_items,
    evaluate,
)

from redone.harness.diagnosis.cli import main
from redone.harness.diagnosis.diagnose import DiagnosisConfig, diagnose
from redone.harness.diagnosis.schema import read_diagnosis, write_diagnosis

# --- the file ------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def diagnosed(tmp_path_factory, data):
    run = evaluate(tmp_path_factory.mktemp("runs") / "m", data, chinese_to_english_items)
    write_diagnosis(diagnose(run, DiagnosisConfig()), run.path / "diagnosis.json")
    return run.path


@pytest.fixture
def written(tmp_path, diagnosed):
    return Path(shutil.copytree(diagnosed, tmp_path / "m")) / "diagnosis.json"


def test_the_file_is_read_back_as_it_was_written(written):
    found = read_diagnosis(written)
    again = Path(f"{written}.again")
    write_diagnosis(found, again)
    assert again.read_bytes() == written.read_bytes()


def test_a_file_of_schema_version_1_is_read_and_its_terms_become_what_was_observed(written):
    before = read_diagnosis(written)
    assert {hint.observed for hint in before.hints} == {"language"}
    raw = json.loads(written.read_text())
    raw["schema_version"] = 1
    for hint in raw["hints"]:
        assert hint.pop("observed") == "language"
        hint["term"] = "language"
    terms = {"pattern": "format", "length": "truncated", "answer": "no_answer"}
    first = raw["hints"][0]
    raw["hints"] += [first | {"term": term} for term in terms]
    written.write_text(json.dumps(raw))
    found = read_diagnosis(written)
    assert found.schema_version == 2
    assert [h.observed for h in found.hints[len(before.hints) :]] == list(terms.values())
    assert found.hints[: len(before.hints)] == before.hints


def test_the_same_run_gives_the_same_file(tmp_path, written):
    before = written.read_bytes()
    assert main([str(tmp_path / "m"), "--json"]) == 0
    assert written.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.pop("buckets"), "buckets"),
        (lambda d: d.update(more=1), "more"),
        (lambda d: d.update(schema_version=3), "schema version 3"),
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
        read_diagnosis(written)
    assert type(error.value).__name__ == "BadRow"


# --- what users type -----------------------------------------------------------------------------


def test_the_tables_name_what_the_file_holds(written, capsys):
    assert main([str(written.parent)]) == 0
    out = capsys.readouterr().out
    for text in ("Capability map", "Weaknesses", "language=en", "Failures of form", "Confusions"):
        assert text in out
    assert str(written) in out


def test_hostile_labels_are_shown_as_text(written, capsys):
    from redone.harness.diagnosis.display import show

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
    show(read_diagnosis(written), written)
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
    assert said in message and message.count("redone diagnose:") == 1


def test_two_references_are_refused(written, capsys):
    folder = str(written.parent)
    assert main([folder, "--against", folder, "--target", f"{GENDER}=50"]) == 64
    assert "give one of them" in capsys.readouterr().err


def test_targets_may_be_in_a_file(written, capsys):
    table = written.parent / "targets.toml"
    table.write_text(f'"{GENDER}" = 100\n"sns_bench/taxonomy*" = 95.5\n')
    assert main([str(written.parent), "--target", str(table), "--json"]) == 0
    tasks = json.loads(capsys.readouterr().out)["tasks"]
    assert tasks[GENDER]["reference"]["score"] == 100
    assert tasks[TAXONOMY]["reference"]["kind"] == "target"
    assert tasks[TOPIC]["reference"] is None


def test_folders_without_a_finished_run_are_errors(written, tmp_path, capsys):
    assert main([str(tmp_path)]) == 65
    assert "no run.json" in capsys.readouterr().err
    results = written.parent / "results.json"
    content = json.loads(results.read_text())
    content["tasks"][GENDER]["missing"] = 3
    results.write_text(json.dumps(content))
    assert main([str(written.parent)]) == 3
    assert f"{GENDER} (3)" in capsys.readouterr().err


def test_old_or_broken_scores_name_rescore(written, capsys):
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
def test_full_data_under_the_authors_protocol_give_a_rank(tmp_path, data_dir):
    from redone.harness.diagnosis.rank import compare_published, published_row
    from redone.tasks.protocol import load_protocol
    from redone.tasks.registry import find

    names = f"{GENDER},sns_bench/ner"
    protocol = load_protocol("official", find(None, names), data_dir)
    row = published_row("redone2:RedOne-2.0-4B")

    def compared(name, **options):
        run = evaluate(tmp_path / name, data_dir, lambda s, t, d: "Yes", names=names, **options)
        figures = {f.name: f for f in compare_published(run, row).figures}
        return figures["sns_bench/gender"], figures["sns_bench/ner"]

    gender, ner = compared("official", protocol=protocol)
    assert (gender.why_not, ner.why_not) == ("", "")
    assert (ner.rank, gender.rank) == (1, 2)
    assert gender.gap.value == pytest.approx(78.76 - gender.score.value)
    for own in compared("prompts", prompts=protocol.prompts):
        assert own.rank is None and "not asked under the authors' protocol" in own.why_not


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
