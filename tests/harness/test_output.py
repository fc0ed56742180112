"""What a model wrote, made into an answer: post-processing, and the rules that end an answer."""

from __future__ import annotations

import pytest

from redone.harness.models.chat_template import fold_system
from redone.harness.models.output import (
    Answer,
    cut_at_repetition,
    cut_at_stop,
    postprocess,
    split_thinking,
)
from redone.harness.models.rendering import plain_text
from redone.tasks.schema import Settings

EOS = 0


def decode(ids):
    """One token a byte; 0 is special."""
    return bytes(i for i in ids if i).decode("utf-8", "replace")


def answered(text: str | bytes, opened: bool = False, eos: bool = True, **settings):
    data = text.encode() if isinstance(text, str) else text
    answer = Answer(Settings(**settings), decode, frozenset([EOS]), opened)
    for token in [*data, *([EOS] if eos else [])]:
        if answer.add(token):
            break
    return answer.completion(3, 0.5)


@pytest.mark.parametrize(
    ("text", "opened", "expected"),
    [
        ("plain", False, (None, "plain", True)),
        ("", False, (None, "", True)),
        ("<think>a\nb</think>\n\nc", False, ("a\nb", "c", True)),
        ("\n <think>\n</think>c", False, ("", "c", True)),
        ("hidden</think> c", False, ("hidden", "c", True)),
        ("hidden</think> c", True, ("hidden", "c", True)),
        ("<think>again</think>c", True, ("again", "c", True)),
        ("<think>never closed", False, ("never closed", "", False)),
        ("never closed", True, ("never closed", "", False)),
        ("", True, ("", "", False)),
        ("a <think> in the middle", False, (None, "a <think> in the middle", True)),
        ("<think>a</think>b</think>c", False, ("a", "b</think>c", True)),
    ],
)
def test_split_thinking(text, opened, expected):
    assert split_thinking(text, opened) == expected


@pytest.mark.parametrize(
    ("text", "stops", "cut", "expected"),
    [
        ("plain", (), False, (None, "plain", "stop")),
        ("plain", (), True, (None, "plain", "length")),
        ("one\ntwo", ("\n",), True, (None, "one", "stop")),
        ("<think>a\nb</think>one\ntwo", ("\n",), False, ("a\nb", "one", "stop")),
        ("<think>a\nb", ("\n",), False, ("a\nb", "", "length")),
        ("half\ufffd", (), True, (None, "half", "length")),
        ("half\ufffd", (), False, (None, "half\ufffd", "stop")),
        ("caf\u00e9 \ud83d!", (), False, (None, "caf\u00e9 \ufffd!", "stop")),
        ("<think>\ud83d</think>\ude00", (), False, ("\ufffd", "\ufffd", "stop")),
        ("\ud83d\ude00", (), False, (None, "\U0001f600", "stop")),
    ],
)
def test_postprocess(text, stops, cut, expected):
    assert postprocess(text, stops, cut=cut) == expected


def test_stop_text_across_tokens_and_unfinished_characters():
    done = answered("日本語。。。 end", stop=("語。",), max_tokens=100)
    assert (done.text, done.finish) == ("日本", "stop")
    assert done.tokens == len("日本語。".encode())


def test_the_first_of_several_stops_cuts():
    assert cut_at_stop("abc\ndef", ("def", "\n", "")) == "abc"
    assert answered("one two three", stop=("three", " "), max_tokens=99).text == "one"


def test_bytes_that_are_no_text_do_not_hold_the_stop_back():
    done = answered(b"\xff\xff\xff\xff\xff\xff\xff ok\n more", stop=("\n",), max_tokens=99)
    assert done.text.endswith(" ok")
    assert done.finish == "stop"


def test_eos_and_length():
    assert answered("four", max_tokens=4).finish == "length"
    done = answered("four", max_tokens=5)
    assert (done.finish, done.tokens, done.text, done.prompt_tokens) == ("stop", 5, "four", 3)


def test_a_partial_character_at_the_limit_is_left_out():
    assert answered("日本", max_tokens=4, eos=False).text == "日"


def test_stops_act_after_the_thinking_only():
    text = "<think>a\nb</think>\nc\nd"
    done = answered(text, stop=("\nd",), max_tokens=8, max_thinking_tokens=18)
    assert (done.thinking, done.text, done.finish) == ("a\nb", "c", "stop")
    done = answered(
        "a\nb</think>c\nd", opened=True, stop=("\n",), max_tokens=9, max_thinking_tokens=20
    )
    assert (done.thinking, done.text, done.finish) == ("a\nb", "c", "stop")


def test_thinking_has_a_budget_of_its_own():
    text = "<think>12345</think>answer"
    done = answered(text, max_tokens=3, max_thinking_tokens=100)
    assert (done.text, done.finish) == ("ans", "length")
    done = answered(text, max_tokens=3, max_thinking_tokens=8, eos=False)
    assert (done.text, done.finish, done.tokens) == ("", "length", 11)


def test_eos_inside_thinking_leaves_no_answer():
    done = answered("<think>well", max_tokens=99)
    assert (done.text, done.finish, done.thinking) == ("", "length", "well")


def test_a_text_that_only_looks_like_thinking():
    done = answered("<thing> a b", stop=(" b",), max_tokens=99)
    assert (done.text, done.finish) == ("<thing> a", "stop")
    assert answered("<", stop=("<",), max_tokens=9).text == ""


def test_messages_without_a_template():
    system, user = {"role": "system", "content": "s"}, {"role": "user", "content": "u\n"}
    assert plain_text([system, user]) == "s\n\nu\n"
    assert fold_system([system, user]) == [{"role": "user", "content": "s\n\nu"}]
    assert fold_system([user]) == [user]
    assert fold_system([system]) == [{"role": "user", "content": "s"}]


@pytest.mark.parametrize(
    ("piece", "most", "kept"),
    [
        ("again ", 60, "again " * 10),
        ("1.", 40, "1." * 20),
        ("a", 50, "a" * 50),
        ("哈", 60, "哈" * 20),
        ("The ferry runs every 40 minutes.\n\n", 60, "The ferry runs every 40 minutes.\n\n" * 4),
    ],
)
def test_an_answer_that_repeats_itself_ends_there_as_at_a_limit(piece, most, kept):
    """So many bytes, and at least four pieces; the beginning of the text stays as it is."""
    before = "Yes, because of this: "
    done = postprocess(before + piece * 200, repetition=most)
    assert done[1].startswith(before + kept[: len(kept) // 2]) and done[2] == "length"
    assert 0 <= len(before + kept) - len(done[1]) < len(piece) + 4
    assert postprocess(before + piece * 200)[1] == before + piece * 200


@pytest.mark.parametrize(
    "text",
    [
        "no, no, no, no, no, no, no",
        "\n".join(f"{n}. Board games" for n in range(60)),
        "Answer: Yes" + " " * 500 + "\u200b" * 300 + "It does.",
        "Cats. " * 9 + "Dogs.",
        "x" * 59,
        "",
    ],
)
def test_short_changing_and_invisible_repetitions_do_not_end_an_answer(text):
    assert cut_at_repetition(text, 60) == text


def test_what_stands_before_a_stop_text_or_inside_thinking_is_not_cut():
    text = "Yes\nno no no no no no no no no no no no no no no no"
    assert postprocess(text, ("\n",), repetition=20) == (None, "Yes", "stop")
    thought = "again " * 30
    assert postprocess(f"<think>{thought}</think>Yes", repetition=20)[1:] == ("Yes", "stop")


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize("piece", ["again ", "\u54c8", "so on, and so forth; ", "a\n\nb\n"])
def test_an_engine_stops_soon_and_leaves_the_same_text(piece, opened):
    """Whether the engine could stop early or not, the text is the same."""
    text = f"<think>{'hm ' * 40}</think>Yes. {piece * 400}"
    text = text.removeprefix("<think>") if opened else text
    limits = {"max_tokens": 9_000, "max_thinking_tokens": 500, "max_repetition": 90}
    done = answered(text, opened=opened, eos=False, **limits)
    whole = postprocess(text, opened=opened, cut=True, repetition=90)
    assert (done.thinking, done.text, done.finish) == whole
    assert whole[2] == "length" and len(whole[1]) < 140
    assert done.tokens < len(text.encode()) / 2
