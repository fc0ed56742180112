"""Cleaning, failure kinds, literals and free text."""

import pytest

from redone.tasks.extraction import (
    MAX_CHARS,
    NONE_WORDS,
    answer_text,
    extract_text,
    failure_kind,
    is_refusal,
    is_wrong_language,
    normalize,
    parse_literal,
    parse_python_literal,
)
from redone.tasks.schema import Completion


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Street Food", "street food"),
        ("Street Food", "  Street   Food\n"),
        ("Street Food", "**Street Food**"),
        ("Street Food", "“Street Food”."),
        ("Street Food", "`Street Food`"),
        ("Street Food", "- Street Food"),
        ("Street Food", "2. Street Food"),
        ("Street Food", "Ｓｔｒｅｅｔ　Ｆｏｏｄ"),
        ("Street Food", "#Street Food"),
        ("Street Food", "Street Food 🍜"),
        ("Street Food", "[Street Food]"),
        ("Dogs (Small)", "Dogs（Small）"),
        ("Dogs (Small)", "dogs small"),
        ("Baker’s Tools", "Baker's Tools"),
        ("Tips!", "Tips"),
        ("街头美食。", "街头美食"),
        ("「街头美食」", "街头美食"),
        ("well–being", "well-being"),
    ],
)
def test_normalize_is_blind_to_decoration(one, other):
    assert normalize(one) == normalize(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Cat", "Cats"),
        ("Street Food", "Food"),
        ("C", "C++"),
        ("iPhone 14", "iPhone 15"),
        ("🍜", "🌍"),
    ],
)
def test_normalize_keeps_words_apart(one, other):
    assert normalize(one) != normalize(other)


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("Baking<|im_end|>\nuser", "Baking"),
        ("Baking</s>", "Baking"),
        ("Baking\n\nInput: another post\nAnswer: Sports", "Baking"),
        ("Baking\n输入：另一篇", "Baking"),
        ("Query: how to bake\nAnswer: Baking", "Query: how to bake\nAnswer: Baking"),
        ("```json\n[1]\n```", "[1]"),
        ("a" * (MAX_CHARS + 1), ""),
    ],
)
def test_answer_text_ends_where_the_next_question_begins(text, own):
    assert answer_text(text) == own


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I am sorry, I cannot assist with this request.",
        "Sorry, I am unable to answer.",
        "Unfortunately, I cannot determine that.",
        "I can’t help with that",
        "As an AI language model, I do not have preferences.",
        "As an AI, I do not have preferences.",
        "As an AI assistant I have none",
        "抱歉，我无法回答这个问题。",
        "很抱歉，无法提供帮助",
        "对不起，我不能处理该请求。",
        "作为一个人工智能，我没有观点。",
        "我无法判断",
    ],
)
def test_refusals(text):
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "Sorry seems to be the hardest word",
        "I can see clearly now",
        "Apology letters",
        "as an AI engineer what to learn",
        "无法提供发票怎么办",
        "我喜欢",
        "No",
    ],
)
def test_no_refusals(text):
    assert not is_refusal(text)


@pytest.mark.parametrize(
    ("text", "finish", "language", "failure"),
    [
        ("", "stop", "en", "empty"),
        (" \n ", "stop", "en", "empty"),
        ("", "length", "en", "truncated"),
        ("Well, let me think about", "length", "en", "truncated"),
        ("I'm sorry, I cannot help", "length", "en", "refusal"),
        ("抱歉，我不能回答", "stop", "en", "refusal"),
        ("这篇笔记讲的是别的事情", "stop", "en", "language"),
        ("Это не ответ", "stop", "en", "language"),
        ("The post is about something else", "stop", "zh", "language"),
        ("这篇笔记讲的是别的事情", "stop", "zh", "format"),
        ("The post is about something else", "stop", "en", "format"),
        ("???", "stop", "en", "format"),
    ],
)
def test_kind_of_failure(text, finish, language, failure):
    assert failure_kind(Completion(text, finish), language) == failure


def test_a_brand_in_a_chinese_text_is_not_foreign():
    assert not is_wrong_language("这款 Anker 充电宝很好用", "zh")
    assert not is_wrong_language("OK", "zh")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("['a', \"b\"]", ["a", "b"]),
        ('{"a": [1, true, null]}', {"a": [1, True, None]}),
        ("(1, 2)", (1, 2)),
        ("'\\d'", "\\d"),
        ("['~~~~~~~~~', '[[[[[[[[[[[[[[[[[[[[', 'not not']", ["~~~~~~~~~", "[" * 20, "not not"]),
    ],
)
def test_literals(text, value):
    assert parse_literal(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "f(1)",
        "__import__('os').system('true')",
        "[x for x in 'ab']",
        "open('f')",
        "lambda: 1",
        "[" * 9_000,
        "[" * 9_000 + "]" * 9_000,
        "{'a':" * 500,
        "-" * 9_000 + "1",
        "- " * 9_000 + "1",
        "not " * 4_000 + "1",
        "1+" * 9_000 + "1",
        "a." * 9_000 + "a",
        "9" * 9_999,
        "a" * 1_000_000,
        "'\x00'\x00",
        "'''",
    ],
)
def test_what_is_no_literal(text):
    with pytest.raises(ValueError, match="no literal"):
        parse_python_literal(text)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("how to store bread", "how to store bread"),
        ('"how to store bread"', "how to store bread"),
        ("Search term: how to store bread", "how to store bread"),
        ("**how to store bread**", "how to store bread"),
        ("Sure, here is a search term:\nhow to store bread", "how to store bread"),
        ("译文：面包怎么保存", "面包怎么保存"),
        ("“面包怎么保存”", "面包怎么保存"),
        ('"Bread" and "butter"', '"Bread" and "butter"'),
        ("Sorry I missed the train, honey", "Sorry I missed the train, honey"),
    ],
)
def test_free_text(text, answer):
    assert extract_text(Completion(text)).answer == answer


def test_free_text_failures():
    assert extract_text(Completion("")).failure == "empty"
    assert extract_text(Completion("I'm sorry, but I can't translate this.")).failure == "refusal"


# --- what wraps an answer ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        # marks of chat templates that a backend left in the text
        "<|im_start|>assistant\nBaking<|im_end|>",
        "<|start_header_id|>assistant<|end_header_id|>\n\nBaking<|eot_id|>",
        "<|header_start|>assistant<|header_end|>\n\nBaking<|eot|>",
        "<start_of_turn>model\nBaking<end_of_turn>",
        "[/INST] Baking</s>",
        "<s>[INST] Which one? [/INST] Baking</s>",
        "<｜Assistant｜>Baking<｜end▁of▁sentence｜>",
        "Baking<｜end▁of▁sentence｜><｜User｜>next",
        "<|assistant|>\nBaking<|end|>",
        "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>Baking<|END_OF_TURN_TOKEN|>",
        "<|start|>assistant<|channel|>final<|message|>Baking<|return|>",
        "[|assistant|]Baking[|endofturn|]",
        "<|endoftext|>Baking<|endoftext|>Human: next",
        "<bos>Baking<eos>",
        "Baking<eoa>",
        # the same without its special tokens
        "<|im_start|>assistant Baking",
        "### Response:\nBaking",
        "assistant\n\nBaking",
        "assistantBaking",
        "Bakingassistant\n\nGardening",
        "Baking\nassistant\nGardening",
        "Baking.user\nAnother post",
        # tags and LaTeX
        "<answer>Baking</answer>",
        "It shows bread, so\n<answer>\nBaking\n</answer>",
        "<answer>Baking",
        "<Answer>Baking</Answer>\n<answer>Baking</answer>",
        "\\boxed{Baking}",
        "\\boxed{\\text{Baking}}",
        "$\\boxed{\\text{Baking}}$",
        "The answer is \\(\\boxed{\\mathrm{Baking}}\\), not Gardening.",
        "<answer>\\boxed{\\textbf{Baking}}</answer>",
        "\\text{Baking}",
        "\\boxed{\\text{\\textbf{Baking}}}",
        "\\boxed{\\Large Baking}",
        "\\boxed{\\textcolor{red}{Baking}}",
        "$$Baking$$",
        "\\[ Baking \\]",
    ],
)
def test_what_wraps_an_answer_is_taken_off(text):
    assert answer_text(text).rstrip(".") == "Baking"


@pytest.mark.parametrize(
    "text",
    [
        "assistants are kind",
        "my assistant",
        "a model\nof its kind",
        "$5 and $6",
        "a < b > c",
        "x|y",
    ],
)
def test_words_that_are_no_marks_stay(text):
    assert answer_text(text) == text


def test_several_answers_in_tags_are_lines():
    assert answer_text("<answer>tea</answer> or <answer>cake</answer>") == "tea\ncake"


@pytest.mark.parametrize(
    "mark",
    [
        "1. ",
        "1) ",
        "(1) ",
        "（1）",
        "（1） ",
        "①",
        "① ",
        "❶ ",
        "1️⃣ ",
        "🔟 ",
        "一、",
        "（一）",
        "1．",
        "• ",
        "✅ ",
    ],
)
def test_a_list_mark_is_no_part_of_an_item(mark):
    assert normalize(f"{mark}Street Food") == "street food"


@pytest.mark.parametrize("text", ["無", "沒有", "沒有答案"])
def test_traditional_chinese_says_none_too(text):
    assert normalize(text) in NONE_WORDS


@pytest.mark.parametrize(
    "text", ["抱歉，我無法回答這個問題", "對不起，我不能處理", "作為一個語言模型"]
)
def test_refusals_in_traditional_chinese(text):
    assert is_refusal(text)


# --- literals that a model wrote -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('["caf\\u00e9 \\ud83d"]', ["café \ufffd"]),
        ('{"\\udc00": 1}', {"\ufffd": 1}),
        ("['\\ud83d\\ude00']", ["😀"]),
        ("{'a': ('\\ud800', 2)}", {"a": ("\ufffd", 2)}),
    ],
)
def test_half_characters_in_escapes_are_replaced(text, value):
    assert parse_literal(text) == value


@pytest.mark.parametrize("text", [f'{{"age": 0x{"f" * 5_000}}}', "[" + "9" * 5_000 + "]"])
def test_an_endless_number_is_no_literal(text):
    with pytest.raises(ValueError, match="literal"):
        parse_literal(text)
