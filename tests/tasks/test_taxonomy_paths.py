"""Extraction of a path of three levels. Each case: text, parsed path, failure kind."""

import pytest

from redone.tasks.schema import Completion, Sample, Services
from redone.tasks.sns_bench.taxonomy import MULTIPLE

FIELDS = {
    "content": "",
    "candidates_primary": "['Home', 'Food', 'Film (Video)', 'Sports']",
    "candidates_secondary": "['Baking', 'Running', 'Home Baking', 'Gardening']",
    "candidates_tertiary": "['Crab, Shrimp, Fish', 'Bread', 'Sweet Bread', 'Baker’s Tools']",
}
BREAD = ("Food", "Baking", "Bread")
PATHS = [
    ("Food | Baking | Bread", BREAD, None),
    ("Food|Baking|Bread", BREAD, None),
    ("food | BAKING | bread.", BREAD, None),
    ("Food ｜ Baking ｜ Bread", BREAD, None),
    ("Ｆｏｏｄ | Baking | Bread", BREAD, None),
    ("**Food | Baking | Bread**", BREAD, None),
    ("**Food** | **Baking** | **Bread**", BREAD, None),
    ('"Food | Baking | Bread"', BREAD, None),
    ("'Food' | 'Baking' | 'Bread'", BREAD, None),
    ("```\nFood | Baking | Bread\n```", BREAD, None),
    ("- Food | Baking | Bread", BREAD, None),
    ("| Food | Baking | Bread |", BREAD, None),
    ("Food > Baking > Bread", BREAD, None),
    ("Food → Baking → Bread", BREAD, None),
    ("Food / Baking / Bread", BREAD, None),
    ("Food, Baking, Bread", BREAD, None),
    ("Food，Baking，Bread", BREAD, None),
    ("['Food', 'Baking', 'Bread']", BREAD, None),
    ("Food\nBaking\nBread", BREAD, None),
    ("1. Food\n2. Baking\n3. Bread", BREAD, None),
    ("Primary: Food\nSecondary: Baking\nTertiary: Bread", BREAD, None),
    (
        "**Primary category:** Food\n**Secondary category:** Baking\n**Tertiary category:** Bread",
        BREAD,
        None,
    ),
    ("一级：Food\n二级：Baking\n三级：Bread", BREAD, None),
    ("Answer: Food | Baking | Bread", BREAD, None),
    ("Path: Food | Baking | Bread", BREAD, None),
    ("The best path is Food | Baking | Bread.", BREAD, None),
    ("Sure! Here is the list: Food | Baking | Bread Hope it helps", BREAD, None),
    ("答案：Food | Baking | Bread", BREAD, None),
    ("Food | Baking | Bread because a loaf is shown", BREAD, None),
    ("Food | Baking | Bread (not Sweet Bread)", BREAD, None),
    ("Food | Baking | Bread\n\nExplanation: the post is no Sports | Running | Bread.", BREAD, None),
    ("Food | Baking | Bread\nBecause it says so", BREAD, None),
    ("Food | Baking | Bread\n\nInput: another post\nAnswer: Sports | Running | Bread", BREAD, None),
    ("Not Home | Gardening | Bread but Food | Baking | Bread", BREAD, None),
    ("Food | Baking | Bread, not Home | Gardening | Bread", BREAD, None),
    ("Home | Gardening | Bread\nFinal answer: Food | Baking | Bread", BREAD, None),
    ("I would classify this as Food | Baking | Bread, since it shows a loaf.", BREAD, None),
    ("The post belongs to Food | Baking | Bread because of the loaf.", BREAD, None),
    ("Primary: Food | Secondary: Baking | Tertiary: Bread", BREAD, None),
    ("primary: Food, secondary: Baking, tertiary: Bread", BREAD, None),
    ('{"primary": "Food", "secondary": "Baking", "tertiary": "Bread"}', BREAD, None),
    (
        "The primary category is Food, the secondary category is Baking, and the tertiary category "
        "is Bread.",
        BREAD,
        None,
    ),
    ("一级类目：Food；二级类目：Baking；三级类目：Bread", BREAD, None),
    ("| Primary | Secondary | Tertiary |\n|---|---|---|\n| Food | Baking | Bread |", BREAD, None),
    # labels inside longer labels, with commas, brackets, apostrophes
    ("Food | Home Baking | Sweet Bread", ("Food", "Home Baking", "Sweet Bread"), None),
    ("Food | Baking | Crab, Shrimp, Fish", ("Food", "Baking", "Crab, Shrimp, Fish"), None),
    ("Film (Video) | Baking | Baker's Tools", ("Film (Video)", "Baking", "Baker’s Tools"), None),
    ("Fast Food | Baking | Bread", None, "format"),
    ("Food | Baking | Bread Rolls", None, "format"),
    ("Food | Bread | Baking", None, "format"),
    # several or none
    ("Food | Baking | Bread\nHome | Gardening | Bread", None, "format"),
    ("Food | Baking | Bread or Home | Gardening | Bread", None, "format"),
    (" | ".join(v for k, v in FIELDS.items() if v), None, "format"),
    ("Food | Baking", None, "format"),
    ("Food", None, "format"),
    ("[]", None, "format"),
    ("", None, "empty"),
    ("I'm sorry, I can't sort Food posts.", None, "refusal"),
    ("抱歉，我无法回答", None, "refusal"),
    ("这篇笔记与所有类目都无关", None, "language"),
    ("|" * 9_000, None, "format"),
]


@pytest.mark.parametrize(("text", "path", "failure"), PATHS)
def test_path(text, path, failure):
    gold = " | ".join(path or BREAD)
    sample = Sample("0", MULTIPLE.name, FIELDS, gold, "en", "0", "test", "gate", {})
    scored = MULTIPLE.scorings["corrected"].score(sample, [Completion(text)], Services())
    assert scored.parsed == path
    assert (scored.value, scored.failure) == ((1.0, None) if path else (0.0, failure))


def test_one_wrong_level_is_wrong():
    sample = Sample("0", MULTIPLE.name, FIELDS, " | ".join(BREAD), "en", "0", "test", "gate", {})
    scored = MULTIPLE.scorings["corrected"].score(
        sample, [Completion("Food | Baking | Sweet Bread")], Services()
    )
    assert (scored.value, scored.failure) == (0.0, "wrong")


def test_chinese_path():
    fields = {
        "candidates_primary": "['美食', '家居']",
        "candidates_secondary": "['烘焙', '园艺']",
        "candidates_tertiary": "['面包', '育苗']",
    }
    sample = Sample("0", MULTIPLE.name, fields, "美食 | 烘焙 | 面包", "zh", "0", "test", "gate", {})
    for text in (
        "美食 | 烘焙 | 面包",
        "美食｜烘焙｜面包。",
        "类目：美食 | 烘焙 | 面包",
        "美食、烘焙、面包",
        "一级：美食\n二级：烘焙\n三级：面包",
        "不是家居 | 园艺 | 育苗，而是美食 | 烘焙 | 面包",
    ):
        scored = MULTIPLE.scorings["corrected"].score(sample, [Completion(text)], Services())
        assert scored.value == 1, text
