"""Instructions that a program can verify: wording, layout; for training, openings and bullets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any

from .items import Family, Item, one_of, pairs, say

# --- evaluation ----------------------------------------------------------------------------------

_TOPICS = (
    ("the sea", ("boat", "waves", "captain"), "大海", ("小船", "海浪", "船长")),
    ("a birthday", ("cake", "presents", "balloons"), "生日", ("蛋糕", "礼物", "气球")),
    ("winter", ("snow", "gloves", "skiing"), "冬天", ("下雪", "手套", "滑雪")),
    ("a school", ("pupils", "homework", "classroom"), "学校", ("学生", "作业", "教室")),
    ("a farm", ("cows", "tractor", "wheat"), "农场", ("奶牛", "拖拉机", "小麦")),
    ("a hospital", ("doctor", "nurse", "patient"), "医院", ("医生", "护士", "病人")),
    ("the night", ("stars", "moon", "dreams"), "夜晚", ("星星", "月亮", "做梦")),
    ("a holiday", ("hotel", "luggage", "sightseeing"), "假期", ("酒店", "行李", "观光")),
    ("a football match", ("goal", "referee", "fans"), "足球比赛", ("进球", "裁判", "球迷")),
    ("a forest", ("trees", "mushrooms", "deer"), "森林", ("大树", "蘑菇", "小鹿")),
    ("breakfast", ("bread", "butter", "eggs"), "早餐", ("面包", "黄油", "鸡蛋")),
    ("a wedding", ("dress", "bride", "dancing"), "婚礼", ("婚纱", "新娘", "舞会")),
    ("the weather", ("sunshine", "clouds", "storm"), "天气", ("阳光", "乌云", "暴风雨")),
    ("a long journey", ("suitcase", "passport", "luck"), "长途旅行", ("箱子", "护照", "好运")),
)
"""English topic and words, Chinese topic and words."""


Demand = tuple[str, tuple[str, Any], str, str]
"""The sentence that states one more rule ("" where the last part does), the checker and its
argument, a text about the word that follows the rule, and what is to be written."""

_SKILLS = (
    *("capitals", "quotation marks", "exclamation", "at most"),
    *("forbidden", "sentences", "question"),
)


def _demand(skill: str, random: Random, language: str, word: str) -> Demand:
    def ask(english: str, chinese: str) -> str:
        return say(language, english, chinese)

    what = ask("Write a sentence", "写一句话")
    liked = ask(f"I like the {word}", f"我喜欢{word}")
    example = liked + ask(".", "。")
    if skill == "capitals":
        rule = ("upper_case", None)
        return "Use capital letters only.", rule, f"I LOVE THE {word.upper()}.", what
    if skill == "quotation marks":
        text = ask("Put it between double quotation marks.", "整句话放在双引号里。")
        return text, ("quoted", None), ask(f'"{example}"', f"“{example}”"), what
    if skill == "exclamation":
        text = ask("End with an exclamation mark.", "用感叹号结尾。")
        return text, ("ends_with_mark", "!"), liked + ask("!", "！"), what
    if skill == "at most":
        count = random.choice((11, 13, 15) if language == "en" else (8, 10, 12))
        text = ask(f"Use no more than {count} words.", f"不超过{count}个字。")
        return text, ("most_words", count), example, what
    if skill == "forbidden":
        banned = random.choice(
            ("and", "can", "is", "but", "very") if language == "en" else "的了是"
        )
        text = ask(f'Do not use the word "{banned}".', f"不能出现“{banned}”字。")
        return text, ("avoids", banned), example, what
    if skill == "question":
        question = ask(f"Do you like the {word}?", f"你喜欢{word}吗？")
        return "", ("ends_with_mark", "?"), question, ask("Ask a question", "提一个问题")
    # The question itself must not have as many sentences as it asks for.
    if random.random() < 0.5:
        two = example + ask(" So do you.", "你也喜欢。")
        return "", ("sentences", 2), two, ask("Write two sentences", "写两句话")
    text = ask("Give one sentence only.", "只说一句话。")
    return text, ("sentences", 1), example, ask("Tell me", "说说看")


def _wording(random: Random, language: str) -> Item:
    skill = random.choice([s for s in _SKILLS if language == "en" or s != "capitals"])
    row = random.choice(_TOPICS)
    topic, choices = row[:2] if language == "en" else row[2:]
    word = random.choice(choices)
    demand, rule, example, what = _demand(skill, random, language, word)
    question = say(
        language,
        f'{what} about {topic} with the word "{word}" in it.',
        f"{what}，谈谈{topic}，要用到“{word}”这个词。",
    )
    if demand:
        question += say(language, " ", "") + demand
    return Item(
        skill=skill,
        question=question,
        form="rules",
        answer=example,
        rules=(("mentions", word), rule),
    )


WORDING = Family("wording", "Wording instructions", _wording)


_GROUPS = (
    ("fruits", "水果", pairs("banana, apple, mango, pear, grape", "香蕉、苹果、芒果、梨、葡萄")),
    ("colours", "颜色", pairs("red, green, white, blue, black", "红色、绿色、白色、蓝色、黑色")),
    ("pets", "宠物", pairs("cat, dog, hamster, parrot, goldfish", "猫、狗、仓鼠、鹦鹉、金鱼")),
    (
        "sports",
        "运动",
        pairs("tennis, rugby, judo, golf, boxing", "网球、橄榄球、柔道、高尔夫、拳击"),
    ),
    ("drinks", "饮料", pairs("tea, coffee, juice, water, cola", "茶、咖啡、果汁、水、可乐")),
    (
        "vegetables",
        "蔬菜",
        pairs("carrot, onion, spinach, cabbage, potato", "胡萝卜、洋葱、菠菜、卷心菜、土豆"),
    ),
    (
        "rooms",
        "房间",
        pairs("kitchen, bedroom, bathroom, garage, attic", "厨房、卧室、浴室、车库、阁楼"),
    ),
)
"""The name of a kind of things in English, in Chinese, and some of them."""
_KEYS = {
    "en": (("name", "price"), ("title", "reason"), ("word", "meaning")),
    "zh": (("名称", "价格"), ("标题", "理由"), ("词语", "意思")),
}
_SEPARATORS = (";", "|", "/")


def _instruction(question: str, rules: Sequence[tuple[str, Any]], example: str) -> Item:
    return Item(question=question, form="rules", answer=example, rules=tuple(rules))


def _group(random: Random, language: str) -> tuple[str, list[str]]:
    """The name of a kind of things, and some of them in any order."""
    at = 0 if language == "en" else 1
    *names, things = random.choice(_GROUPS)
    members = [thing[at] for thing in things]
    random.shuffle(members)
    return names[at], members


def _numbered(random: Random, language: str) -> Item:
    count = random.choice((3, 4, 5))
    group, (first, *rest) = _group(random, language)
    ask = say(
        language,
        f"Make a numbered list of {count} {group}. Number 1 must be {first}.",
        f"写一个编号列表，列出{count}种{group}，第1个必须是{first}。",
    )
    answer = "\n".join(f"{n}. {m}" for n, m in enumerate([first, *rest][:count], 1))
    return _instruction(ask, [("numbered", count), ("first_line", first)], answer)


def _lines(random: Random, language: str) -> Item:
    count = random.choice((2, 3))
    group, (first, *rest) = _group(random, language)
    ask = say(
        language,
        f"Write the names of {count} {group} on {count} lines. Put {first} on the first line.",
        f"分{count}行写出{count}种{group}的名称，每行一种，第一行写{first}。",
    )
    rules = [("line_count", count), ("first_line", first)]
    return _instruction(ask, rules, "\n".join([first, *rest][:count]))


def _json(random: Random, language: str) -> Item:
    _, (thing, *_) = _group(random, language)
    one, two = random.choice(_KEYS[language])
    ask = say(
        language,
        f'Describe {thing} as a JSON object with the keys "{one}" and "{two}".',
        f"用一个JSON对象介绍{thing}，键为“{one}”和“{two}”。",
    )
    answer = json.dumps({one: thing, two: thing}, ensure_ascii=False)
    return _instruction(ask, [("json_keys", [one, two]), ("mentions", thing)], answer)


def _parted(random: Random, language: str) -> Item:
    separator = random.choice(_SEPARATORS)
    group, (first, *rest) = _group(random, language)
    ask = say(
        language,
        f"Write three {group} on one line with {separator} between them, {first} first.",
        f"在一行里写三种{group}，中间用{separator}隔开，{first}放在最前。",
    )
    answer = f" {separator} ".join([first, *rest[:2]])
    return _instruction(ask, [("parted", [separator, 3]), ("first_line", first)], answer)


LAYOUT = Family(
    "layout",
    "Layout instructions",
    one_of({"numbered list": _numbered, "lines": _lines, "json": _json, "separator": _parted}),
)


# --- training ------------------------------------------------------------------------------------

_STARTS = pairs(
    "Honestly, Dear neighbour, Good news, Last summer, If you ask me, Believe it or not, "
    "To be fair, Last week",
    "说实话、亲爱的邻居、好消息、去年夏天、依我看、信不信由你、平心而论、上个星期",
)
_SUBJECTS = pairs(
    "my new shoes, an old clock, loud music, a lost key, the local market hall, my first flat, "
    "a strange dream, the noisy lift, our garden gnome, a broken chair, the village choir, "
    "cheap sunglasses",
    "我的新鞋、一座旧钟、吵闹的音乐、丢失的钥匙、本地的菜场、第一套公寓、奇怪的梦、吵人的电梯、"
    "花园小矮人、坏掉的椅子、村里的合唱团、便宜的墨镜",
)
_BODIES = {
    "en": ("{} always surprised me", "nothing beats {}", "{} makes people smile"),
    "zh": ("{}总让我惊喜", "没有什么比得上{}", "{}让人开心"),
}

Rule = tuple[str, tuple[str, Any], str, str]
"""What is asked, the checker with its argument, the answer, why it follows the rule."""


def _rules(language: str, text: str) -> Sequence[Rule]:
    if language == "en":
        longer = f"{text} and my friends as well."
        return (
            ("Small letters throughout.", ("lower_case", None), text.lower(), "no capital is used"),
            (
                *("Reach seven words or more.", ("least_words", 7)),
                *(longer, "it has seven words or more"),
            ),
            ("Sign as Jo.", ("ends_with", "Jo"), f"{text}. Jo", "the name Jo comes last"),
        )
    longer = f"{text}，我的朋友们也都这样说。"
    return (
        ("写满十五个字以上。", ("least_words", 15), longer, "字数超过了十五个"),
        ("末尾署名小周。", ("ends_with", "小周"), f"{text}。小周", "末尾有署名小周"),
    )


def _opening(random: Random, language: str) -> Item:
    at = 0 if language == "en" else 1
    start, subject = random.choice(_STARTS)[at], random.choice(_SUBJECTS)[at]
    body = random.choice(_BODIES[language]).format(subject)
    text = start + say(language, ", ", "，") + body
    ask, rule, answer, reason = random.choice(_rules(language, text))
    return Item(
        skill=rule[0],
        question=say(
            language,
            f"Reply to a friend. Topic: {subject}. Open with: {start}. {ask}",
            f"给朋友回个话，话题：{subject}。开头用：{start}。{ask}",
        ),
        form="rules",
        answer=answer,
        rules=(("starts_with", start), rule),
        rationale=say(
            language,
            f"The reply opens with {start}, and {reason}.",
            f"回复以“{start}”开头，并且{reason}。",
        ),
    )


OPENINGS = Family("openings", "Openings", _opening, train=True)


_ERRANDS = {
    "en": {
        "camping trip": ["rope", "torch", "blanket", "matches", "map", "whistle", "stove", "mug"],
        "spring clean": ["broom", "bucket", "sponge", "soap", "duster", "cloth", "mop", "brush"],
        "art lesson": ["crayon", "paper", "glue", "scissors", "apron", "easel", "chalk", "pencils"],
        "baby's bag": ["bib", "rattle", "wipes", "bottle", "hat", "socks", "teddy", "spoon"],
        "bike repair": ["pump", "spanner", "oil", "patch", "chain", "bell", "tube", "lamp"],
        "sewing box": ["thread", "button", "zip", "pins", "chalk", "tape", "ribbon", "thimble"],
    },
    "zh": {
        "野营": ["绳子", "手电筒", "毯子", "火柴", "地图", "哨子", "炉子", "杯子"],
        "大扫除": ["扫帚", "水桶", "海绵", "肥皂", "掸子", "抹布", "拖把", "刷子"],
        "美术课": ["蜡笔", "画纸", "胶水", "剪刀", "围裙", "画架", "粉笔", "铅笔"],
        "宝宝出门": ["围兜", "摇铃", "湿巾", "奶瓶", "帽子", "袜子", "小熊", "勺子"],
        "修自行车": ["打气筒", "扳手", "机油", "补丁", "链条", "车铃", "内胎", "车灯"],
        "针线盒": ["棉线", "纽扣", "拉链", "别针", "粉片", "软尺", "丝带", "顶针"],
    },
}


def _bullets(random: Random, language: str) -> Item:
    errand = random.choice(list(_ERRANDS[language]))
    count = random.randint(2, 7)
    things = random.sample(_ERRANDS[language][errand], count)
    wanted = random.choice(things)
    return Item(
        skill="bullets",
        question=say(
            language,
            f"Packing note for the {errand}: exactly {count} bullets, each starting with a dash. "
            f"Do not forget: {wanted}.",
            f"列一张{errand}的备忘单，正好{count}条，每条以短横线-开始。别忘了{wanted}。",
        ),
        form="rules",
        answer="\n".join(f"- {thing}" for thing in things),
        rules=(("bullets", count), ("mentions", wanted)),
        rationale=say(
            language,
            f"{count} bullets are asked for, so I write {count} lines with a dash; "
            f"one of them is {wanted}.",
            f"要求{count}条，所以写{count}行，每行以短横线开始，其中一行是{wanted}。",
        ),
    )


BULLETS = Family("bullets", "Bullet lists", _bullets, train=True)
