"""Mathematics: word problems, numbers and measures; for training, remainders and sequences."""

from __future__ import annotations

from random import Random

from .items import Family, Item, one_of, pairs, say

# --- evaluation ----------------------------------------------------------------------------------

_GOODS = pairs(
    "ticket, notebook, lamp, pencil, postcard, umbrella", "车票、笔记本、台灯、铅笔、明信片、雨伞"
)
_CROWDS = pairs("passengers, visitors, guests", "名乘客、名游客、位客人")
_PLACES = pairs("bus, museum, ship, hotel", "公交车、博物馆、轮船、酒店")


def _problem(language: str, english: str, chinese: str, result: int) -> Item:
    text = say(language, english, chinese)
    demand = say(language, " Answer with the number only.", "只回答一个数字。")
    return Item(question=text + demand, form="number", answer=str(result), source=text)


def _price(random: Random, language: str) -> Item:
    thing = random.choice(_GOODS)
    count, price = random.randint(2, 6), random.choice((2, 3, 4, 5, 10))
    return _problem(
        language,
        f"One {thing[0]} costs {price} dollars. How many dollars do {count} of them cost?",
        f"一件{thing[1]}{price}元，{count}件一共多少元？",
        count * price,
    )


def _arrive(random: Random, language: str) -> Item:
    crowd, place = random.choice(_CROWDS), random.choice(_PLACES)
    first, more = random.randint(5, 30), random.randint(2, 9)
    return _problem(
        language,
        f"There are {first} {crowd[0]} in the {place[0]} and {more} more arrive. "
        f"How many {crowd[0]} are there now?",
        f"{place[1]}里有{first}{crowd[1]}，又来了{more}{crowd[1][0]}，现在有多少{crowd[1][0]}？",
        first + more,
    )


def _together(random: Random, language: str) -> Item:
    crowd = random.choice(_CROWDS)
    here, there = random.sample(_PLACES, 2)
    first, second = random.randint(3, 20), random.randint(3, 9)
    return _problem(
        language,
        f"There are {first} {crowd[0]} in the {here[0]} and {second} in the {there[0]}. "
        f"How many {crowd[0]} are there in all?",
        f"{here[1]}里有{first}{crowd[1]}，{there[1]}里有{second}{crowd[1][0]}，一共有多少{crowd[1][0]}？",
        first + second,
    )


def _half(random: Random, language: str) -> Item:
    half = random.randint(2, 50)
    return _problem(language, f"What is half of {2 * half}?", f"{2 * half}的一半是多少？", half)


def _double(random: Random, language: str) -> Item:
    crowd, place = random.choice(_CROWDS), random.choice(_PLACES)
    count = random.randint(5, 50)
    return _problem(
        language,
        f"Yesterday the {place[0]} had {count} {crowd[0]}, today twice as many. "
        f"How many {crowd[0]} are there today?",
        f"{place[1]}昨天有{count}{crowd[1]}，今天是昨天的两倍，今天有多少{crowd[1][0]}？",
        2 * count,
    )


_PROBLEMS = {
    **{"price": _price, "arrive": _arrive, "together": _together},
    **{"half": _half, "double": _double},
}
WORD_PROBLEMS = Family("word_problems", "Arithmetic in words", one_of(_PROBLEMS))

_UNITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
_TEENS = [
    *("ten", "eleven", "twelve", "thirteen", "fourteen"),
    *("fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_HAN = "零一二三四五六七八九"


def spelled(number: int, language: str) -> str:
    """A number from 1 to 999 in words."""
    hundreds, rest = divmod(number, 100)
    tens, units = divmod(rest, 10)
    if language == "zh":
        text = f"{_HAN[hundreds]}百" if hundreds else ""
        if tens:
            text += f"{_HAN[tens] if tens > 1 or hundreds else ''}十"
        elif hundreds and units:
            text += "零"
        return text + (_HAN[units] if units else "")
    parts = [f"{_UNITS[hundreds]} hundred"] if hundreds else []
    if tens >= 2:
        parts.append(_TENS[tens - 2] + (f"-{_UNITS[units]}" if units else ""))
    elif rest:
        parts.append(_TEENS[units] if tens else _UNITS[units])
    return " and ".join(parts)


_MEASURES = (
    ("week", "days", "周", "天", 7),
    ("day", "hours", "天", "小时", 24),
    ("hour", "minutes", "小时", "分钟", 60),
    ("minute", "seconds", "分钟", "秒", 60),
    ("year", "months", "年", "个月", 12),
    ("decade", "years", "个十年", "年", 10),
    ("century", "years", "个世纪", "年", 100),
    ("metre", "centimetres", "米", "厘米", 100),
    ("kilometre", "metres", "千米", "米", 1000),
    ("kilogram", "grams", "千克", "克", 1000),
    ("dozen", "pieces", "打", "件", 12),
)

_UNIT_ASKS = ("How many {} are there in {}?", "How many {} are in {}?", "How many {} make {}?")


def _quantity(question: str, answer: int) -> Item:
    return Item(question=question, form="number", answer=str(answer))


def _digits(random: Random, language: str) -> Item:
    number = random.randint(21, 99)
    ask = say(language, "Write {} as a number in digits.", "用阿拉伯数字写出“{}”。")
    return _quantity(ask.format(spelled(number, language)), number)


def _units(random: Random, language: str) -> Item:
    large, small, large_zh, small_zh, size = random.choice(_MEASURES)
    count = 1 if random.random() < 0.6 else random.randint(2, 20)
    if language == "en":
        whole = f"one {large}" if count == 1 else f"{spelled(count, language)} {_plural(large)}"
        return _quantity(random.choice(_UNIT_ASKS).format(small, whole), count * size)
    amount = {1: "一", 2: "两"}.get(count) or spelled(count, language)
    question = f"{amount}{large_zh}等于多少{small_zh}？请写阿拉伯数字。"
    return _quantity(question, count * size)


def _plural(noun: str) -> str:
    return {"century": "centuries", "dozen": "dozen"}.get(noun, f"{noun}s")


NUMERALS = Family("numerals", "Numbers and measures", one_of({"digits": _digits, "units": _units}))


# --- training ------------------------------------------------------------------------------------

_EATERS = pairs("Tom, Lucy, Max, Nina, Jack", "小明、小红、小刚、小丽、小华")
_FRUITS = pairs(
    "apples, plums, cherries, peaches, lemons", "个苹果、个李子、颗樱桃、个桃子、个柠檬"
)
_REMAINDER_ASKS = {
    "en": (
        "{0} picks {2} {1} in the morning and eats {3} by the evening. Count the {1} left over.",
        "In {0}'s basket lie {2} {1}; Grandma takes {3} out. What remains of the {1}, in digits?",
        "{0} owned {2} {1}, then lost {3} under a tree. Write down what {0} still has.",
    ),
    "zh": (
        "{0}早上摘了{2}{1}，到傍晚吃掉{3}{1}。请算出剩下的数目，写成数字。",
        "{0}的篮子里有{2}{1}，奶奶拿走{3}{1}。篮子里余下的数目是？",
        "{0}原有{2}{1}，在树下丢了{3}{1}。请写出手里的数目。",
    ),
}


def _remainder(random: Random, language: str) -> Item:
    at = 0 if language == "en" else 1
    name, fruit = random.choice(_EATERS)[at], random.choice(_FRUITS)[at]
    second, rest = random.randint(2, 39), random.randint(1, 60)
    first = second + rest
    question = random.choice(_REMAINDER_ASKS[language]).format(name, fruit, first, second)
    return Item(
        skill="subtraction",
        question=question,
        form="number",
        answer=str(rest),
        rationale=say(
            language,
            f"First there are {first}, then {second} are gone. {first} - {second} = {rest}.",
            f"先有{first}，后来少了{second}，{first}-{second}={rest}。",
        ),
    )


REMAINDERS = Family("remainders", "What is left", _remainder, train=True)


_SEQUENCE_ASKS = {
    "en": (
        "Continue the row by a single term: {}, ...",
        "A counter shows {} in turn. Say its next value.",
        "Puzzle: {} and then? Give the missing term in digits.",
    ),
    "zh": (
        "按规律续写一项：{}，……",
        "计数器依次显示{}。写出它的下一个读数。",
        "找规律：{}，接下来的那一项填几？",
    ),
}


def _sequence(random: Random, language: str) -> Item:
    step = random.choice((-10, -5, -3, -2, 2, 3, 4, 5, 6, 10))
    length = random.choice((3, 4, 5))
    start = random.randint(1, 40) + max(0, -step * (length + 1))
    row = [start + step * n for n in range(length)]
    result = row[-1] + step
    shown = (", " if language == "en" else "、").join(map(str, row))
    question = random.choice(_SEQUENCE_ASKS[language]).format(shown)
    sign, size = ("+" if step > 0 else "-"), abs(step)
    return Item(
        skill="arithmetic progression",
        question=question,
        form="number",
        answer=str(result),
        rationale=say(
            language,
            f"Each term is the one before {sign} {size}. {row[-1]} {sign} {size} = {result}.",
            f"每一项都是前一项{sign}{size}，{row[-1]}{sign}{size}={result}。",
        ),
    )


SEQUENCES = Family("sequences", "Number sequences", _sequence, train=True)
