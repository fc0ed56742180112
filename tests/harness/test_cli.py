"""`redone eval` as a user meets it: output, exit codes, and what it says to bad input."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from redone.harness.cli import main


@pytest.fixture(autouse=True)
def somewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REDONE_DATA", raising=False)


def fails(capsys, *argv):
    code = main(list(argv))
    assert code
    return code, capsys.readouterr().err


SCRIPTED = ("--backend", "scripted", "--model")


def test_the_embedded_default_ends_with_table_means_and_signature(capsys):
    assert main([*SCRIPTED, "gold"]) == 0
    out = capsys.readouterr().out
    for text in ("Taxonomy", "QueryGen", "Chinese to English", "taxonomy_single", "100.00"):
        assert text in out
    assert "sns-mini|v:2|scoring:corrected" in out
    assert "demonstration" in out


def test_json_is_the_results_file_and_nothing_else(capsys, tmp_path):
    assert main([*SCRIPTED, "gold", "--json", "--output", "run"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "run/results.json").read_text())


def test_rescore_needs_no_model_and_changes_nothing(tmp_path, capsys):
    assert main([*SCRIPTED, "everything", "--output", "run"]) == 0
    before = (tmp_path / "run/results.json").read_bytes()
    (tmp_path / "run/scores.parquet").unlink()
    (tmp_path / "run/results.json").unlink()
    assert main(["--rescore", "run"]) == 0
    assert (tmp_path / "run/results.json").read_bytes() == before
    assert (tmp_path / "run/scores.parquet").exists()


def test_a_command_without_a_sample_leaves_no_folder(tmp_path, capsys):
    _, said = fails(capsys, *SCRIPTED, "gold", "--partition", "report", "--output", "run")
    assert "report" in said
    assert not (tmp_path / "run").exists()


def test_predictions_for_samples_outside_the_request_are_counted(tmp_path, capsys):
    assert main([*SCRIPTED, "gold", "--tasks", "sns_mini/ner", "--output", "run"]) == 0
    rows = [{"id": "no such sample", "prediction": "x"}]
    for line in (tmp_path / "run/responses.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        rows.append({"id": row["sample"], "prediction": row["text"]})
    (tmp_path / "answers.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    capsys.readouterr()
    assert main([*SCRIPTED, "answers.jsonl", "--tasks", "sns_mini/ner", "--output", "again"]) == 0
    assert "1 of 17 predictions" in capsys.readouterr().err


def test_the_same_command_finds_its_folder_again(capsys):
    for _ in range(2):
        assert main([*SCRIPTED, "gold", "--limit", "2"]) == 0
    assert "28 of 28 responses are there" in capsys.readouterr().err


def test_predictions_made_elsewhere_are_scored_by_row(tmp_path, capsys):
    rows = [
        {"task": "sns_mini/gender", "index": n, "prediction": "Yes" if n < 8 else "是"}
        for n in range(16)
    ]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, rows)))
    argv = [*SCRIPTED, "p.jsonl", "--tasks", "sns_mini/gender", "--json"]
    assert main(argv) == 0
    task = json.loads(capsys.readouterr().out)["tasks"]["sns_mini/gender"]
    assert task["scorings"]["corrected"]["score"] == 50


def test_a_missing_prediction_names_the_sample(tmp_path, capsys):
    (tmp_path / "p.jsonl").write_text('{"task": "sns_mini/gender", "index": 0, "prediction": "No"}')
    _, said = fails(capsys, *SCRIPTED, "p.jsonl", "--tasks", "sns_mini/gender")
    assert "no prediction for sample" in said


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("--suite", "sns-mni"), "'sns-mini'"),
        (("--tasks", "sns_mini/gendre"), "sns_mini/gender"),
        (("--partition", "gates"), "'gate'"),
        (("--draws", "3"), "--temperature"),
        (("--temperature", "-1"), "out of range"),
        (("--top-p", "1.5"), "out of range"),
        (("--prompts", "none.json"), "none.json"),
        (("--data-dir", "nowhere"), "'nowhere'"),
    ],
)
def test_bad_input_gets_one_message_that_helps(capsys, argv, said):
    _, message = fails(capsys, *SCRIPTED, "gold", *argv)
    assert said in message
    assert "Traceback" not in message


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("--backend", "vlm", "--model", "x"), "scripted"),
        (("--backend", "scripted", "--model", "golden"), "'gold'"),
        (("--model", "no/such/folder"), "no/such/folder"),
        (("--rescore", "nowhere"), "run.json"),
        (("--rescore", "run", "--suite", "sns", "--limit", "3"), "--suite, --limit"),
        (("--model", "x", "--chat-template-args", "{"), "--chat-template-args"),
    ],
)
def test_bad_models_and_folders_too(capsys, argv, said):
    _, message = fails(capsys, *argv)
    assert said in message


def test_missing_data_says_how_to_get_it(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    _, said = fails(capsys, *SCRIPTED, "gold", "--suite", "sns", "--data-dir", "empty")
    assert "redone tasks fetch sns-bench" in said
    assert "sns-mini" in said


def test_another_request_on_the_folder_names_the_fields(capsys):
    assert main([*SCRIPTED, "gold", "--output", "run", "--limit", "2"]) == 0
    capsys.readouterr()
    code, said = fails(capsys, *SCRIPTED, "gold", "--output", "run", "--limit", "3")
    assert code == 3
    assert "limit: there 2, now 3" in said


def test_no_model_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as error:
        main([])
    assert error.value.code == 64
    assert "--model" in capsys.readouterr().err


def test_prompts_of_ones_own_change_the_signature(tmp_path, capsys):
    signatures = []
    prompts = {"sns_mini/gender": {"system": "Yes or no?", "user": "{content}"}}
    (tmp_path / "p.json").write_text(json.dumps(prompts))
    for extra in ((), ("--prompts", "p.json"), ("--system", "Be brief.")):
        assert main([*SCRIPTED, "gold", "--tasks", "sns_mini/gender", "--json", *extra]) == 0
        results = json.loads(capsys.readouterr().out)
        signatures.append(results["tasks"]["sns_mini/gender"]["scorings"]["corrected"]["signature"])
    assert len(set(signatures)) == 3


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_keeps_its_answers_and_says_how_to_resume(sent, tmp_path):
    code = (
        "import time, redone.harness.models.scripted as s\n"
        "sheet = s.BASELINES['gold']\n"
        "run = s.ScriptedModel.run\n"
        "def slow(self, requests):\n"
        "    for pair in run(self, requests):\n"
        "        time.sleep(0.05)\n"
        "        yield pair\n"
        "s.ScriptedModel.run = slow\n"
        "from redone.harness.cli import main\n"
        "raise SystemExit(main(['--backend', 'scripted', '--model', 'gold', '--output', 'run']))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    journal = tmp_path / "run/responses.jsonl"
    while time.monotonic() < deadline and not (journal.exists() and journal.stat().st_size):
        time.sleep(0.05)
    os.kill(process.pid, sent)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "rerun the same command to resume" in said
    assert "Traceback" not in said
    assert journal.read_bytes().endswith(b"\n")


def test_help_answers_at_once_without_heavy_imports():
    code = (
        "import sys\n"
        "from redone.harness.cli import parser\n"
        "parser().format_help()\n"
        "heavy = {'torch', 'transformers', 'pyarrow', 'numpy', 'rich', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
