"""Transformation: lists and records; for training, copying and extracting a piece."""

from __future__ import annotations

import json
from random import Random

from .items import Family, Item, one_of, pairs, say

# --- evaluation ----------------------------------------------------------------------------------

_THINGS = pairs(
    "violin, hammer, candle, bottle, garden, window, pillow, ladder, mirror, basket, island, "
    "jacket, rocket, tunnel, needle, compass",
    "小提琴、锤子、蜡烛、瓶子、花园、窗户、枕头、梯子、镜子、篮子、岛屿、夹克、火箭、隧道、针、指南针",
)


def _ask(items: list[str], answer: list[str], language: str, english: str, chinese: str) -> Item:
    question = say(language, english, chinese).format(say(language, ", ", "、").join(items))
    return Item(question=question, form="list", answer=answer, options=tuple(items))


def _words(random: Random, language: str, count: int) -> list[str]:
    return [pair[0 if language == "en" else 1] for pair in random.sample(_THINGS, count)]


def _reverse(random: Random, language: str) -> Item:
    items = _words(random, language, 3)
    english = "Write this list in reverse order, from the last item to the first: {}"
    return _ask(
        items, items[::-1], language, english, "把这个列表倒过来写，从最后一个写到第一个：{}"
    )


def _sort(random: Random, language: str) -> Item:
    items = [str(n) for n in random.sample(range(2, 99), 4)]
    up = sorted(items, key=int)
    while items == up:
        random.shuffle(items)
    english, chinese = "Sort these numbers from small to large: {}", "把这些数从小到大排列：{}"
    return _ask(items, up, language, english, chinese)


def _alphabet(random: Random, language: str) -> Item:
    items = _words(random, language, 4)
    while items == sorted(items):
        random.shuffle(items)
    return _ask(items, sorted(items), language, "Put these words in alphabetical order: {}", "")


def _drop(random: Random, language: str) -> Item:
    items = _words(random, language, 4)
    gone = random.choice(items)
    kept = [item for item in items if item != gone]
    english = f"Write this list again without the word {gone}: {{}}"
    return _ask(items, kept, language, english, f"去掉“{gone}”，把列表重新写一遍：{{}}")


def _first(random: Random, language: str) -> Item:
    items = _words(random, language, 3)
    english, chinese = "What is the first word of this list: {}", "这个列表的第一个词是什么：{}"
    return _ask(items, items[:1], language, english, chinese)


def _last(random: Random, language: str) -> Item:
    items = _words(random, language, 3)
    english, chinese = "What is the last word of this list: {}", "这个列表的最后一个词是什么：{}"
    return _ask(items, items[-1:], language, english, chinese)


_LISTS = {
    **{"reverse": _reverse, "sort numbers": _sort, "sort words": _alphabet},
    **{"remove": _drop, "first": _first, "last": _last},
}
# Chinese characters have no order that a reader takes for granted.
LISTS = Family(
    "lists", "Lists sorted, turned and shortened", one_of(_LISTS, english_only=("sort words",))
)

_NAMES = pairs("Lena, Omar, Sofia, Hugo, Mira", "李娜、王强、赵敏、陈杰、周婷")
_TOWNS = pairs("Oslo, Lyon, Porto, Graz, Cork", "苏州、青岛、厦门、昆明、大连")
_TRADES = pairs("baker, nurse, tailor, painter, miner", "面包师、护士、裁缝、画家、矿工")
_KEYS = {
    "en": {"name": "name", "age": "age", "city": "city", "job": "job"},
    "zh": {"name": "姓名", "age": "年龄", "city": "城市", "job": "职业"},
}


def _person(random: Random, language: str) -> dict[str, str]:
    """A record of three fields, in any order."""
    at = 0 if language == "en" else 1
    values = {
        "name": random.choice(_NAMES)[at],
        "age": str(random.randint(18, 79)),
        "city": random.choice(_TOWNS)[at],
        "job": random.choice(_TRADES)[at],
    }
    fields = ["name", *random.sample(["age", "city", "job"], 2)]
    random.shuffle(fields)
    return {_KEYS[language][field]: values[field] for field in fields}


def _to_json(ask: str, table: str, person: dict[str, str]) -> Item:
    options = tuple(person.values())
    return Item(question=f"{ask}\n{table}", form="record", answer=person, options=options)


def _csv_to_json(random: Random, language: str) -> Item:
    person = _person(random, language)
    ask = say(language, "Convert this CSV to one JSON object:", "把这段CSV转换成一个JSON对象：")
    return _to_json(ask, f"{','.join(person)}\n{','.join(person.values())}", person)


def _lines_to_json(random: Random, language: str) -> Item:
    person = _person(random, language)
    ask = say(language, "Write this as one JSON object:", "把下面的内容写成一个JSON对象：")
    return _to_json(ask, "\n".join(f"{name} = {value}" for name, value in person.items()), person)


def _table(random: Random, language: str) -> tuple[str, list[dict[str, str]]]:
    """A CSV table of three people with different names, towns and ages."""
    at, keys = (0 if language == "en" else 1), _KEYS[language]
    names, towns = random.sample(_NAMES, 3), random.sample(_TOWNS, 3)
    ages = random.sample(range(18, 80), 3)
    rows = [
        {keys["name"]: n[at], keys["age"]: str(a), keys["city"]: t[at]}
        for n, a, t in zip(names, ages, towns, strict=True)
    ]
    return "\n".join([",".join(rows[0]), *(",".join(row.values()) for row in rows)]), rows


def _cell(random: Random, language: str) -> Item:
    table, rows = _table(random, language)
    keys, row = _KEYS[language], random.choice(rows)
    field = keys[random.choice(("age", "city"))]
    name = row[keys["name"]]
    ask = say(
        language,
        f"In this table, what is the {field} of {name}?",
        f"在这张表里，{name}的{field}是什么？",
    )
    options = tuple(r[field] for r in rows)
    return Item(question=f"{table}\n{ask}", form="choice", answer=row[field], options=options)


def _value(random: Random, language: str) -> Item:
    person = _person(random, language)
    field = random.choice(list(person))
    shown = json.dumps(person, ensure_ascii=False)
    ask = say(
        language,
        f'What is the value of "{field}" in this JSON object?',
        f"在这个JSON对象里，“{field}”的值是什么？",
    )
    options = tuple(person.values())
    return Item(question=f"{shown}\n{ask}", form="choice", answer=person[field], options=options)


_RECORDS = {
    **{"csv to json": _csv_to_json, "lines to json": _lines_to_json},
    **{"cell": _cell, "json to value": _value},
}
RECORDS = Family("records", "Records and small tables", one_of(_RECORDS))


# --- training ------------------------------------------------------------------------------------

_PARTS = {
    "en": (
        ("quiet", "golden", "tiny", "frozen", "purple", "lazy"),
        ("river", "teapot", "cloud", "donkey", "piano", "cottage"),
        ("sings", "waits", "dances", "sleeps", "shines", "laughs"),
        ("at noon", "in winter", "after lunch", "by the door", "near the mill", "at dawn"),
    ),
    "zh": (
        ("安静的", "金色的", "小小的", "结冰的", "紫色的", "懒懒的"),
        ("河流", "茶壶", "云朵", "毛驴", "钢琴", "小屋"),
        ("在唱歌", "在等待", "在跳舞", "在睡觉", "在发光", "在大笑"),
        ("，正午时分", "，冬天里", "，午饭以后", "，就在门边", "，磨坊附近", "，天亮时分"),
    ),
}
_DEMANDS = {
    "en": {
        "copy": "Repeat after me, letter by letter.\n{}",
        "small letters": "Make every letter small.\n{}",
        "brackets": "Wrap the following in square brackets.\n{}",
    },
    "zh": {"copy": "请一字不差地跟我念：\n{}", "brackets": "请给下面的话套上方括号[]：\n{}"},
}
_WAYS = {
    "copy": ("I write the line down as it is.", "照原样抄写这句话。"),
    "small letters": ("Each capital gets its small form; nothing else changes.", ""),
    "brackets": (
        "An opening bracket, the line, a closing bracket.",
        "先写左括号，再抄原句，最后写右括号。",
    ),
}


def _copy(random: Random, language: str) -> Item:
    english = language == "en"
    parts = [random.choice(choices) for choices in _PARTS[language]]
    line = " ".join(["The", *parts]) if english else "".join(parts)
    skill = random.choice(list(_DEMANDS[language]))
    answer = {"copy": line, "small letters": line.lower(), "brackets": f"[{line}]"}[skill]
    return Item(
        skill=skill,
        question=_DEMANDS[language][skill].format(line),
        form="verbatim",
        answer=answer,
        source=line,
        options=(line,),
        rationale=_WAYS[skill][0 if english else 1],
    )


COPYING = Family("copying", "Copying with a change", _copy, train=True)


_USERS = ("rosa", "felix", "desk", "sales", "pia", "kurt")
_HOSTS = ("example.com", "example.org", "example.net")
_MONTHS = ("March", "April", "May", "June", "July", "August")
_MESSAGES = {
    "en": (
        "Hi! The workshop on {date} costs {amount}, sign up with {mail} soon.",
        "Reminder: {amount} are due by {date}; questions go to {mail}.",
        "We moved the concert to {date}. Tickets stay at {amount}. Write to {mail} for refunds.",
    ),
    "zh": (
        "您好！{date}的课程收费{amount}，报名请发邮件到{mail}。",
        "提醒：请在{date}之前缴纳{amount}，有疑问请联系{mail}。",
        "音乐会改到{date}举行，票价仍是{amount}，退票请写信给{mail}。",
    ),
}
_PIECES = {
    "mail": (
        ("Copy the e-mail address out of this message.", "请从下面的消息中摘出邮箱地址。"),
        ("An e-mail address has an @ in it", "邮箱地址里有@符号"),
    ),
    "amount": (
        ("Copy the amount of money out of this message.", "请从下面的消息中摘出金额。"),
        ("An amount of money has a currency sign", "金额带有货币单位"),
    ),
    "date": (
        ("Copy the date out of this message.", "请从下面的消息中摘出日期。"),
        ("A date names a day and a month", "日期由月和日组成"),
    ),
}
"""Piece of a message -> what is asked, and how to recognize it."""


def _extract(random: Random, language: str) -> Item:
    english = language == "en"
    day = random.randint(1, 28)
    amount = random.randint(5, 250)
    pieces = {
        "mail": f"{random.choice(_USERS)}{random.randint(1, 99)}@{random.choice(_HOSTS)}",
        "amount": f"${amount}" if english else f"{amount}块钱",
        "date": f"{day} {random.choice(_MONTHS)}"
        if english
        else f"{random.randint(3, 8)}月{day}日",
    }
    skill = random.choice(list(pieces))
    message = random.choice(_MESSAGES[language]).format(**pieces)
    ask, sign = (texts[0 if english else 1] for texts in _PIECES[skill])
    return Item(
        skill=skill,
        question=f"{ask}\n---\n{message}",
        form="verbatim",
        answer=pieces[skill],
        source=message,
        options=tuple(pieces.values()),
        rationale=say(
            language,
            f"{sign}. In the message that is {pieces[skill]}.",
            f"{sign}，消息里符合的是{pieces[skill]}。",
        ),
    )


EXTRACTION = Family("extraction", "Picking a piece out of a message", _extract, train=True)
