"""`redone eval --backend endpoint` as a user meets it: bad input, the key, the cost."""

import json
import socket

import pytest
from misbehaving_server import MisbehavingServer

from redone.harness.cli import main

KEY = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def somewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("REDONE_API_KEY", "OPENAI_API_KEY", "REDONE_DATA"):
        monkeypatch.delenv(name, raising=False)


def command(url, *more, model="tiny"):
    return ["--backend", "endpoint", "--model", model, "--base-url", url,
            "--tasks", "sns_mini/gender", *more]  # fmt: skip


def said(capsys, argv):
    """What a command that fails says: one line."""
    assert main(argv) not in (0, None)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def args(**options):
    return ("--backend-args", json.dumps({"timeout": 1, "patience": 1, "back_off": 0.01} | options))


def test_a_port_without_a_server(capsys):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        message = said(capsys, command(url))
    assert f"No answer from {url}" in message
    assert "Is the server running" in message


def test_an_address_without_v1(capsys):
    with MisbehavingServer() as server:
        message = said(capsys, command(server.url.removesuffix("/v1")))
        assert f"pass --base-url {server.url}" in message


def test_a_server_of_something_else(capsys):
    with MisbehavingServer(prefix="/elsewhere") as server:
        url = server.url.replace("elsewhere", "v1")
        message = said(capsys, command(url, *args()))
    assert "HTTP 404" in message
    assert "--base-url" in message


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("localhost:8000/v1", "Expected e.g. http://localhost:8000/v1"),
        ("ftp://host/v1", "is not a URL"),
        ("http://host:port/v1", "is not a URL"),
        ("http://host/v1/chat/completions", "http://host/v1"),
        (f"http://user:{KEY}@host/v1", "REDONE_API_KEY"),
        (f"http://host/v1?key={KEY}", "REDONE_API_KEY"),
    ],
)
def test_addresses_that_are_not_urls(capsys, url, told):
    message = said(capsys, command(url))
    assert told in message
    assert KEY not in message


def test_no_address(capsys):
    assert "--base-url http://HOST:PORT/v1" in said(
        capsys, ["--backend", "endpoint", "--model", "x"]
    )


def test_a_wrong_model_name_gets_the_right_ones(capsys):
    with MisbehavingServer(models=("tiny-chat", "other")) as server:
        message = said(capsys, command(server.url, model="tiny-chot"))
    assert "'tiny-chot'" in message
    assert "Did you mean 'tiny-chat'?" in message


def test_among_many_models_the_near_names_are_listed(capsys):
    with MisbehavingServer(models=tuple(f"model-{n}" for n in range(200))) as server:
        message = said(capsys, command(server.url, model="model_77"))
    assert "'model-77'" in message
    assert "There are 200: GET /models" in message


def test_a_missing_and_a_wrong_key(capsys, monkeypatch):
    with MisbehavingServer(key=KEY) as server:
        assert "export REDONE_API_KEY=" in said(capsys, command(server.url))
        monkeypatch.setenv("REDONE_API_KEY", "sk-wrong-one")
        message = said(capsys, command(server.url))
        assert "rejects the key" in message
        assert "sk-wrong-one" not in message
        monkeypatch.setenv("REDONE_API_KEY", "sk-in\ntwo-lines")
        message = said(capsys, command(server.url))
        assert "Set it again" in message
        assert "two-lines" not in message


@pytest.mark.parametrize("name", ["REDONE_API_KEY", "OPENAI_API_KEY"])
def test_the_key_is_sent_and_nowhere_written(tmp_path, capsys, monkeypatch, name):
    monkeypatch.setenv(name, KEY)
    with MisbehavingServer(key=KEY) as server:
        assert main(command(server.url, "--limit", "2", "--output", "run")) == 0
        server.answer = lambda body: (400, {"error": {"message": f"your key {KEY} is fine, but"}})
        assert main(command(server.url, "--limit", "3", "--output", "other")) != 0
    printed = "".join(capsys.readouterr())
    assert "your key *** is fine" in printed
    written = "".join(p.read_text(errors="replace") for p in tmp_path.rglob("*") if p.is_file())
    assert KEY not in printed + written


def test_the_own_key_goes_before_the_general_one(monkeypatch):
    monkeypatch.setenv("REDONE_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-general")
    with MisbehavingServer(key=KEY) as server:
        assert main(command(server.url, "--limit", "1")) == 0
        assert not any("sk-general" in str(h) for h in server.headers)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ('{"concurency": 3}', "Did you mean 'concurrency'?"),
        ('{"concurrency": "3"}', "concurrency: '3': Input should be a valid integer"),
        ('{"concurrency": true}', "concurrency: True: Input should be a valid integer"),
        ('{"concurrency": 0}', "greater than or equal to 1"),
        ('{"timeout": -1}', "greater than 0"),
        ('{"price_in": 1.0}', "belong together"),
        ('{"api": "talk"}', "'auto', 'chat' or 'completions'"),
        ('{"api": "completions"}', "--tokenizer PATH"),
        ("[1]", "an object is expected"),
        ("{", "--backend-args"),
    ],
)
def test_backend_args_are_checked(capsys, given, told):
    assert told in said(capsys, command("http://127.0.0.1:9/v1", "--backend-args", given))


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (("--backend", "scripted", "--base-url", "http://host/v1"), "--base-url does not apply"),
        (("--backend", "scripted", "--backend-args", '{"a": 1}'), "takes no --backend-args"),
        (("--backend-args", '{"engin": "plain"}'), "'engine'"),
        (("--backend", "endpoint", "--dtype", "bfloat16"), "--dtype does not apply"),
        (
            ("--backend", "endpoint", "--base-url", "http://h/v1", "--tokenizer", "nowhere"),
            "'nowhere'",
        ),
    ],
)
def test_options_of_another_backend_are_refused_not_ignored(capsys, argv, told):
    assert told in said(capsys, ["--model", "gold", *argv])


def test_tokens_are_counted_and_charged(tmp_path, capsys):
    prices = args(price_in=2.0, price_out=10.0)
    with MisbehavingServer() as server:
        assert main(command(server.url, *prices, "--limit", "4", "--output", "run")) == 0
    results = json.loads((tmp_path / "run/results.json").read_text())
    # Four answers of 10 tokens read and 3 written.
    assert results["cost"] == pytest.approx((40 * 2.0 + 12 * 10.0) / 1e6)
    assert "cost 0.0002 at the prices given" in capsys.readouterr().out


def test_a_list_of_models_is_not_needed(capsys):
    with MisbehavingServer(models=()) as server:
        server.models = _Unlisted()
        assert main(command(server.url, "--limit", "1", model="deployment-7")) == 0


class _Unlisted(tuple):
    """Lists nothing, has everything."""

    def __contains__(self, _):
        return True
