"""Servers that do not accept a field: learned from, told once, recorded; streams and proxies."""

import json

import pytest
from misbehaving_server import MisbehavingServer, reply_with

from redone.harness.cli import main
from redone.harness.models.endpoint import EndpointModel, EndpointOptions
from redone.harness.models.endpoint.adapt import complaints, folded, rejected
from redone.harness.models.endpoint.client import Refused, is_loopback, proxy_of
from redone.harness.models.loading import checked_args
from redone.tasks.errors import RedoneError
from redone.tasks.schema import Request, Settings

QUICK = {"timeout": 2.0, "back_off": 0.005, "patience": 5.0}
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def somewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("REDONE_API_KEY", "OPENAI_API_KEY", "REDONE_DATA", *PROXIES):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


CHAT = ({"role": "system", "content": "Be short."}, {"role": "user", "content": "Say it."})
SAMPLED = Settings(max_tokens=7, stop=("\n",), temperature=0.7, top_p=0.9)


def refusing(*fields, message="Unsupported parameter: '{}' is not supported.", **error):
    """A server's answer: 400 while a request has one of these fields."""

    def answer(body):
        for field in fields:
            has = any(m["role"] == "system" for m in body.get("messages", ()))
            if field in body or (field == "system" and has):
                return 400, {"error": {"message": message.format(field), **error}}
        return 200, reply_with("first line\nsecond line")

    return answer


def ask(server, count=3, settings=SAMPLED, **options):
    """The answers of a model on a server, the bodies that it accepted, and its environment."""
    arguments = options.pop("chat_template_args", None)
    made = EndpointOptions(**QUICK | options)
    model = EndpointModel("tiny", server.url, chat_template_args=arguments, options=made)
    try:
        requests = [Request(f"{n}", CHAT, settings, seed=n) for n in range(count)]
        return [c.text for _, c in model.run(requests)], model.environment()
    finally:
        model.close()


@pytest.mark.parametrize(
    "field", ["temperature", "stop", "seed", "top_p", "chat_template_kwargs", "system"]
)
@pytest.mark.parametrize(
    "message",
    [
        "Unsupported parameter: '{}' is not supported with this model.",
        "Unrecognized request argument supplied: {}",
        "{}: Extra inputs are not permitted (message 1)",
    ],
)
def test_what_is_named_is_left_out_and_recorded(field, message, caplog):
    if field == "system":
        message = "Unsupported value: 'messages[0].role' does not support 'system'."
    with MisbehavingServer(answer=refusing(field, message=message)) as server:
        texts, environment = ask(server, chat_template_args={"style": "brief"})
    assert texts == ["first line"] * 3  # stop texts act, whether or not the server takes them
    assert list(environment["left_out"]) == [field]
    assert len([r for r in caplog.records if "does not accept" in r.message]) == 1
    accepted = server.bodies[-1]
    kept = {"temperature", "stop", "seed", "top_p", "chat_template_kwargs", "max_tokens"} - {field}
    assert kept <= accepted.keys() and field not in accepted
    system = "Be short." in json.dumps(accepted["messages"])
    assert system, "the system text is never lost"


def test_several_fields_one_after_the_other():
    fields = ("temperature", "top_p", "stop", "seed", "max_tokens", "system")
    answer = refusing(*fields, message="{}: this role or field is not allowed")
    with MisbehavingServer(answer=answer) as server:
        texts, environment = ask(server)
    assert set(environment["left_out"]) == set(fields)
    assert texts == ["first line"] * 3
    assert server.bodies[-1].keys() == {"model", "messages", "max_completion_tokens"}
    assert server.bodies[-1]["max_completion_tokens"] == 7
    assert server.bodies[-1]["messages"] == [{"role": "user", "content": "Be short.\n\nSay it."}]


def test_the_place_that_an_error_names_counts_first():
    def answer(body):
        if "seed" in body:
            detail = [{"loc": ["body", "seed"], "msg": "Extra inputs; temperature is fine"}]
            return 422, {"detail": detail}
        return 200, reply_with("yes")

    with MisbehavingServer(answer=answer) as server:
        _, environment = ask(server)
    assert list(environment["left_out"]) == ["seed"]

    with MisbehavingServer(
        answer=refusing("stop", message="Unsupported, unlike temperature", param="stop")
    ) as server:
        _, environment = ask(server)
    assert list(environment["left_out"]) == ["stop"]


@pytest.mark.parametrize(
    "error",
    [
        "This model's maximum context length is 4096 tokens; reduce max_tokens.",
        "max_tokens is too large: 7. This model supports at most 4.",
        "The system is out of order",
        "Invalid model",
        "messages must not be empty",
    ],
)
def test_other_rejections_end_the_run(error):
    with (
        MisbehavingServer(answer=lambda body: (400, {"error": {"message": error}})) as server,
        pytest.raises(Refused, match="rejects a request"),
    ):
        ask(server)
    assert {"temperature", "stop", "max_tokens", "messages"} <= server.bodies[-1].keys()


SAID = (
    {"role": "system", "content": "s"},
    {"role": "user", "content": "What is the seed of life?"},
)
BODY = {"model": "m", "messages": SAID, "max_tokens": 3, "temperature": 0.7, "seed": 1, "stop": []}
SAFETY = (
    "Your request was rejected as a result of our safety system. Your prompt may contain text that "
    "is not allowed by our safety system."
)


def said(message, **error):
    return complaints({"error": {"message": message, **error}})


@pytest.mark.parametrize(
    "error",
    [
        said(SAFETY),
        said("The system message is not allowed by our content policy."),
        said("The prompt is not allowed. The system flagged it."),
        said("temperature must be between 0 and 2, got 2.5"),
        said("temperature must be between 0 and 2, got 2.5", param="temperature"),
        said("Unsupported value: temperature must be at most 1", code="unsupported_value"),
        said(
            "'temperature' does not support 0.7 with this model. Only the default (1) value is "
            "supported.",
            param="temperature",
            code="unsupported_value",
        ),
        said("invalid temperature: only 1 is allowed for this model"),
        said("`temperature` must be strictly positive"),  # said of 0.7 it is about a value
        said("stop: too many texts, more than 4 are not supported"),
        said("This model's stop list is long: please stop and retry with less text"),
        said(f"Invalid request body {json.dumps(BODY)}: unknown model"),
        said(f"Unsupported request {json.dumps(BODY)[:-9]}"),
        said("Unsupported request temperature=0.7 seed=1 model='m'"),
        said("Unknown: What is the seed of life?"),
        said("unknown field `logprobs`, expected one of `temperature`, `seed`, `stop`"),
        said("'logprobs' is not supported. Use seed."),
        said("seed is not supported", param="model"),
        said("After the optional system message, conversation roles must alternate"),
        complaints({"detail": [{"loc": ["body", "seed"], "msg": "Input should be a number"}]}),
    ],
)
def test_what_is_not_learned_from(error):
    assert rejected(BODY, error) == []


EXTRA = {"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs", "input": 1}


@pytest.mark.parametrize(
    ("error", "field"),
    [
        (said("Only user and assistant roles are supported!"), "system"),
        (said("Developer instruction is not enabled for models/gemma-3"), "system"),
        (complaints([{"error": {"code": 400, "message": "Developer instruction is not enabled"}}]),
         "system"),
        (complaints({"error": "Bad Request", "message": "seed is not supported"}), "seed"),
        (complaints({"error": "seed is not supported"}), "seed"),
        (complaints({"detail": "seed is not supported"}), "seed"),
        (said("System role not supported"), "system"),
        (said("Conversation roles must alternate user/assistant/user/assistant/..."), "system"),
        (said("does not support 'system'", param="messages[0].role"), "system"),
        (said('Unknown name "maxTokens"'), "max_tokens"),
        (said("Bad value", param="seed", code="unsupported_value"), "seed"),
        (said("Bad", param="seed", code="unknown_parameter"), "seed"),
        (said("`temperature` is deprecated for this model."), "temperature"),
        (said("Argument not supported on this model: seed"), "seed"),
        (said("Additional properties are not allowed ('seed' was unexpected)"), "seed"),
        (said("This model doesn’t support system messages."), "system"),
        (said('messages: Unexpected role "system". It is a top-level parameter.'), "system"),
        (said("Invalid value: 'system'. Supported values are: 'user' and 'assistant'.",
              param="messages[0].role", code="invalid_value"), "system"),
        (said("generate() got an unexpected keyword argument 'seed'"), "seed"),
        (said("unknown field `seed`, expected one of `stop`, `temperature`"), "seed"),
        (said("不支持参数temperature"), "temperature"),
        (said("seed is not supported", param="None"), "seed"),
        (complaints({"detail": [EXTRA]}), "seed"),
        (complaints({"message": {"detail": [EXTRA]}, "object": "error"}), "seed"),
        (said(f"1 validation error: {EXTRA}"), "seed"),
        (complaints({"detail": [{"loc": ["body", "messages", 0, "role"], "msg":
                                 "Input should be 'user' or 'assistant'"}]}), "system"),
    ],
)  # fmt: skip
def test_what_is_learned_from(error, field):
    assert rejected(BODY, error) == [field]


@pytest.mark.parametrize(
    "message",
    [
        "Input validation error: `temperature` must be strictly positive",
        "'temperature' does not support 0 with this model. Only the default (1) value is supported",
        "invalid temperature: only 1 is allowed for this model",
    ],
)
def test_a_server_without_temperature_zero(message):
    assert rejected({**BODY, "temperature": 0.0}, said(message)) == ["temperature"]


@pytest.mark.parametrize("field", ["system", "seed", "temperature", "max_tokens"])
def test_what_the_server_has_accepted_is_never_left_out(field):
    def answer(body):
        if len(server.bodies) == 3:
            return 400, {"error": {"message": f"The {field} role or field is not supported"}}
        return 200, reply_with("yes")

    with MisbehavingServer(answer=answer) as server, pytest.raises(Refused, match="not supported"):
        ask(server, count=5, concurrency=1)
    names = {"temperature", "seed", "max_tokens", "messages"}
    assert all(names <= body.keys() for body in server.bodies)
    assert all(len(body["messages"]) == 2 for body in server.bodies)


def test_a_prompt_that_the_safety_system_rejects_is_an_empty_answer_and_nothing_is_learned():
    def answer(body):
        if len(server.bodies) == 1:
            return 400, {"error": {"message": SAFETY, "param": None}}
        return 200, reply_with("yes")

    with MisbehavingServer(answer=answer) as server:
        texts, environment = ask(server, concurrency=1)
    assert sorted(texts) == ["", "yes", "yes"] and "left_out" not in environment


def test_an_internal_error_that_names_a_field_is_learned_from():
    def answer(body):
        if "temperature" in body:
            error = {"message": "temperature not supported", "param": "temperature"}
            return 500, {"error": error}
        return 200, reply_with("yes")

    with MisbehavingServer(answer=answer) as server:
        texts, environment = ask(server)
    assert texts == ["yes"] * 3 and list(environment["left_out"]) == ["temperature"]


def test_a_limit_is_never_left_out_and_an_own_field_neither():
    with (
        MisbehavingServer(answer=refusing("max_tokens", "max_completion_tokens")) as server,
        pytest.raises(Refused, match="max_completion_tokens"),
    ):
        ask(server)
    with (
        MisbehavingServer(answer=refusing("seed")) as server,
        pytest.raises(Refused, match="seed"),
    ):
        ask(server, extra_body={"seed": 4})


def test_fields_to_leave_out_from_the_start():
    with MisbehavingServer() as server:
        _, environment = ask(server, drop=["temperature", "stop", "system"])
    assert set(environment["left_out"]) == {"temperature", "stop", "system"}
    assert not {"temperature", "stop"} & server.bodies[0].keys()
    assert [m["role"] for m in server.bodies[0]["messages"]] == ["user"]
    with pytest.raises(RedoneError, match="messages"):
        checked_args(EndpointOptions, "endpoint", {"drop": ["messages"]})


def test_system_texts_are_folded_into_the_first_turn_of_the_user():
    user, reply = {"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}
    system = {"role": "system", "content": "s"}
    assert folded([system, user, reply, user]) == [{**user, "content": "s\n\nu"}, reply, user]
    assert folded([user]) == [user]
    assert folded([system]) == [{"role": "user", "content": "s"}]


def test_a_run_records_what_was_left_out(tmp_path, capsys):
    command = ["--backend", "endpoint", "--model", "tiny", "--output", "run", "--limit", "3"]
    command += ["--tasks", "sns_mini/gender", "--backend-args", json.dumps(QUICK)]
    with MisbehavingServer(answer=refusing("temperature")) as server:
        assert main([*command, "--base-url", server.url]) == 0
    run = json.loads((tmp_path / "run/run.json").read_text())
    what = run["environment"]["left_out"]["temperature"]
    assert what == "the server samples as it does by itself, even where the task is greedy"
    results = json.loads((tmp_path / "run/results.json").read_text())
    note = f"Not sent to the server: temperature ({what})."
    assert results["notes"] == [note]
    assert f"Note: {note}" in " ".join(capsys.readouterr().out.split())


def test_a_run_that_ends_early_records_what_was_left_out(tmp_path):
    def answer(body):
        if len(server.bodies) > 8:
            return 404, {"error": {"message": "gone"}}
        return refusing("temperature")(body)

    command = ["--backend", "endpoint", "--model", "tiny", "--output", "run"]
    command += ["--tasks", "sns_mini/gender", "--backend-args", json.dumps(QUICK)]
    with MisbehavingServer(answer=answer) as server:
        assert main([*command, "--base-url", server.url]) != 0
    run = json.loads((tmp_path / "run/run.json").read_text())
    assert list(run["environment"]["left_out"]) == ["temperature"]


# --- streams -------------------------------------------------------------------------------------


def stream(*events, done=True):
    lines = [f"data: {json.dumps(event)}\n\n" for event in events]
    return "".join([": keep-alive\n\n", *lines, *(["data: [DONE]\n\n"] if done else [])]).encode()


def chunk(finish=None, **delta):
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def test_a_gateway_that_always_streams_is_read():
    usage = {"usage": {"prompt_tokens": 11, "completion_tokens": 4}, "choices": []}
    events = [
        chunk(role="assistant"),
        chunk(reasoning_content="hmm \ud83d"),
        chunk(content="one "),
        chunk(content="answer\nmore"),
        chunk(finish="stop"),
        usage,
    ]
    with MisbehavingServer(answer=lambda body: (200, stream(*events))) as server:
        options = EndpointOptions(**QUICK)
        model = EndpointModel("tiny", server.url, options=options)
        request = Request("1", CHAT, Settings(max_tokens=7, stop=("\n",)))
        ((_, found),) = model.run([request])
        model.close()
    assert (found.text, found.prompt_tokens, found.tokens) == ("one answer", 11, 4)
    assert found.thinking == "hmm \ufffd"  # a lone surrogate goes no further
    json.dumps(found.thinking).encode()


@pytest.mark.parametrize(
    "broken",
    [
        stream(chunk(content="never to be seen"), done=False),
        stream({"error": {"message": "overloaded"}}),
        stream(chunk(content="x"))[:30],
    ],
)
def test_a_stream_that_breaks_off_is_tried_again(broken):
    replies = [broken]

    def answer(body):
        return 200, replies.pop() if replies else reply_with("whole")

    with MisbehavingServer(answer=answer) as server:
        texts, _ = ask(server, count=1)
    assert texts == ["whole"]


# --- proxies -------------------------------------------------------------------------------------


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9", "nonsense://x"])
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY", "all_proxy"])
def test_a_server_on_this_machine_is_asked_directly(proxy, variable, monkeypatch):
    monkeypatch.setenv(variable, proxy)
    with MisbehavingServer() as server:
        texts, _ = ask(server, count=1)
    assert len(texts) == 1


def test_a_proxy_that_fails_is_named_without_its_password(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://me:secret@127.0.0.1:9")
    with pytest.raises(RedoneError, match=r"through the proxy http://127.0.0.1:9 ") as told:
        EndpointModel("tiny", "http://models.example/v1", options=EndpointOptions(**QUICK))
    assert "secret" not in str(told.value) and "HTTP_PROXY" in str(told.value)


@pytest.mark.parametrize(
    ("proxy", "told"), [("socks5://127.0.0.1:9", "SOCKS|socks"), ("nonsense://x:1", "nonsense")]
)
def test_a_proxy_that_cannot_be_used_is_one_line(proxy, told, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(RedoneError, match=told) as error:
        EndpointModel("tiny", "http://models.example/v1", options=EndpointOptions(**QUICK))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:8/v1", True),
        ("http://127.8.9.1/v1", True),
        ("http://localhost:8000/v1", True),
        ("http://[::1]:8/v1", True),
        ("http://10.0.0.1/v1", False),
        ("https://localhost.example/v1", False),
    ],
)
def test_what_is_on_this_machine(url, local, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://p:1")
    monkeypatch.setenv("HTTP_PROXY", "http://p:1")
    assert is_loopback(url) == local
    assert (proxy_of(url) is None) == local
    monkeypatch.setenv("NO_PROXY", "*")
    assert proxy_of(url) is None
