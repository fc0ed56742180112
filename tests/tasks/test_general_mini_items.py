"""How answers to generated questions are parsed, and how instructions are verified."""

import pytest

from redone.tasks.general_mini.items import exact_scoring, plain, read_number, rules_scoring
from redone.tasks.general_mini.mathematics import spelled
from redone.tasks.general_mini.rules import RULES, lines, words
from redone.tasks.schema import Completion, Sample, Services

EXACT, FOLLOWED = exact_scoring("corrected"), rules_scoring("corrected")


def a_sample(form, answer, options=(), rules=(), language="en"):
    return Sample(
        id="0" * 16,
        task="general_mini/toy",
        fields={"question": "?", "options": list(options)},
        target={"form": form, "answer": answer, "rules": [list(rule) for rule in rules]},
        language=language,
        cluster="0" * 16,
        split="test",
        partition="diagnose",
        tags={},
    )


def value(scoring, sample, text, finish="stop"):
    score = scoring.score(sample, [Completion(text, finish=finish)], Services())
    return score.value, score.failure


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("12", "12"),
        ("**12**", "12"),
        ("12 dollars.", "12"),
        ("12. There are 3 boxes with 4 each.", "12"),
        ("12元。", "12"),
        ("１２", "12"),
        ("There are 10 + 2 = 12 passengers today.", "12"),
        ("The answer is 1,200.", "1200"),
        ("3 boxes and 4 boxes. Answer: 12", "12"),
        ("So he has 12 of 40, and the answer is \\boxed{12}", "12"),
        ("答案是12。", "12"),
        ("每件2元，6件一共12元，不是10元。", "12"),
        ("Each of the 3 people gets 4", "4"),
        ("1. Add 3\n2. Add 4\nThe total is 7.", "7"),
        ("-3.50", "-3.5"),
        ("It is twelve.", None),
        ("", None),
        ("I'm sorry, but I can't help with 12.", None),
    ],
)
def test_numbers_are_read(text, number):
    assert read_number(Completion(text)).answer == number


def test_a_step_of_a_cut_answer_is_no_answer():
    cut = Completion("First there are 30 lamps and then 6", finish="length")
    assert read_number(cut) == (None, "truncated")
    said = Completion("The answer is 24. There are 4", finish="length")
    assert read_number(said).answer == "24"


def test_plain_numbers():
    assert [plain(n) for n in ("0", "-0.0", "100", "1,000,000", "2.50")] == [
        *("0", "0", "100", "1000000", "2.5"),
    ]


@pytest.mark.parametrize(
    ("number", "english", "chinese"),
    [
        (21, "twenty-one", "二十一"),
        (30, "thirty", "三十"),
        (15, "fifteen", "十五"),
        (101, "one hundred and one", "一百零一"),
        (110, "one hundred and ten", "一百一十"),
        (999, "nine hundred and ninety-nine", "九百九十九"),
        (400, "four hundred", "四百"),
        (3, "three", "三"),
        (12, "twelve", "十二"),
    ],
)
def test_numbers_are_spelled(number, english, chinese):
    assert (spelled(number, "en"), spelled(number, "zh")) == (english, chinese)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("Lima", True),
        ("The capital of Peru is Lima.", True),
        ("The gold one: lima", True),
        ("Cairo", False),
        ("Lima, Cairo, Oslo", False),
        ("It is not Lima.", False),
        ("I do not know.", False),
    ],
)
def test_choices(text, right):
    sample = a_sample("choice", "Lima", ("Lima", "Cairo", "Oslo"))
    assert value(EXACT, sample, text)[0] == right


def test_a_plural_names_its_candidate():
    sample = a_sample("choice", "farmer", ("farmer", "pilot"))
    assert value(EXACT, sample, "Farmers grow wheat for a living.") == (1.0, None)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("candle, island, violin", True),
        ("The list is: candle, island, violin", True),
        ("1. Candle\n2. Island\n3. Violin", True),
        ('["candle", "island", "violin"]', True),
        ("violin, island, candle", False),
        ("candle, island", False),
        ("candle, island, violin, rocket", False),
    ],
)
def test_lists_are_compared_in_order(text, right):
    sample = a_sample("list", ["candle", "island", "violin"], ("violin", "candle", "island"))
    assert value(EXACT, sample, text)[0] == right


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ('{"name": "Omar", "age": "31"}', (1.0, None)),
        ('Here it is:\n```json\n{"age": 31, "name": "Omar"}\n```', (1.0, None)),
        ("{'name': 'Omar', 'age': 31}", (1.0, None)),
        ('{"name": "Omar"}', (0.0, "wrong")),
        ('{"name": "Omar", "age": 31, "city": "Oslo"}', (0.0, "wrong")),
        ('{"name": Omar, "age": 31}', (0.0, "format")),
        ("[1, 2]", (0.0, "format")),
        ("{}", (0.0, "format")),
    ],
)
def test_records(text, result):
    assert value(EXACT, a_sample("record", {"name": "Omar", "age": "31"}), text) == result


def test_verbatim_is_to_the_letter():
    sample = a_sample("verbatim", "THE TINY CLOUD")
    assert value(EXACT, sample, "THE TINY CLOUD")[0] == 1
    assert value(EXACT, sample, "The tiny cloud")[0] == 0


@pytest.mark.parametrize(
    ("rule", "argument", "followed", "broken"),
    [
        ("mentions", "boat", ["A Boat sails."], ["Boats sail.", "steamboat"]),
        ("mentions", "小船", ["一条小船。"], ["一条船。"]),
        ("avoids", "and", ["sand, hand"], ["you and me", "And?"]),
        ("upper_case", None, ["I LIKE IT 2!"], ["I LIKE it", "123"]),
        ("lower_case", None, ["i like it."], ["I like", "..."]),
        (
            "starts_with",
            "Good news",
            ['"Good news, all!"', "good news"],
            ["Goods", "Good newspaper"],
        ),
        ("starts_with", "好消息", ["好消息，朋友"], ["有好消息"]),
        ("ends_with", "once again", ["Here once again."], ["once again, he"]),
        ("ends_with_mark", "?", ["Is it?", "是吗？", '"Is it?"'], ["It is.", "Is it? Yes."]),
        ("ends_with_mark", "!", ["Go!", "好！"], ["Go"]),
        (
            "most_words",
            3,
            ["it's well-known here", "大海好"],
            ["one two three four", "...", "大海很好"],
        ),
        ("least_words", 3, ["one two three"], ["one two"]),
        (
            "sentences",
            2,
            ["One. Two!", "一。二！", "One. Two", "It costs 2.50. Yes."],
            ["One.", "1. 2. 3."],
        ),
        ("line_count", 2, ["a\n\nb"], ["a", "a\nb\nc"]),
        ("first_line", "pear", ["1. Pear\n2. Plum"], ["plum\npear", ""]),
        (
            "numbered",
            2,
            ["1. a\n2. b", "1) a\n\n2) b"],
            ["1. a", "1. a\n2. b\n3. c", "a\n1. b\n2. c"],
        ),
        ("bullets", 2, ["- a\n- b", "* a\n• b"], ["- a", "List:\n- a\n- b"]),
        ("parted", [";", 3], ["a; b; c", "a ;b ; c."], ["a; b", "a; ; c", "a, b, c"]),
        ("quoted", None, ['"Hello."', "“你好。”"], ["Hello.", '"a" and "b"', '""', '"']),
        (
            "json_keys",
            ["name", "price"],
            ['{"name": "a", "price": 1}', '```json\n{"price": 1, "name": "a"}\n```\nDone.'],
            ['{"name": "a"}', '{"name": "", "price": 1}', "name: a", '["name", "price"]'],
        ),
    ],
)
def test_rules(rule, argument, followed, broken):
    assert [text for text in followed if not RULES[rule](text, argument)] == []
    assert [text for text in broken if RULES[rule](text, argument)] == []


def test_words_and_lines():
    assert words("It's 2 well-known dogs, 你好!") == ["It's", "2", "well-known", "dogs", "你", "好"]
    assert lines(" a \n\n b ") == ["a", "b"]


def test_every_instruction_must_be_followed():
    sample = a_sample("rules", "", rules=[("mentions", "boat"), ("most_words", 5)])
    assert value(FOLLOWED, sample, "A boat sails.") == (1.0, None)
    score = FOLLOWED.score(sample, [Completion("A ship sails.")], Services())
    assert (score.value, score.stats, score.parsed) == (0.0, (0.0, 1.0, 1.0, 2.0), ["most_words"])
    assert score.failure == "wrong"
    assert value(FOLLOWED, sample, "A boat that sails on and", "length") == (0.0, "truncated")
    assert value(FOLLOWED, sample, "I'm sorry, but I can't do that.") == (0.0, "refusal")
    assert value(FOLLOWED, sample, "我喜欢 boat 和大海") == (0.0, "language")
    assert value(FOLLOWED, sample, "boat " * 9_000) == (0.0, "format")


def test_two_figures_of_instructions():
    sums = FOLLOWED.score(
        a_sample("rules", "", rules=[("mentions", "boat"), ("upper_case", None)]),
        [Completion("A boat.")],
        Services(),
    ).stats
    import numpy as np

    assert [m.from_sums(np.array(sums)) for m in FOLLOWED.metrics] == [0, 50]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        # every minus sign and dash
        *((f"{dash}12", "-12") for dash in "−–—‐‑‒―－"),
        ("The answer is −12.", "-12"),
        ("−$12", "-12"),
        ("-$12", "-12"),
        ("$-12", "-12"),
        ("minus 12", "-12"),
        ("负12", "-12"),
        ("負 12", "-12"),
        ("− 12", "-12"),
        ("\\boxed{\\text{−12}}", "-12"),
        # no minus
        ("Total – 12", "12"),
        ("5–12", "12"),
        ("20 − 8 = 12", "12"),
        ("20 minus 8 is 12", "12"),
        ("——12", "12"),
        # groups of thousands
        ("1{,}200", "1200"),
        ("$1{,}200$", "1200"),
        ("\\boxed{1{,}200{,}000}", "1200000"),
        ("1\\,200", "1200"),
        ("1\u202f200", "1200"),
        ("1\u2009200\xa0000", "1200000"),
        ("1'200", "1200"),
        ("１，２００", "1200"),
        ("１２", "12"),
        ("1{\\,}200", "1200"),
        ("1,{200}", "1200"),
        ("1 200", "1200"),
        ("The answer is 1 200 000.", "1200000"),
        ("There are 12 300 at the end", "300"),  # groups with a space: stated answers only
        ("1.200,50", "1200.5"),
        ("1.200.000", "1200000"),
        ("1.200", "1.2"),
        # other notations of a number
        ("-\u200b12", "-12"),
        (".3", "0.3"),
        ("-.5", "-0.5"),
        ("1.2e3", "1200"),
        ("1e6", "1000000"),
        ("1.2 \\times 10^3", "1200"),
        ("1k", "1000"),
        ("12 m²", "12"),
        ("x² = 16, so x = 4", "4"),
        ("1/4 + 3/4 = 1", "1"),
        ("2^10 = 1024", "1024"),
        ("1e99", None),
        ("12²", None),
        ("10^3", None),
        ("1½", None),
        ("½", None),
        ("1/2", None),
        ("The answer is 1/2.", None),
        ("\\frac{1}{2}", None),
        ("\\boxed{\\frac{1}{2}}", None),
        ("1万2", None),
        ("12,5", None),
        # what wraps a number
        ("<answer>12</answer> 13", "12"),
        ("So 3 + 4 = \\boxed{7}, then \\boxed{12}", "12"),
        ("<|im_start|>assistant\n12<|im_end|>", "12"),
        ("①12", "12"),
        ("9" * 100_000, None),
    ],
)
def test_numbers_in_every_notation(text, number):
    assert read_number(Completion(text)).answer == number
