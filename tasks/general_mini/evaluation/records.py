"""Records from one format into another, and the value of a field out of a small table."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from ..family import Family, Item

_NAMES = (("Lena", "李娜"), ("Omar", "王强"), ("Sofia", "赵敏"), ("Hugo", "陈杰"), ("Mira", "周婷"))
_TOWNS = (("Oslo", "苏州"), ("Lyon", "青岛"), ("Porto", "厦门"), ("Graz", "昆明"), ("Cork", "大连"))
_TRADES = (
    ("baker", "面包师"),
    ("nurse", "护士"),
    ("tailor", "裁缝"),
    ("painter", "画家"),
    ("miner", "矿工"),
)
_KEYS = {
    "en": {"name": "name", "age": "age", "city": "city", "job": "job"},
    "zh": {"name": "姓名", "age": "年龄", "city": "城市", "job": "职业"},
}

Made = tuple[str, str, Any, list[str]]
"""Question, form, answer, the values that occur."""


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


def _csv_to_json(random: Random, language: str) -> Made:
    person = _person(random, language)
    table = f"{','.join(person)}\n{','.join(person.values())}"
    ask = (
        "Convert this CSV to one JSON object:\n{}"
        if language == "en"
        else "把这段CSV转换成一个JSON对象：\n{}"
    )
    return ask.format(table), "record", person, list(person.values())


def _lines_to_json(random: Random, language: str) -> Made:
    person = _person(random, language)
    table = "\n".join(f"{name} = {value}" for name, value in person.items())
    ask = (
        "Write this as one JSON object:\n{}"
        if language == "en"
        else "把下面的内容写成一个JSON对象：\n{}"
    )
    return ask.format(table), "record", person, list(person.values())


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


def _cell(random: Random, language: str) -> Made:
    table, rows = _table(random, language)
    keys, row = _KEYS[language], random.choice(rows)
    field = keys[random.choice(("age", "city"))]
    name = row[keys["name"]]
    ask = (
        f"{table}\nIn this table, what is the {field} of {name}?"
        if language == "en"
        else f"{table}\n在这张表里，{name}的{field}是什么？"
    )
    return ask, "choice", row[field], [r[field] for r in rows]


def _value(random: Random, language: str) -> Made:
    person = _person(random, language)
    field = random.choice(list(person))
    shown = json.dumps(person, ensure_ascii=False)
    ask = (
        f'{shown}\nWhat is the value of "{field}" in this JSON object?'
        if language == "en"
        else f"{shown}\n在这个JSON对象里，“{field}”的值是什么？"
    )
    return ask, "choice", person[field], list(person.values())


SKILLS: Mapping[str, Callable[[Random, str], Made]] = {
    "csv to json": _csv_to_json,
    "lines to json": _lines_to_json,
    "cell": _cell,
    "json to value": _value,
}


def _make(random: Random, language: str) -> Item:
    skill = random.choice(list(SKILLS))
    question, form, answer, options = SKILLS[skill](random, language)
    return Item(
        language=language,
        skill=skill,
        question=question,
        form=form,
        answer=answer,
        source=question,
        options=tuple(options),
    )


RECORDS = Family("records", "Records and small tables", _make)
