"""Runs under the authors' protocol: what they request, sign, and may be compared with."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from redone.harness.cli import main
from redone.harness.compare import check_comparable
from redone.harness.evaluate import Plan, prepare, sample_records
from redone.harness.models.scripted import ScriptedModel
from redone.harness.records import parts_of, services_of
from redone.harness.run_folder import NotComparable, RunFolder
from redone.harness.scored_run import ScoredRun
from redone.tasks.datasets import dataset
from redone.tasks.protocol import OWN, Protocol
from redone.tasks.registry import find
from redone.tasks.schema import Record, Settings
from redone.tasks.task import Prompt

GENDER = "sns_mini/gender"
ASKED = ("--backend", "scripted", "--model", "gold", "--tasks", GENDER, "--limit", "4")


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The authors' files, with texts and numbers of our own."""
    folder = tmp_path_factory.mktemp("data")
    names = dataset("sns-bench").prompts.generation.names
    limit = {"max_out_len": 77, "extra_gen_kwargs": {"temperature": 0.5, "top_p": 0.4}}
    written = {
        "official_prompts.json": {n: {"system": "", "user": "Q"} for n in names},
        "official_generation.json": {"by_abbr": dict.fromkeys(names.values(), limit)},
    }
    (folder / "sns-bench").mkdir()
    for name, content in written.items():
        (folder / "sns-bench" / name).write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def run(published, tmp_path_factory):
    """`run(*options) -> folder` of a run that was asked with them."""
    made = {}

    def make(*options):
        if options not in made:
            folder = tmp_path_factory.mktemp("runs") / "run"
            where = ("--data-dir", str(published), "--output", str(folder))
            assert main([*ASKED, *where, *options]) == 0
            made[options] = folder
        return made[options]

    return make


def request(folder):
    return json.loads((folder / "run.json").read_text())["request"]["tasks"][GENDER]


def test_the_protocol_is_part_of_the_request_and_of_every_signature(run):
    own, official = run(), run("--protocol", "official")
    asked = request(official)
    assert asked["protocol"] == "official" and "protocol" not in request(own)
    assert asked["prompt"] != request(own)["prompt"]
    settings = asked["settings"]
    assert (settings["max_tokens"], settings["temperature"], settings["top_p"]) == (77, 0.1, 0.01)
    assert "max_repetition" not in settings  # the authors let a model go on
    results = json.loads((official / "results.json").read_text())
    signed = {row["signature"] for rows in results["tables"].values() for row in rows}
    assert {parts_of(s)["protocol"] for s in signed} == {"official"}
    assert services_of(next(iter(signed))) == {}
    assert "protocol:" not in (own / "results.json").read_text()


def test_another_reading_is_another_protocol(run):
    greedy, written = (run("--protocol", f"official:{r}") for r in ("greedy", "configured"))
    assert request(greedy)["settings"]["temperature"] == 0
    assert request(written)["settings"]["temperature"] == 0.5
    assert request(written)["protocol"] == "official:configured"


def test_runs_under_different_protocols_are_not_compared_unasked(run):
    one, two = (ScoredRun(run(*o)) for o in ((), ("--protocol", "official")))
    with pytest.raises(NotComparable, match="protocol of sns_mini/gender: 'own' and 'official'"):
        check_comparable(one, two, "corrected")
    assert check_comparable(two, two, "corrected") == []


@pytest.mark.parametrize(
    "option", [("--temperature", "0"), ("--max-tokens", "9"), ("--system", ""), ("--prompts", "x")]
)
def test_what_the_protocol_sets_cannot_be_set_beside_it(capsys, published, option):
    where = ("--data-dir", str(published), "--protocol", "official")
    assert main([*ASKED, *where, *option]) == 64
    said = capsys.readouterr().err
    assert option[0] in said and "--protocol official sets prompts" in said


def test_several_answers_can_be_drawn_where_the_authors_sample(run, capsys, published):
    assert run("--protocol", "official", "--draws", "2")
    where = ("--data-dir", str(published), "--protocol", "official:greedy", "--draws", "2")
    assert main([*ASKED, *where]) == 64
    assert "greedy answers are all alike" in capsys.readouterr().err


class Small(ScriptedModel):
    """A context of so many tokens, one per character."""

    context = 0

    def overflow(self, request):
        read = sum(len(message["content"]) for message in request.prompt)
        return read + request.settings.max_tokens - self.context


@pytest.mark.parametrize(
    ("official", "context", "room", "shortened"),
    [
        (True, 9_000, 4_096, 0),
        (True, 1_000, 900, 0),
        (True, 244, 144, 0),
        (True, 200, 144, 44),
        (False, 9_000, 144, 0),
        (False, 200, 100, 0),
        (False, 116, 16, 0),
        (False, 100, 16, 16),
    ],
)
def test_a_small_context_costs_room_for_the_answer_before_it_costs_text(
    official, context, room, shortened
):
    """Down to our own limit under the authors', and down to the bare answer under our own."""
    (task,) = find(tasks=GENDER)
    assert task.settings.max_tokens == 144
    task = replace(task, prompts={"en": Prompt("", "{content}")}, read=one_note)
    protocol = Protocol("official", {}, {GENDER: Settings(max_tokens=4_096)}) if official else OWN
    model = Small({})
    model.context = context
    (record,) = sample_records(Plan([task], None, protocol=protocol), model)
    (asked,) = record.requests
    settings = asked.settings or {"max_tokens": 4_096 if official else 144}
    assert settings["max_tokens"] == room
    gone = record.shortened["characters"] if record.shortened else 0
    assert gone == (shortened + 1 if shortened else 0)  # one more for the ellipsis


def one_note(folder):
    """One note of a hundred characters."""
    yield Record({"content": "0123456789" * 10}, "Yes", "en", "a note")


def test_a_context_that_cannot_hold_the_authors_limit_is_told(tmp_path, capsys):
    (task,) = find(tasks=GENDER)
    task = replace(task, prompts={"en": Prompt("", "{content}")}, read=one_note)
    protocol = Protocol("official", {}, {GENDER: Settings(max_tokens=4_096)})
    model = Small({})
    for context, told in ((9_000, False), (1_000, True)):
        model.context = context
        with RunFolder(tmp_path / str(context)) as folder:
            prepare(folder, Plan([task], None, protocol=protocol), model, {})
        assert ("1 samples: the model's context leaves less" in capsys.readouterr().err) == told
