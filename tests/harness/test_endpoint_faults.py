"""A server that fails: every answer comes once, or the run ends with a clear word and goes on later."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from misbehaving_server import KINDS, MisbehavingServer, plain_answer, reply_with

from redone.harness.cli import main
from redone.harness.models.endpoint import EndpointModel, EndpointOptions
from redone.harness.models.endpoint.client import ServerGone
from redone.tasks.errors import RedoneError
from redone.tasks.schema import Request, Settings

QUICK = {"timeout": 0.3, "back_off": 0.005, "patience": 20.0}


@pytest.fixture(autouse=True)
def somewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("REDONE_API_KEY", "OPENAI_API_KEY", "REDONE_DATA"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def connect():
    """A function: server -> model, closed afterwards."""
    made = []

    def connected(server, **options):
        made.append(EndpointModel("tiny", server.url, options=EndpointOptions(**QUICK | options)))
        return made[-1]

    yield connected
    for model in made:
        model.close()


def questions(count):
    for n in range(count):
        yield Request(f"{n}", ({"role": "user", "content": f"question {n}"},), Settings())


def command(server, *more, **options):
    quick = json.dumps(QUICK | options)
    return ["--backend", "endpoint", "--model", "tiny", "--base-url", server.url,
            "--backend-args", quick, "--output", "run", *more]  # fmt: skip


def recorded(tmp_path):
    lines = (tmp_path / "run/responses.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def keys(records):
    return {(r["sample"], r["request"], r["draw"]) for r in records}


def test_over_a_thousand_answers_through_thirty_percent_of_faults(tmp_path, capsys):
    with MisbehavingServer(faults=0.3) as server:
        assert main(command(server, "--draws", "5", "--temperature", "1", "--json")) == 0
        records = recorded(tmp_path)
        assert len(records) == len(keys(records)) == 14 * 16 * 5
        assert set(server.misbehaved) == set(KINDS)
        assert sum(server.misbehaved.values()) > 300
        # Every recorded text is what the server's model said to one of the requests.
        said = {plain_answer(body) for body in server.bodies}
        assert {r["text"] for r in records} <= said
    assert json.loads(capsys.readouterr().out)["complete"]


@pytest.mark.parametrize("kind", KINDS)
def test_each_fault_by_itself_is_outlived(kind, connect):
    with MisbehavingServer(faults=0.6, kinds=(kind,)) as server:
        answers = {r.sample: c.text for r, c in connect(server, timeout=0.1).run(questions(8))}
        assert len(answers) == 8
        assert server.misbehaved[kind]
        assert "never to be seen" not in answers.values()


def test_a_server_that_is_gone_ends_the_run_and_a_later_one_completes_it(tmp_path, capsys):
    with MisbehavingServer() as server:
        server.stop_after = 60
        argv = command(server, patience=0.3)
        assert main(argv) == ServerGone.exit_code
        said = capsys.readouterr().err
        assert "no usable answer for" in said
        assert "rerun the same command to resume" in said
        assert "Traceback" not in said
        first = recorded(tmp_path)
        # What was on its way when the run gave up may be lost; it is asked again.
        assert 0 < len(first) == len(keys(first)) <= 60

        server.stop_after = None
        asked = len(server.bodies)
        assert main(argv) == 0
        assert f"Resuming: {len(first)} of 224" in capsys.readouterr().err
        records = recorded(tmp_path)
        assert records[: len(first)] == first
        assert len(records) == len(keys(records)) == 224
        assert len(server.bodies) - asked < 224


def test_a_short_outage_uses_up_no_tries(connect):
    with MisbehavingServer() as server:
        server.stop_after = 10
        threading.Timer(0.5, lambda: setattr(server, "stop_after", None)).start()
        model = connect(server, tries=2, back_off=0.001)
        assert len(list(model.run(questions(40)))) == 40


def test_a_request_that_always_fails_is_skipped_and_the_others_are_kept(connect):
    def answer(body):
        bad = body["messages"][0]["content"] == "question 3"
        return (500, {"error": "cannot"}) if bad else (200, reply_with("fine"))

    with MisbehavingServer(answer=answer, delay=0.002) as server:
        done = []
        with pytest.raises(
            RedoneError, match=r"failed repeatedly on 1 requests .*HTTP 500: cannot.*retry"
        ):
            done.extend(iter_into(done, connect(server, tries=3, timeout=30.0).run(questions(400))))
        assert {r.sample for r, _ in done} == {str(n) for n in range(400)} - {"3"}


def iter_into(done, pairs):
    for pair in pairs:
        done.append(pair)
    return ()


def test_a_server_that_asks_to_wait_for_long_is_not_waited_for(connect):
    with MisbehavingServer() as server:
        model = connect(server)
        server.faults, server.kinds = 1.0, ("429-long",)
        with pytest.raises(ServerGone, match="requests to wait 3600 s"):
            list(model.run(questions(3)))


def test_it_asks_no_more_at_once_than_allowed_and_slows_down_when_told(connect):
    with MisbehavingServer(delay=0.002) as server:
        assert len(list(connect(server, concurrency=3).run(questions(60)))) == 60
        assert server.most == 3
    with MisbehavingServer(delay=0.002, slots=4) as server:
        assert len(list(connect(server, concurrency=64).run(questions(400)))) == 400
        # Without adapting, 60 of 64 would be turned away each time.
        assert server.misbehaved["429"] < 200
        assert server.most < 24


def test_retry_after_holds_everything_back(connect):
    with MisbehavingServer(faults=1.0, kinds=("429-second",)) as server:
        model = connect(server, concurrency=2)
        begun = time.monotonic()
        server.forgive_after = 1
        assert len(list(model.run(questions(4)))) == 4
        assert time.monotonic() - begun >= 0.4


def test_closing_the_answers_ends_what_is_in_flight(connect):
    with MisbehavingServer(delay=0.2) as server:
        pulled = []

        def watched():
            for request in questions(10_000):
                pulled.append(request)
                yield request

        answers = connect(server, concurrency=2).run(watched())
        next(answers)
        answers.close()
        time.sleep(0.1)
        asked = len(server.bodies)
        time.sleep(0.5)
        # Those that waited for their turn never got one.
        assert len(server.bodies) == asked < len(pulled)
        assert len(pulled) <= 5  # twice the concurrency ahead of the answers, no more


def test_an_error_of_the_questions_reaches_the_caller(connect):
    def broken():
        yield from questions(3)
        raise ValueError("no more questions")

    with MisbehavingServer() as server, pytest.raises(ValueError, match="no more"):
        list(connect(server).run(broken()))


def test_it_works_where_an_event_loop_runs_already(connect):
    async def notebook(server):
        return list(connect(server).run(questions(3)))

    with MisbehavingServer() as server:
        assert len(asyncio.run(notebook(server))) == 3


def test_ctrl_c_ends_at_once_while_the_server_is_silent(tmp_path):
    with MisbehavingServer() as server:
        server.faults, server.kinds = 0.5, ("silence",)
        argv = command(server, timeout=600.0, patience=600.0)
        code = f"from redone.harness.cli import main; raise SystemExit(main({argv!r}))"
        process = subprocess.Popen(
            [sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.PIPE, text=True
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and server.misbehaved["silence"] < 5:
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "run the same command" in said
    assert "Traceback" not in said
