"""Train family: the next number of a row that grows or shrinks by the same step."""

from __future__ import annotations

from random import Random

from ..family import Family, Item

_ASKS = {
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


def _make(random: Random, language: str) -> Item:
    step = random.choice((-10, -5, -3, -2, 2, 3, 4, 5, 6, 10))
    length = random.choice((3, 4, 5))
    start = random.randint(1, 40) + max(0, -step * (length + 1))
    row = [start + step * n for n in range(length)]
    result = row[-1] + step
    shown = (", " if language == "en" else "、").join(map(str, row))
    question = random.choice(_ASKS[language]).format(shown)
    sign, size = ("+" if step > 0 else "-"), abs(step)
    return Item(
        language=language,
        skill="arithmetic progression",
        question=question,
        form="number",
        answer=str(result),
        source=question,
        rationale=(
            f"Each term is the one before {sign} {size}. {row[-1]} {sign} {size} = {result}."
            if language == "en"
            else f"每一项都是前一项{sign}{size}，{row[-1]}{sign}{size}={result}。"
        ),
    )


SEQUENCES = Family("sequences", "Number sequences", _make, train=True)
