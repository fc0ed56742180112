"""What a server is sent and how its answers are read: templates, thinking, limits, log-likelihoods."""

import json

import pytest
from misbehaving_server import MisbehavingServer, reply_with
from tiny_models import tiny_tokenizer

from redone.harness.models.endpoint import EndpointModel, EndpointOptions
from redone.harness.models.endpoint.wire import Unsupported, Unusable, completion, scored
from redone.tasks.errors import RedoneError
from redone.tasks.schema import Request, Settings

CHAT = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Yes?"})


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    tiny_tokenizer().save_pretrained(folder)
    return folder


def asked(server, requests, **how):
    """Completions by sample, and the bodies that the server got."""
    options = EndpointOptions(
        **{"timeout": 2.0, "back_off": 0.005, "patience": 5.0} | how.pop("options", {})
    )
    model = EndpointModel("tiny", server.url, options=options, **how)
    try:
        done = {r.sample: c for r, c in model.run(requests)}
        return done, server.bodies, model
    finally:
        model.close()


def one(prompt=CHAT, settings=None, **more):
    return Request("s", prompt, settings or Settings(), **more)


def test_messages_go_as_they_are_and_the_servers_template_rules():
    with MisbehavingServer() as server:
        done, (body,), model = asked(server, [one()])
    assert body == {
        "model": "tiny",
        "messages": [dict(m) for m in CHAT],
        "temperature": 0.0,
        "max_tokens": 64,
    }
    assert done["s"].prompt_tokens == 10
    assert done["s"].tokens == 3
    assert model.identity()["chat_template"] == "server"
    assert model.environment()["chat_template_by"] == "server"


def test_with_a_tokenizer_the_prompt_is_rendered_here_and_once(tokenizer_folder):
    with MisbehavingServer() as server:
        _, (body,), model = asked(server, [one()], tokenizer=tokenizer_folder)
    text = tiny_tokenizer().decode(body["prompt"])
    assert (
        text
        == "<|start|>system\nBe brief.<|end|>\n<|start|>user\nYes?<|end|>\n<|start|>assistant\n"
    )
    assert "messages" not in body
    assert model.identity()["api"] == "completions"
    assert len(model.identity()["chat_template"]) == 16
    assert model.environment()["chat_template_by"] == "redone"


def test_a_tokenizer_can_count_while_the_servers_template_rules(tokenizer_folder):
    with MisbehavingServer() as server:
        how = {"options": {"api": "chat", "context": 80}, "tokenizer": tokenizer_folder}
        _, (body,), model = asked(server, [one()], **how)
        assert "messages" in body
        assert model.overflow(one("x" * 20, Settings(max_tokens=64))) == 4
    assert model.identity()["chat_template"] == "server"


def test_raw_prompts_take_no_template():
    with MisbehavingServer() as server:
        _, (body,), _ = asked(server, [one("Once upon")])
    assert body["prompt"] == "Once upon"


def test_sampling_limits_and_stops():
    settings = Settings(
        max_tokens=9, temperature=0.7, top_p=0.9, top_k=5, stop=("a", "b", "c", "d", "e")
    )
    with MisbehavingServer(owner="vllm") as server:
        _, (body, greedy), _ = asked(server, [one(settings=settings, seed=(1 << 62) + 7), one()])
    assert body["seed"] == 7
    assert (body["temperature"], body["top_p"], body["top_k"]) == (0.7, 0.9, 5)
    assert body["max_tokens"] == 9
    assert body["stop"] == ["a", "b", "c", "d"]
    # vLLM would take what is not said from the model's own generation configuration.
    assert (greedy["repetition_penalty"], greedy["top_k"]) == (1.0, 0)
    assert "seed" not in greedy


def test_fields_of_ones_own_and_another_name_of_the_limit():
    options = {
        "extra_body": {"reasoning_effort": "low"},
        "max_tokens_field": "max_completion_tokens",
    }
    with MisbehavingServer() as server:
        _, (body,), model = asked(server, [one()], options=options)
    assert body["reasoning_effort"] == "low"
    assert body["max_completion_tokens"] == 64
    assert "max_tokens" not in body
    assert model.identity()["extra_body"] == {"reasoning_effort": "low"}


@pytest.mark.parametrize("thinking", ["on", "off"])
def test_the_thinking_mode_reaches_whoever_applies_the_template(thinking, tokenizer_folder):
    with MisbehavingServer() as server:
        asked(server, [one()], thinking=thinking, chat_template_args={"style": "x"})
        asked(server, [one()], thinking=thinking, tokenizer=tokenizer_folder)
    by_server, by_us = server.bodies
    assert by_server["chat_template_kwargs"] == {"style": "x", "enable_thinking": thinking == "on"}
    text = tiny_tokenizer().decode(by_us["prompt"])
    assert text.endswith("<think>\n") == (thinking == "on")


@pytest.mark.parametrize(
    ("reply", "text", "thinking", "finish"),
    [
        (reply_with("answer", reasoning_content="hm"), "answer", "hm", "stop"),
        (reply_with("answer", reasoning="hm"), "answer", "hm", "stop"),
        (reply_with("<think>hm</think>\n\nanswer"), "answer", "hm", "stop"),
        (reply_with("hm</think>answer"), "answer", "hm", "stop"),
        (reply_with(None, reasoning_content="hm", finish="length"), "", "hm", "length"),
        (reply_with("<think>hm", finish="length"), "", "hm", "length"),
        (reply_with("ans", finish="length"), "ans", None, "length"),
        (reply_with("ans\ufffd\ufffd", finish="length"), "ans", None, "length"),
        (reply_with("one STOP two", finish="length"), "one ", None, "stop"),
        (reply_with("<think>a STOP b</think>one STOP"), "one ", "a STOP b", "stop"),
        (reply_with(None), "", None, "stop"),
        (reply_with("", refusal="I cannot."), "I cannot.", None, "stop"),
        (
            reply_with([{"type": "text", "text": "in "}, {"text": "parts"}]),
            "in parts",
            None,
            "stop",
        ),
        (reply_with("fine", finish="eos"), "fine", None, "stop"),
        (reply_with("", finish="content_filter"), "", None, "stop"),
        (reply_with("text", chat=False), "text", None, "stop"),
    ],
)
def test_answers_are_read_alike_whatever_form_they_come_in(reply, text, thinking, finish):
    settings = Settings(stop=("STOP",), max_thinking_tokens=5)
    done = completion(reply, settings, opened=False, seconds=0.5)
    assert (done.text, done.thinking, done.finish) == (text, thinking, finish)


@pytest.mark.parametrize(
    "reply",
    [None, [], 3, "no", {}, {"choices": None}, {"choices": []}, {"choices": ["x"]},
     {"choices": [{}]}, {"choices": [{"message": {"content": 3}}]},
     reply_with("x", finish="abort"), reply_with("x", finish="error")],
)  # fmt: skip
def test_what_is_no_answer_is_tried_again(reply):
    with pytest.raises(Unusable):
        completion(reply, Settings(), opened=False, seconds=0.0)


@pytest.mark.parametrize("usage", [None, 3, {}, {"prompt_tokens": -1}, {"completion_tokens": "9"}])
def test_a_server_that_does_not_count_is_not_believed(usage):
    reply = reply_with("x") | {"usage": usage}
    done = completion(reply, Settings(), opened=False, seconds=0.0)
    assert (done.prompt_tokens, done.tokens) == (0, 0)


def test_stops_are_left_to_us_where_a_model_may_think():
    with MisbehavingServer() as server:
        _, (body,), _ = asked(
            server, [one(settings=Settings(stop=("x",), max_thinking_tokens=100))]
        )
    assert "stop" not in body
    assert body["max_tokens"] == 164


def by_letter(body):
    """A server that gives every token's log-probability: minus its id, or -1 for the likeliest."""
    ids = body["prompt"]
    chosen = [None] + [-1.0 if i % 2 else -float(i) for i in ids[1:]]
    best = [None] + [{"x": -1.0, "y": v} for v in chosen[1:]]
    choice = {"text": "", "logprobs": {"token_logprobs": chosen, "top_logprobs": best}}
    return 200, {"choices": [choice], "usage": {"prompt_tokens": len(ids)}}


def test_log_likelihoods_are_those_of_the_continuation(tokenizer_folder):
    encode = tiny_tokenizer().encode
    requests = [
        Request("c", "ab", Settings(), "loglikelihood", "ba"),
        Request("odd", "ab", Settings(), "loglikelihood", "bbb"),
        Request("r", "abb", Settings(), "rolling"),
    ]
    with MisbehavingServer(answer=by_letter) as server:
        done, bodies, _ = asked(server, requests, tokenizer=tokenizer_folder)
    a, b = encode("a")[0], encode("b")[0]
    value = {i: -1.0 if i % 2 else -float(i) for i in (a, b)}
    assert done["c"].logprob == value[b] + value[a]
    assert done["c"].greedy is False
    assert done["odd"].logprob == 3 * value[b]
    assert done["odd"].greedy is (b % 2 == 1)
    assert done["r"].logprob == value[a] + 2 * value[b]
    assert all(body["echo"] and body["max_tokens"] == 0 for body in bodies)


def test_long_texts_are_scored_in_windows(tokenizer_folder):
    request = Request("r", "b" * 100, Settings(), "rolling")
    how = {"tokenizer": tokenizer_folder, "options": {"context": 31}}
    with MisbehavingServer(answer=by_letter) as server:
        done, bodies, _ = asked(server, [request], **how)
    (b,) = tiny_tokenizer().encode("b")
    assert done["r"].logprob == 100 * (-1.0 if b % 2 else -float(b))
    assert [len(body["prompt"]) for body in bodies] == [30, 30, 30, 30]  # the last reaches back


def test_log_likelihoods_need_a_tokenizer_and_a_server_that_gives_them(tokenizer_folder):
    request = Request("c", "ab", Settings(), "loglikelihood", "ba")
    with MisbehavingServer() as server:
        with pytest.raises(RedoneError, match="--tokenizer PATH"):
            asked(server, [request])
        with pytest.raises(RedoneError, match="does not return the log-probabilities of a prompt"):
            asked(server, [request], tokenizer=tokenizer_folder)


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), float("inf"), None])
def test_log_probabilities_that_are_not_finite_end_the_run(value):
    tables = {"token_logprobs": [None, -0.5, value], "top_logprobs": [None, {"a": -0.5}, {}]}
    with pytest.raises(Unsupported, match="log-probability that is not finite"):
        scored({"choices": [{"logprobs": tables}]}, 3, 2, 0.0)


def test_log_probabilities_that_are_none():
    tables = {"token_logprobs": [None, "-1.0"], "top_logprobs": [None, {"a": -1.0}]}
    with pytest.raises(Unusable):
        scored({"choices": [{"logprobs": tables}]}, 2, 1, 0.0)


def test_a_prompt_that_the_provider_blocks_is_an_empty_answer():
    def answer(body):
        blocked = body["messages"][1]["content"] == "Yes?"
        error = {"error": {"code": "content_filter", "message": "filtered"}}
        return (400, error) if blocked else (200, reply_with("fine"))

    with MisbehavingServer(answer=answer) as server:
        done, _, _ = asked(server, [one()])
    assert done["s"].text == ""


def test_what_a_server_refuses_ends_the_run_with_its_words():
    def answer(body):
        return 400, {"error": {"message": "context\x1b[31m of 20 tokens\nexceeded"}}

    with (
        MisbehavingServer(answer=answer) as server,
        pytest.raises(RedoneError, match=r"context \[31m of 20 tokens exceeded\..*--tokenizer"),
    ):
        asked(server, [one()])


def test_who_is_asked_is_part_of_the_identity(tokenizer_folder):
    with MisbehavingServer() as first, MisbehavingServer() as second:
        here, there = (asked(s, [])[2].identity() for s in (first, second))
        assert here["server"] != there["server"]
        here, there = (
            asked(s, [], options={"server": "our-cluster"})[2].identity() for s in (first, second)
        )
        assert here == there
        rendered = asked(first, [], tokenizer=tokenizer_folder)[2].identity()
    assert rendered["tokenizer"]
    json.dumps(rendered)


def test_a_prompt_that_surely_fits_is_not_counted():
    with MisbehavingServer() as server:
        _, _, model = asked(server, [], options={"context": 4096})
    assert model.overflow(one()) == 1024 + len("Be brief.Yes?") + 64 - 4096
