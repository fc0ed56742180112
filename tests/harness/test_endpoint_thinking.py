"""A thinking model behind a server: it gets its budget, and is judged by its answer alone."""

from __future__ import annotations

import json

import pytest
from misbehaving_server import MisbehavingServer
from tiny_models import CHAT_TEMPLATE, tiny_tokenizer

from redone.harness.cli import main

BUDGET = 4096  # tokens of thinking, where nothing is said


@pytest.fixture(autouse=True)
def somewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("REDONE_API_KEY", "OPENAI_API_KEY", "REDONE_DATA"):
        monkeypatch.delenv(name, raising=False)


def evaluated(server, *more):
    """Answers of a run on three items."""
    argv = ["--backend", "endpoint", "--model", "tiny", "--base-url", server.url]
    assert main([*argv, "--tasks", "sns_mini/gender", "--limit", "3", "--output", "r", *more]) == 0
    with open("r/responses.jsonl", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def choice(body, content, finish="stop", **message):
    """The answer of a server to a chat or text request."""
    told = {"finish_reason": finish}
    told |= (
        {"message": {"content": content, **message}} if "messages" in body else {"text": content}
    )
    return 200, {"choices": [told], "usage": {"prompt_tokens": 9, "completion_tokens": 5}}


def limit_of(bodies):
    (limit,) = {body["max_tokens"] for body in bodies}
    return limit


def test_with_the_servers_template_and_reasoning_parser():
    def answer(body):
        return choice(body, "Female", reasoning_content="She says so. Answer: Male")

    with MisbehavingServer(answer=answer) as server:
        answers = evaluated(server, "--thinking", "on")
    assert limit_of(server.bodies) > BUDGET
    assert all(b["chat_template_kwargs"] == {"enable_thinking": True} for b in server.bodies)
    assert not any("stop" in body for body in server.bodies)  # they would end the thinking
    assert {a["text"] for a in answers} == {"Female"}
    assert {a["thinking"] for a in answers} == {"She says so. Answer: Male"}
    assert {a["finish"] for a in answers} == {"stop"}


def test_with_a_template_applied_here_that_opens_the_thinking(tmp_path):
    tiny_tokenizer(CHAT_TEMPLATE).save_pretrained(tmp_path / "tokenizer")
    with MisbehavingServer(answer=lambda b: choice(b, "Hm.\n</think>\n\nMale")) as server:
        answers = evaluated(server, "--thinking", "on", "--tokenizer", "tokenizer")
    assert limit_of(server.bodies) > BUDGET
    assert {(a["text"], a["thinking"]) for a in answers} == {("Male", "Hm.")}


def test_thinking_that_does_not_end_is_no_answer(capsys):
    def answer(body):
        return choice(body, None, "length", reasoning_content="On and on, Female")

    with MisbehavingServer(answer=answer) as server:
        answers = evaluated(server, "--max-thinking-tokens", "50")
    assert limit_of(server.bodies) < BUDGET
    assert {(a["text"], a["finish"]) for a in answers} == {("", "length")}
    printed = capsys.readouterr()
    assert "truncated 3" in printed.out
    assert printed.err.splitlines() == ["Run folder: r"]


def test_a_model_that_thinks_unasked_is_told_of_once(caplog):
    with MisbehavingServer(answer=lambda b: choice(b, "<think>Hm.</think>Male")) as server:
        answers = evaluated(server)
    assert {a["text"] for a in answers} == {"Male"}
    (record,) = [r for r in caplog.records if r.name == "redone.endpoint"]
    assert "--max-thinking-tokens N" in record.getMessage()
