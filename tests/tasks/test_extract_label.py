"""Extraction of one label: a candidate, yes or no, a level. Each case: text, label, failure kind.

An item's value is 1 exactly where the parsed label is the gold one.
"""

import pytest

from redone.tasks.extract_label import (
    RELEVANCE_LEVELS,
    YES_NO,
    candidate_labels,
    extract_label,
    mentioned_labels,
)
from redone.tasks.schema import Completion, Sample, Services
from redone.tasks.sns_bench import gender, query_corr, taxonomy


def item(task, fields, target, language="en"):
    return Sample("0" * 16, task.name, fields, target, language, "0" * 16, "test", "gate", {})


def score(task, sample, text, finish="stop"):
    return task.scorings["corrected"].score(sample, [Completion(text, finish)], Services())


TEXTS = "Baking, Gardening, Urban Gardening, Eye Creams, Trends, Dogs (Small), Home & Decor, Other"
CHOICES = candidate_labels(tuple(TEXTS.split(", ")))
CHOICE = [
    # plain and decorated
    ("Baking", "Baking", None),
    ("  baking.\n", "Baking", None),
    ("**Baking**", "Baking", None),
    ('"Baking"', "Baking", None),
    ("“Baking”", "Baking", None),
    ("```\nBaking\n```", "Baking", None),
    ("`Baking`", "Baking", None),
    ("Ｂａｋｉｎｇ", "Baking", None),
    ("1. Baking", "Baking", None),
    ("- Baking", "Baking", None),
    ("<Baking>", "Baking", None),
    ("#Baking#", "Baking", None),
    ("Baking 🍞", "Baking", None),
    ("home & decor", "Home & Decor", None),
    ("Dogs（Small）", "Dogs (Small)", None),
    ("Trends", "Trends", None),  # the official rule cuts "Trends" to "Tr"
    # preamble
    ("Answer: Baking", "Baking", None),
    ("The answer is Baking.", "Baking", None),
    ("**Category:** Baking", "Baking", None),
    ("The best category is Baking.", "Baking", None),
    ("I would choose Baking", "Baking", None),
    ("Sure! Here is the list: Baking Hope it helps", "Baking", None),
    ("It's Baking!", "Baking", None),
    ('{"category": "Baking"}', "Baking", None),
    ("\\boxed{Baking}", "Baking", None),
    ("答案：Baking", "Baking", None),
    # a question that the answer denies
    ("Baking? No, Gardening", "Gardening", None),
    ("Is it Baking or Trends? No. It is Gardening.", "Gardening", None),
    ("Baking? No", None, "format"),
    ("Baking? Yes", "Baking", None),
    # explanation after it
    ("Baking\n\nExplanation: Gardening is only mentioned once, Trends not at all.", "Baking", None),
    ("The best category is Baking because Gardening is not shown.", "Baking", None),
    ("Baking, because it shows bread", "Baking", None),
    ("Baking (the post shows a loaf)", "Baking", None),
    ("Baking - a loaf is shown; Gardening is secondary", "Baking", None),
    ("Category: Baking\nReason: Gardening is weaker", "Baking", None),
    ("Baking is the best category as it is more specific than Other.", "Baking", None),
    ("Baking\n\nInput: another post\nAnswer: Gardening", "Baking", None),
    ("Baking\nPost: another\nCandidates: Gardening, Other\nCategory: Gardening", "Baking", None),
    # thinking before it
    ("The post shows a loaf of bread in an oven, so Baking fits best", "Baking", None),
    ("Candidates: Baking, Gardening, Trends. Answer: Gardening", "Gardening", None),
    ("It could be Baking at first sight. Final answer: Gardening", "Gardening", None),
    ("Baking. Actually, Gardening.", "Gardening", None),
    # talkative, as chat models are
    ("Sure! The most suitable category is **Baking**.", "Baking", None),
    ("I would classify this post as Baking, since it shows dough.", "Baking", None),
    ("I would classify this as Baking. Gardening is mentioned only in passing.", "Baking", None),
    ("Category: Baking\n\nExplanation: It is dough. Trends and Other are not apt.", "Baking", None),
    (
        "Category: Baking\n\nExplanation: It is dough. Gardening and Other do not fit.",
        "Baking",
        None,
    ),
    ("It shows dough. Among Baking, Gardening, Other, the best match is Baking.", "Baking", None),
    ("Out of Baking, Gardening and Other, the best one is Baking.", "Baking", None),
    (
        "- Baking: it shows dough.\n- Trends: no.\n\nTherefore, the answer is Baking.",
        "Baking",
        None,
    ),
    ("Given the candidates, Baking is the best fit.", "Baking", None),
    ("Based on the post, Baking seems the most suitable.", "Baking", None),
    ("Since the post is about dough, Baking.", "Baking", None),
    ("While it mentions Gardening, the main topic is Baking.", "Baking", None),
    ("It's not about Gardening; it's about Baking.", "Baking", None),
    ("The post does not fit Gardening or Trends. It fits Baking.", "Baking", None),
    ("1) Baking", "Baking", None),
    ("Answer: A. Baking", "Baking", None),
    ("1. Baking 2. Gardening 3. Other", None, "format"),
    ("Baking (bread making)", "Baking", None),
    ("Baking (not Gardening)", "Baking", None),
    # a sentence that names one label
    ("The post is about Baking.", "Baking", None),
    ("This post covers Baking", "Baking", None),
    ("It might be Baking or Trends. The post is about Trends.", "Trends", None),
    ("The post is about Baking Courses", None, "format"),
    ("The Joy of Baking", None, "format"),
    ("The post is not about Baking.", None, "format"),
    ("It is unclear whether the post is about Baking", None, "format"),
    ("I would not classify this post as Baking.", None, "format"),
    # list marks
    ("（1）Baking", "Baking", None),
    ("①Baking", "Baking", None),
    ("1️⃣ Baking", "Baking", None),
    ("一、Baking", "Baking", None),
    ("① Baking ② Trends", None, "format"),
    # denial
    ("Baking is not suitable.", None, "format"),
    ("Baking doesn't fit this post.", None, "format"),
    ("The post has nothing to do with Baking.", None, "format"),
    ("Baking is wrong; Gardening is right.", "Gardening", None),
    ("Baking might seem right, but Gardening is the answer.", "Gardening", None),
    ("not Baking but Gardening", "Gardening", None),
    ("Not Baking. Gardening.", "Gardening", None),
    ("It is not Baking, it is Gardening", "Gardening", None),
    ("The most suitable category is Gardening, not Baking", "Gardening", None),
    ("Gardening rather than Baking", "Gardening", None),
    ("I would choose Gardening over Baking.", "Gardening", None),
    ("Neither Baking nor Gardening.", None, "format"),
    # several answers
    ("Baking, Gardening", None, "format"),
    ("Baking and Gardening", None, "format"),
    ("Baking\nGardening", None, "format"),
    ("Baking / Trends", None, "format"),
    ("I think Baking or maybe Gardening", None, "format"),
    ("This post is about Baking and Gardening", None, "format"),
    (TEXTS, None, "format"),
    (TEXTS.replace(", ", "\n- "), None, "format"),
    # a label in a longer one, or in a longer name that is no label
    ("Urban Gardening", "Urban Gardening", None),
    ("The answer is Urban Gardening.", "Urban Gardening", None),
    ("Baking Courses", None, "format"),
    ("The category is Baking Courses", None, "format"),
    ("Slow-Baking", None, "format"),
    ("Creams", None, "format"),
    ("Trendsetting", None, "format"),
    # no answer
    ("", None, "empty"),
    ("Bakery", None, "format"),
    ("I'm sorry, I can't sort posts about Baking.", None, "refusal"),
    ("抱歉，我无法回答", None, "refusal"),
    ("这篇笔记与任何类别都无关", None, "language"),
    ("def f():\n    return 1", None, "format"),
    ("Baking " * 9_000, None, "format"),
]


@pytest.mark.parametrize(("text", "label", "failure"), CHOICE)
def test_choice(text, label, failure):
    assert extract_label(Completion(text), CHOICES) == (label, failure)
    sample = item(taxonomy.SINGLE, {"candidates": TEXTS, "content": ""}, label or "Baking")
    scored = score(taxonomy.SINGLE, sample, text)
    assert (scored.value, scored.failure) == ((1.0, None) if label else (0.0, failure))


def test_cut_off_before_an_answer():
    reading = extract_label(Completion("Let me look at the post first. It", "length"), CHOICES)
    assert reading == (None, "truncated")
    assert extract_label(Completion("Baking. The post", "length"), CHOICES).answer == "Baking"


def test_a_label_may_hold_the_words_that_lead_to_answers():
    known = candidate_labels(("I Think So", "Here is Rome", "Rome"))
    assert extract_label(Completion("My pick: I Think So."), known).answer == "I Think So"
    assert extract_label(Completion("The tag is Here is Rome"), known).answer == "Here is Rome"


def test_a_wrong_answer_is_wrong():
    scored = score(taxonomy.SINGLE, item(taxonomy.SINGLE, {"candidates": TEXTS}, "Other"), "Baking")
    assert (scored.value, scored.failure, scored.parsed) == (0.0, "wrong", "Baking")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Cream", 1.0),
        ("**cream**", 1.0),
        ("The answer is Cream", 0.0),
        ("Creams", 0.0),
        ("Eye Cream", 0.0),
    ],
)
def test_a_gold_outside_its_candidates_counts_as_the_whole_answer_only(text, value):
    sample = item(taxonomy.SINGLE, {"candidates": "Eye Creams, Soaps, Creams"}, "Cream")
    assert score(taxonomy.SINGLE, sample, text).value == value


ZH = candidate_labels(("旅行", "城市旅行", "美食", "烘焙", "其他"))


@pytest.mark.parametrize(
    ("text", "label", "failure"),
    [
        ("旅行", "旅行", None),
        ("旅行。", "旅行", None),
        ("“旅行”", "旅行", None),
        ("【旅行】", "旅行", None),
        ("答案：旅行", "旅行", None),
        ("类别是旅行", "旅行", None),
        ("我选择烘焙", "烘焙", None),
        ("最合适的类别是烘焙，因为美食太宽泛。", "烘焙", None),
        ("烘焙\n\n理由：比美食更具体", "烘焙", None),
        ("不是美食，而是烘焙", "烘焙", None),
        ("城市旅行", "城市旅行", None),
        ("旅行攻略", None, "format"),
        ("旅行、美食", None, "format"),
        ("旅行，美食，烘焙，其他", None, "format"),
        ("最终答案：美食", "美食", None),
        ("好的！最合适的类别是**烘焙**。", "烘焙", None),
        ("根据内容，我选择“烘焙”。", "烘焙", None),
        ("虽然提到了旅行，但最合适的是烘焙。", "烘焙", None),
        ("综合来看，烘焙更合适。", "烘焙", None),
        ("笔记讲的是面包，与「烘焙」最为相关。", "烘焙", None),
        ("烘焙（面包）", "烘焙", None),
        ("类别:烘焙\n解释:美食不合适", "烘焙", None),
        ("烘焙不合适", None, "format"),
        ("与烘焙无关", None, "format"),
        ("抱歉，我无法判断。", None, "refusal"),
        ("This post is about something else.", None, "language"),
    ],
)
def test_chinese_choice(text, label, failure):
    assert extract_label(Completion(text), ZH, "zh") == (label, failure)


YES_OR_NO = [
    ("Yes", "Yes", None),
    ("no.", "No", None),
    ("**Yes**", "Yes", None),
    ('"No"', "No", None),
    ("```\nNo\n```", "No", None),
    ("Ｙｅｓ", "Yes", None),
    ("YES!", "Yes", None),
    ("Answer: No", "No", None),
    ("The answer is Yes", "Yes", None),
    ("I would say no", "No", None),
    ("Yes, the post explains that there is no problem.", "Yes", None),
    ("No, it doesn't answer that. Yes would need a number.", "No", None),
    ("No\nBecause a yes needs more", "No", None),
    ("no the post does not", "No", None),
    ("Yes. The question is answered.", "Yes", None),
    ("Sure! Here is the list: Yes Hope it helps", "Yes", None),
    ("Let me see. There is no date in it. Final answer: Yes", "Yes", None),
    ("Yes\n\nQuestion: another\nAnswer: No", "Yes", None),
    ("Yes. Actually, no.", "No", None),
    ("是", "Yes", None),
    ("否", "No", None),
    ("是的，可以回答", "Yes", None),
    ("不是", "No", None),
    ("不能，因为没有提到", "No", None),
    ("答案：是", "Yes", None),
    ("答案是否", "No", None),
    ("答案是：否。", "No", None),
    ("是否能回答：是", "Yes", None),
    ("Based on the note, I would say Yes, because it is about a wedding.", "Yes", None),
    ("Based on the post, no.", "No", None),
    ("Given the topic, yes.", "Yes", None),
    ("The post is about marriage => Yes", "Yes", None),
    ("根据笔记内容，回答：是", "Yes", None),
    ("是（涉及婚姻）", "Yes", None),
    ("不会引起讨论。", "No", None),
    ("是否会引起讨论？否", "No", None),
    ("Whether it is yes or no is unclear", None, "format"),
    ("Yes and no", None, "format"),
    ("Yes, No", None, "format"),
    ("Yes/No", None, "format"),
    ("Yes or No", None, "format"),
    ("Yes. No.", None, "format"),
    ("not sure", None, "format"),
    ("I don't know", None, "format"),
    ("There is no mention of it anywhere in the post", None, "format"),
    ("The post can answer", None, "format"),
    ("Y", None, "format"),
    ("Yesterday", None, "format"),
    ("Nothing", None, "format"),
    ("", None, "empty"),
    ("I'm sorry, but I can't say no to that.", None, "refusal"),
    ("抱歉，我无法回答", None, "refusal"),
    ("不确定", None, "language"),
    # traditional characters
    ("會", "Yes", None),
    ("不會", "No", None),
    ("對", "Yes", None),
    ("不對。", "No", None),
    ("沒有", "No", None),
    ("答案：會", "Yes", None),
    ("答案是：沒有", "No", None),
    ("是否會引起討論？不會", "No", None),
    ("不會引發討論。", "No", None),
    ("\\boxed{\\text{Yes}}", "Yes", None),
    ("<|im_start|>assistant\n會<|im_end|>", "Yes", None),
]


@pytest.mark.parametrize(("text", "label", "failure"), YES_OR_NO)
def test_yes_or_no(text, label, failure):
    assert extract_label(Completion(text), YES_NO) == (label, failure)
    scored = score(gender.TASK, item(gender.TASK, {}, label or "Yes"), text)
    assert (scored.value, scored.failure) == ((1.0, None) if label else (0.0, failure))


def test_chinese_golds_take_answers_in_both_languages():
    sample = item(gender.TASK, {}, "否", "zh")
    assert [score(gender.TASK, sample, t).value for t in ("否", "不是", "No", "是", "")] == [
        1,
        1,
        1,
        0,
        0,
    ]


LEVEL = [
    ("2", "2", None),
    (" 2.\n", "2", None),
    ("-1", "-1", None),
    ("−1", "-1", None),
    ("–1", "-1", None),
    ("－１", "-1", None),
    ("minus 1", "-1", None),
    ("\\boxed{−1}", "-1", None),
    ("③", "3", None),
    ("等級：2", "2", None),
    ("２", "2", None),
    ("**3**", "3", None),
    ("2.0", "2", None),
    ("three", "3", None),
    ("minus one", "-1", None),
    ("Level 2", "2", None),
    ("Level: 2", "2", None),
    ("Score: -1", "-1", None),
    ("relevance level: 0", "0", None),
    ("The relevance is 2 because under 10% of the 3 parts help", "2", None),
    ("I'd rate it 2", "2", None),
    ("2 (partly)", "2", None),
    ("3\n\nThe query asks for 1 thing.", "3", None),
    ("Rating: 1\nExplanation: 2 lines match", "1", None),
    ("The post fully serves the query, so 3.", "3", None),
    ("not 2 but 3", "3", None),
    ("```\n0\n```", "0", None),
    ("等级：-1", "-1", None),
    ("负一", "-1", None),
    ("2分", "2", None),
    ("第2级", "2", None),
    ("1. Actually, 2.", "2", None),
    ("Answer: 2 (the topic matches, but only 1 tip of 3 helps)", "2", None),
    ("I'd give this a 2.", "2", None),
    ("The post has 3 tips, so it is level 2.", "2", None),
    ("Relevance: 2/3", "2", None),
    ("Score: 2 out of 3", "2", None),
    ("It is -1, not 0 or 1.", "-1", None),
    ("Level: 2\n\nExplanation: a part helps. 3 would need all of it.", "2", None),
    ("我会给2分", "2", None),
    ("评分：2分，因为只有1处相关", "2", None),
    ("2/3 of it helps", None, "format"),
    ("-1, 0, 1, 2, 3", None, "format"),
    ("1-2", None, "format"),
    ("2 or 3", None, "format"),
    ("between 1 and 2", None, "format"),
    ("10", None, "format"),
    ("4", None, "format"),
    ("80%", None, "format"),
    ("1.5", None, "format"),
    ("The post gives 3 tips about the query", None, "format"),
    ("high", None, "format"),
    ("", None, "empty"),
    ("I cannot rate this.", None, "refusal"),
    ("我不知道该怎么评", None, "language"),
]


@pytest.mark.parametrize(("text", "label", "failure"), LEVEL)
def test_level(text, label, failure):
    assert extract_label(Completion(text), RELEVANCE_LEVELS) == (label, failure)
    scored = score(query_corr.TOPIC, item(query_corr.TOPIC, {}, label or "2"), text)
    assert (scored.value, scored.failure) == ((1.0, None) if label else (0.0, failure))


@pytest.mark.parametrize(
    ("text", "label"), [("不是不会", None), ("不是，不会", "No"), ("不会", "No")]
)
def test_what_is_denied_twice_is_no_denial(text, label):
    assert extract_label(Completion(text), YES_NO, "zh").answer == label


@pytest.mark.parametrize(("text", "level"), [("負1", "-1"), ("負一", "-1"), ("兩", "2")])
def test_levels_in_traditional_chinese(text, level):
    assert extract_label(Completion(text), RELEVANCE_LEVELS, "zh").answer == level


def test_mentioned_labels_leaves_out_what_is_denied():
    text = "I see Baking and Trends here, but not Gardening."
    assert mentioned_labels(Completion(text), CHOICES) == ("Baking", "Trends")
