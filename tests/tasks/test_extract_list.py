"""Extraction of lists: tags among candidates, entities, and literal lists.

Each case: text, parsed list (None where there is none), value of the item, failure kind.
"""

import pytest

from redone.tasks.extract_list import extract_list
from redone.tasks.schema import Completion, Sample, Services
from redone.tasks.sns_bench import chlw, hashtag, ner


def item(task, fields, target, language="en"):
    return Sample("0" * 16, task.name, fields, target, language, "0" * 16, "test", "gate", {})


def score(task, sample, text, finish="stop"):
    return task.scorings["corrected"].score(sample, [Completion(text, finish)], Services())


TAGS = (
    "Tea, Tea Time, Rock and Roll, #Slow Life, Cake🍰, Why Because, Dr. Leaf's Diary, Mugs [Topic]"
)
TWO = ("Tea", "Cake🍰")
LABELS = [
    ("Tea, Cake🍰", TWO, 1.0, None),
    ("tea, cake", ("tea", "cake"), 1.0, None),
    ("Cake, Tea", ("Cake", "Tea"), 1.0, None),
    ("Tea, Cake.", ("Tea", "Cake"), 1.0, None),
    ("Tags: Tea, Cake", ("Tea", "Cake"), 1.0, None),
    ("Answer: Tea, Cake", ("Tea", "Cake"), 1.0, None),
    ("**Tea**, **Cake**", ("Tea", "Cake"), 1.0, None),
    ('"Tea", "Cake"', ("Tea", "Cake"), 1.0, None),
    ("Tea，Cake", ("Tea", "Cake"), 1.0, None),
    ("Tea、Cake", ("Tea", "Cake"), 1.0, None),
    ("Tea; Cake", ("Tea", "Cake"), 1.0, None),
    ("Tea | Cake", ("Tea", "Cake"), 1.0, None),
    ("Tea\nCake", ("Tea", "Cake"), 1.0, None),
    ("- Tea\n- Cake", ("Tea", "Cake"), 1.0, None),
    ("1. Tea\n2. Cake\n\nThese fit the post.", ("Tea", "Cake"), 1.0, None),
    ("* **Tea**\n* **Cake**", ("Tea", "Cake"), 1.0, None),
    ("['Tea', 'Cake']", ("Tea", "Cake"), 1.0, None),
    ('["Tea", "Cake"]', ("Tea", "Cake"), 1.0, None),
    ("[Tea, Cake]", ("Tea", "Cake"), 1.0, None),
    ('```json\n["Tea", "Cake"]\n```', ("Tea", "Cake"), 1.0, None),
    ("#Tea #Cake", ("#Tea", "Cake"), 1.0, None),
    ("Tea and Cake", ("Tea", "Cake"), 1.0, None),
    ("Tea, and Cake", ("Tea", "Cake"), 1.0, None),
    ("Tea, Cake, Tea", ("Tea", "Cake"), 1.0, None),
    ("Sure! Here are the tags:\nTea, Cake", ("Tea", "Cake"), 1.0, None),
    ("The matching tags are Tea and Cake.", ("Tea", "Cake"), 1.0, None),
    ("I see Tea in the photo while Cake is on the table", ("Tea",), 2 / 3, "wrong"),
    ("Tea, Cake because the post shows both, Tea Time is less apt", ("Tea", "Cake"), 1.0, None),
    ("Tea, Cake\n\nExplanation: Tea Time, Slow Life do not fit", ("Tea", "Cake"), 1.0, None),
    ("Tea, Cake\nBecause of the mug, the plate", ("Tea", "Cake"), 1.0, None),
    ("Tea, Cake, not Tea Time", ("Tea", "Cake"), 1.0, None),
    ("Tea, Cake\n\nInput: another post", ("Tea", "Cake"), 1.0, None),
    # talkative, as chat models are
    ("Here are the tags: #Tea #Cake", ("#Tea", "Cake"), 1.0, None),
    ("1. Tea - it shows tea\n2. Cake - there is cake", TWO, 1.0, None),
    ("- **Tea**: the main topic\n- **Cake**: it is shown", TWO, 1.0, None),
    ("Tea (main topic), Cake (shown)", TWO, 1.0, None),
    ("Tea, Cake. These match the content of the post.", TWO, 1.0, None),
    ("Tea, Cake - the post is about both. Slow Life doesn't fit.", TWO, 1.0, None),
    ("Tea, Cake (Slow Life is not relevant)", TWO, 1.0, None),
    ("Tea, Cake\nSlow Life is not included because it's unrelated.", TWO, 1.0, None),
    ("I'd pick Tea and Cake.", TWO, 1.0, None),
    ("Out of the candidates, Tea and Cake fit the post.", TWO, 1.0, None),
    ("Tea\n\nCake", TWO, 1.0, None),
    ("Tea, Cake, Green Hills (shown)", (*TWO, "Green Hills (shown)"), 0.8, "wrong"),
    ("None of the tags fit.", (), 0.0, "wrong"),
    # a candidate inside a longer one; names with joints, reasons, dots, brackets in them
    ("Tea Time, Cake", ("Tea Time", "Cake"), 0.5, "wrong"),
    ("Rock and Roll, Tea", ("Rock and Roll", "Tea"), 0.5, "wrong"),
    ("Why Because, Tea", ("Why Because", "Tea"), 0.5, "wrong"),
    ("Dr. Leaf's Diary, Tea, Cake", ("Dr. Leaf's Diary", "Tea", "Cake"), 0.8, "wrong"),
    ("Mugs [Topic], Tea", ("Mugs [Topic]", "Tea"), 0.5, "wrong"),
    # not fully right
    ("Tea", ("Tea",), 2 / 3, "wrong"),
    ("Tea, Coffee", ("Tea", "Coffee"), 0.5, "wrong"),
    ("Coffee", ("Coffee",), 0.0, "wrong"),
    (TAGS, tuple(TAGS.split(", ")), 0.4, "wrong"),
    ("[]", (), 0.0, "wrong"),
    ("none", (), 0.0, "wrong"),
    # nothing to read
    ("", None, 0.0, "empty"),
    ("I'm sorry, I can't tag this.", None, 0.0, "refusal"),
    ("抱歉，我无法回答。", None, 0.0, "refusal"),
    ("x" * 5_000, None, 0.0, "format"),
]


@pytest.mark.parametrize(("text", "parsed", "value", "failure"), LABELS)
def test_labels(text, parsed, value, failure):
    scored = score(hashtag.MULTIPLE, item(hashtag.MULTIPLE, {"candidates": TAGS}, list(TWO)), text)
    read = None if scored.parsed is None else tuple(p.rstrip("🍰") for p in scored.parsed)
    assert read == (None if parsed is None else tuple(p.rstrip("🍰") for p in parsed))
    assert (scored.value, scored.failure) == (pytest.approx(value), failure)
    assert (scored.value == 1) == (scored.failure is None)


def test_labels_in_prose_are_found():
    sample = item(hashtag.MULTIPLE, {"candidates": TAGS}, ["Tea Time"])
    assert score(hashtag.MULTIPLE, sample, "This looks like a Tea Time to me").parsed == [
        "Tea Time"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "下午茶，蛋糕",
        "标签：下午茶、蛋糕",
        "下午茶和蛋糕",
        "#下午茶 #蛋糕",
        "['下午茶', '蛋糕']",
        "下午茶\n蛋糕\n\n理由：符合",
    ],
)
def test_chinese_labels(text):
    sample = item(hashtag.MULTIPLE, {"candidates": "下午茶, 蛋糕, 露营"}, ["下午茶", "蛋糕"], "zh")
    assert score(hashtag.MULTIPLE, sample, text).value == 1


TITLE = "Linen trousers black and white stripes for tall men, v-neck shirt 100% cotton"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("black and white, v-neck", 1.0),
        ("Entities: Black and White, V-neck", 1.0),
        ("The style entities are: black and white, v-neck.", 1.0),
        ("black and white and v-neck", 1.0),
        ("black/v-neck", 0.5),
        ("- **black and white**: a pattern\n- **v-neck**: a cut", 1.0),
        ("black and white (pattern), v-neck (cut)", 1.0),
        ("Style: black and white, v-neck", 1.0),
        ("v-neck", 2 / 3),
        ("The style is v-neck.", 2 / 3),
        ('"v-neck" is the only style in the text.', 2 / 3),
        ("The style is not v-neck.", 0.0),
        ("100% cotton", 0.0),
        ("[]", 0.0),
        ("", 0.0),
    ],
)
def test_entities(text, value):
    sample = item(ner.TASK, {"content": TITLE}, ["black and white", "v-neck"])
    assert score(ner.TASK, sample, text).value == pytest.approx(value)


COMMENT = "Comment: is this the Nagelmann kettle, or the driver's mug?"
ONE = ("Nagelmann kettle",)
LITERALS = [
    ("['Nagelmann kettle']", ONE, 1.0, None),
    ('["Nagelmann kettle"]', ONE, 1.0, None),
    ("[“Nagelmann kettle”]", ONE, 1.0, None),
    ("['Nagelmann kettle',]", ONE, 1.0, None),
    ("[ 'Nagelmann kettle' ].", ONE, 1.0, None),
    ("[Nagelmann kettle]", ONE, 1.0, None),
    ("['nagelmann  KETTLE']", ("nagelmann  KETTLE",), 1.0, None),
    ("**['Nagelmann kettle']**", ONE, 1.0, None),
    ("```python\n['Nagelmann kettle']\n```", ONE, 1.0, None),
    ("Answer: ['Nagelmann kettle']", ONE, 1.0, None),
    ("输出：['Nagelmann kettle']", ONE, 1.0, None),
    ("I think the answer is ['Nagelmann kettle']", ONE, 1.0, None),
    ("['Nagelmann kettle']\nBecause ['mug'] is small talk", ONE, 1.0, None),
    (
        "The options are ['Nagelmann kettle', 'mug'].\nMy answer: ['Nagelmann kettle']",
        ONE,
        1.0,
        None,
    ),
    ("Not ['mug'] but ['Nagelmann kettle']", ONE, 1.0, None),
    ("words = ['Nagelmann kettle']", ONE, 1.0, None),
    ("['Nagelmann\\x20kettle']", ONE, 1.0, None),
    ("Nagelmann kettle", ONE, 1.0, None),
    ("- Nagelmann kettle", ONE, 1.0, None),
    ('I would highlight "Nagelmann kettle".', ONE, 1.0, None),
    ('The word to highlight is "Nagelmann kettle".', ONE, 1.0, None),
    ('{"words": ["Nagelmann kettle"]}', ONE, 1.0, None),
    ("「Nagelmann kettle」", ONE, 1.0, None),
    ("['Nagelmann kettle'", ONE, 1.0, None),
    ("['Nagelmann kettle', 'Nagelmann kettle']", ONE, 1.0, None),
    ("['driver's mug', 'Nagelmann kettle']", ("driver's mug", *ONE), 2 / 3, "wrong"),
    ("['kettle']", ("kettle",), 0.0, "wrong"),
    ("['Nagelmann kettle', 'mug']", (*ONE, "mug"), 2 / 3, "wrong"),
    ("[]", (), 0.0, "wrong"),
    ("[ ]", (), 0.0, "wrong"),
    ("['']", (), 0.0, "wrong"),
    ("None", (), 0.0, "wrong"),
    ("无", (), 0.0, "wrong"),
    ("['none']", (), 0.0, "wrong"),
    ("Sure! Here is the list: [] Hope it helps", (), 0.0, "wrong"),
    ("", None, 0.0, "empty"),
    ("[" * 9_000, None, 0.0, "format"),
    ("I'm sorry, but I cannot do that.", None, 0.0, "refusal"),
]


@pytest.mark.parametrize(("text", "parsed", "value", "failure"), LITERALS)
def test_literal_lists(text, parsed, value, failure):
    scored = score(chlw.TASK, item(chlw.TASK, {"content": COMMENT}, list(ONE)), text)
    assert scored.parsed == (None if parsed is None else list(parsed))
    assert (scored.value, scored.failure) == (pytest.approx(value), failure)


@pytest.mark.parametrize(
    ("text", "value", "stats", "failure"),
    [
        ("[]", 1.0, (1, 1, 1), None),
        ("none", 1.0, (1, 1, 1), None),
        ("没有", 1.0, (1, 1, 1), None),
        ("The answer is [] since the comment doesn't name a thing.", 1.0, (1, 1, 1), None),
        ("There are no words to highlight.", 1.0, (1, 1, 1), None),
        ("No highlight words.", 1.0, (1, 1, 1), None),
        ("None of these words should be highlighted.", 1.0, (1, 1, 1), None),
        ("N/A", 1.0, (1, 1, 1), None),
        ("没有需要高亮的词", 1.0, (1, 1, 1), None),
        ("None of the words except kettle", 0.0, (0, 1, 1), "wrong"),
        ("['kettle']", 0.0, (0, 1, 1), "wrong"),
        ("", 0.0, (0, 0, 1), "empty"),
        ("抱歉，我无法处理。", 0.0, (0, 0, 1), "refusal"),
    ],
)
def test_nothing_is_an_answer_of_its_own(text, value, stats, failure):
    scored = score(chlw.TASK, item(chlw.TASK, {"content": COMMENT}, []), text)
    assert (scored.value, scored.stats, scored.failure) == (value, stats, failure)


def test_code_is_never_run(tmp_path):
    marker = tmp_path / "ran"
    text = f"[__import__('pathlib').Path({str(marker)!r}).touch()]"
    for scoring in chlw.TASK.scorings.values():
        scoring.score(item(chlw.TASK, {"content": COMMENT}, []), [Completion(text)], Services())
    assert not marker.exists()


def test_without_candidates_words_between_items_stay():
    assert extract_list(Completion("salt and pepper, and oil")).answer == ("salt and pepper", "oil")


def test_cut_off():
    assert extract_list(Completion("", "length")).failure == "truncated"


@pytest.mark.parametrize(
    "text",
    [
        "(1) tea (2) cake",
        "（1）tea（2）cake",
        "1) tea 2) cake",
        "1. tea 2. cake",
        "① tea ② cake",
        "①tea②cake",
        "1️⃣ tea\n2️⃣ cake",
        "一、tea\n二、cake",
        "（一）tea\n（二）cake",
        "<answer>tea, cake</answer>",
        "They are <answer>['tea', 'cake']</answer>.",
        "<answer>\n- tea\n- cake\n</answer>",
        "<answer>tea</answer>\n<answer>cake</answer>",
        "\\boxed{\\text{tea, cake}}",
        "<|im_start|>assistant\ntea, cake<|im_end|>",
        "tea, cake<｜end▁of▁sentence｜>",
        "assistant\n\ntea, cake",
    ],
)
def test_list_marks_and_wrappers(text):
    for is_item in (lambda piece: piece in ("tea", "cake"), lambda piece: False):
        assert extract_list(Completion(text), "en", is_item).answer == ("tea", "cake")
