"""Translation as documentation: sacrebleu's figures from sums, and what counts as a translation."""

from __future__ import annotations

import json
import random
import time
from dataclasses import replace

import numpy as np
import pytest

from redone.tasks.check import ENDLESS, hostile_texts
from redone.tasks.errors import BadRow
from redone.tasks.metrics import translation
from redone.tasks.schema import Completion, Sample, Services
from redone.tasks.sns_trans import EN_ZH, ZH_EN, read_translation, row, source_text

WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    ",",
    ".",
    "!",
    "我",
    "爱",
    "北京",
    "咖啡",
    "yyds",
    "123",
    "https://x.io",
    "#tag",
    "@you",
    "😂",
    "don't",
    "3.5",
]


def corpora(number: int, seed: int = 0):
    rng = random.Random(seed)
    for _ in range(number):
        pairs = rng.randint(1, 4)
        golds = [" ".join(rng.choices(WORDS, k=rng.randint(1, 9))) for _ in range(pairs)]
        texts = [
            gold if rng.random() < 0.3 else " ".join(rng.choices(WORDS, k=rng.randint(0, 9)))
            for gold in golds
        ]
        yield rng.choice(["en", "zh"]), texts, golds


def test_sums_give_the_corpus_figures_of_sacrebleu() -> None:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    for language, texts, golds in corpora(400):
        sums = np.sum(
            [translation.statistics(t, g, language) for t, g in zip(texts, golds, strict=True)],
            axis=0,
        )
        bleu = BLEU(tokenize=translation.TOKENIZERS[language]).corpus_score(texts, [golds]).score
        chrf = CHRF(word_order=2).corpus_score(texts, [golds]).score
        assert float(translation.bleu(sums)) == pytest.approx(bleu, abs=1e-9)
        assert float(translation.chrf(sums)) == pytest.approx(chrf, abs=1e-9)
        assert float(translation.bleu_chrf(sums)) == pytest.approx((bleu + chrf) / 2, abs=1e-9)


def test_figures_take_any_leading_axes() -> None:
    stats = np.array([translation.statistics(t[0], g[0], "en") for _, t, g in corpora(24)])
    sums = stats.reshape(2, 4, 3, -1).sum(axis=2)
    for figure in (translation.bleu, translation.chrf, translation.bleu_chrf):
        whole = figure(sums)
        assert whole.shape == (2, 4)
        assert whole[1, 3] == pytest.approx(float(figure(sums[1, 3])))
    assert np.isnan(translation.bleu(np.zeros(len(translation.STATISTICS))))


def test_signatures() -> None:
    signature = translation.translation_signature("zh")
    assert "tok:zh" in signature and "nw:2" in signature and "nrefs:1" in signature
    assert "tok:13a" in translation.translation_signature("en")


# --- what is read as a translation ---------------------------------------------------------------

SOURCE = "笑死，这只猫又把我的快递拆了😂"
GOLD = "lol this cat ripped open my package again 😂"

READ = [
    (GOLD, GOLD, None),
    (f"\n{GOLD}\n", GOLD, None),
    (f"Translation: {GOLD}", GOLD, None),
    (f"**Translation:** {GOLD}", GOLD, None),
    (f"The translation is: {GOLD}", GOLD, None),
    (f"译文：{GOLD}", GOLD, None),
    (f"翻译结果：{GOLD}", GOLD, None),
    (f'"{GOLD}"', GOLD, None),
    (f"“{GOLD}”", GOLD, None),
    (f"「{GOLD}」", GOLD, None),
    (f"**{GOLD}**", GOLD, None),
    (f"```\n{GOLD}\n```", GOLD, None),
    (f"```text\n{GOLD}\n```", GOLD, None),
    (f'Translation: "{GOLD}"', GOLD, None),
    (f"Sure! Here is the translation:\n{GOLD}", GOLD, None),
    (f"Here's the English version:\n\n{GOLD}", GOLD, None),
    (f"当然，翻译如下：\n{GOLD}", GOLD, None),
    (f"{GOLD}<|im_end|>", GOLD, None),
    (f"{GOLD}</s>", GOLD, None),
    (f"{GOLD}\nUser: next one", GOLD, None),
    (f"{GOLD}\n\nNote: I kept the emoji.", GOLD, None),
    (f"{GOLD}\n\n(Explanation: 快递 is a package)", GOLD, None),
    (f"English: {GOLD}", GOLD, None),
    (f"英文：{GOLD}", GOLD, None),
    (f"Here is the English translation: {GOLD}", GOLD, None),
    (f'Sure, here\'s the translation: "{GOLD}"', GOLD, None),
    (f"{SOURCE}\n{GOLD}", GOLD, None),
    (f"Chinese: {SOURCE}\nEnglish: {GOLD}", GOLD, None),
    ('He said "wow" and left', 'He said "wow" and left', None),
    ("line one\nline two", "line one\nline two", None),
    ("lol this 猫 ripped my package", "lol this 猫 ripped my package", None),
    ("Note: lol this cat", "Note: lol this cat", None),
    # no translation
    ("", None, "empty"),
    (" \n ", None, "empty"),
    (SOURCE, None, "language"),
    (f"“{SOURCE}”", None, "language"),
    ("这只猫真的太可爱了，我好喜欢", None, "language"),
    ("Эта кошка снова разорвала посылку", None, "language"),
    ("Sorry, I can't help with that.", None, "refusal"),
    ("As an AI language model, I cannot translate this.", None, "refusal"),
    ("抱歉，我无法翻译这段文字。", None, "refusal"),
    ("😂😂😂", None, "format"),
    ("...", None, "format"),
]


@pytest.mark.parametrize(("text", "answer", "failure"), READ)
def test_what_is_read(text: str, answer: str | None, failure: str | None) -> None:
    assert read_translation(Completion(text), SOURCE, GOLD, "en") == (answer, failure)
    score = judge(ZH_EN, "corrected", text)
    if answer == GOLD:
        assert (score.value, score.failure) == (1.0, None)
    elif answer is None:
        assert (score.value, score.failure) == (0.0, failure)
        assert score.stats == translation.statistics("", GOLD, "en")
    else:
        assert 0.0 < score.value < 1.0
        assert score.failure == "wrong"


@pytest.mark.parametrize(
    ("source", "gold", "text"),
    [
        ("“下单了”", '"Ordered it"', '"Ordered it"'),
        ("我不敢相信", "I can't believe it", "I can't believe it"),
        ("我受不了这只猫", "I can't stand this cat", "I can't stand that cat"),
        ("标题：换盆", "Title: repotting\nContent: soil", "Title: repotting\nContent: soil"),
        ("GTI", "GTI", "GTI"),
        ("23，", "23，", "23，"),
        ("什么是 QQ", "What is QQ", "What is QQ"),
    ],
)
def test_what_gold_wears_itself_is_not_taken_off(source: str, gold: str, text: str) -> None:
    assert read_translation(Completion(text), source, gold, "en") == (text, None)


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        ("笑死，这猫又拆了我的快递😂", None),
        ("这只 cat 又拆了我的 package", None),
        ("译文：笑死，这猫又拆了我的快递😂", None),
        ("lol this cat ripped open my package again", "language"),
        ("lol", None),
        ("저 고양이가 또 내 택배를 뜯었네 정말", "language"),
    ],
)
def test_into_chinese(text: str, failure: str | None) -> None:
    assert read_translation(Completion(text), GOLD, SOURCE, "zh").failure == failure


def test_official_takes_the_text_as_it_is() -> None:
    assert judge(ZH_EN, "official", f"\n{GOLD} ").value == 1.0
    assert judge(ZH_EN, "official", f'"{GOLD}"').value < 1.0
    assert judge(ZH_EN, "official", SOURCE).failure == "wrong"
    assert judge(ZH_EN, "official", "").failure == "empty"


def test_short_titles_score_full() -> None:
    for gold in ("GTI", "go", "!", "a b", "😂"):
        assert judge(ZH_EN, "corrected", gold, gold=gold).value == 1.0
        assert judge(ZH_EN, "official", gold, gold=gold).value == 1.0


def judge(task, scoring: str, text: str, source: str = SOURCE, gold: str = GOLD):
    item = sample(source, gold)
    return task.scorings[scoring].score(item, [Completion(text)], Services())


def sample(source: str, gold: str) -> Sample:
    return Sample(
        id="0" * 16,
        task=ZH_EN.name,
        fields={"zh": source, "source": "comment", "src_lang": "zh", "dst_lang": "en"},
        target=gold,
        language="zh",
        cluster="0" * 16,
        split="test",
        partition="gate",
        tags={},
    )


def test_hostile_outputs() -> None:
    start = time.perf_counter()
    item = sample(SOURCE, GOLD)
    for text in (*ENDLESS, *hostile_texts(10_000, random.Random(0), [SOURCE, GOLD])):
        for scoring in ZH_EN.scorings.values():
            score = scoring.score(item, [Completion(text)], Services())
            assert 0.0 <= score.value <= 1.0
            assert np.isfinite(score.stats).all()
    assert time.perf_counter() - start < 120


# --- the file ------------------------------------------------------------------------------------

PAIR = {"en": GOLD, "zh": SOURCE, "source": "comment", "src_lang": "zh", "dst_lang": "en"}


def test_rows_show_the_source_and_hide_the_gold(tmp_path) -> None:
    folder = tmp_path / "redtrans-bench"
    folder.mkdir()
    pairs = [PAIR, PAIR | {"src_lang": "en", "dst_lang": "zh"}]
    (folder / "RedTrans-Bench.json").write_text(json.dumps(pairs), "utf-8")
    (only,) = ZH_EN.read(tmp_path)
    assert "en" not in only.fields
    assert (only.target, only.source, only.language) == (GOLD, SOURCE, "zh")
    assert only.tags == {"source": "comment"}
    (other,) = EN_ZH.read(tmp_path)
    assert (other.target, other.source, other.language) == (SOURCE, GOLD, "en")
    (folder / "RedTrans-Bench.json").write_text(json.dumps([PAIR, PAIR | {"dst_lang": "fr"}]))
    with pytest.raises(BadRow, match="row 2.*'fr'"):
        list(ZH_EN.read(tmp_path))


def test_the_reader_can_be_pointed_elsewhere(tmp_path) -> None:
    (tmp_path / "pairs.jsonl").write_text(json.dumps(PAIR), "utf-8")
    task = replace(ZH_EN, read=replace(ZH_EN.read, path="pairs.jsonl"))  # type: ignore[type-var]
    assert len(list(task.read(tmp_path))) == 1


def test_an_empty_side_is_a_bad_row() -> None:
    with pytest.raises(ValueError, match="'zh'"):
        row(PAIR | {"zh": " "})


@pytest.mark.shared_data
def test_gold_sheet_and_sizes(data_dir) -> None:
    from redone.tasks.sources import samples

    for task, size in ((ZH_EN, 1428), (EN_ZH, 1430)):
        items = list(samples(task, data_dir))
        assert len(items) == size
        for scoring in task.scorings.values():
            scores = [scoring.score(s, [Completion(task.gold(s))], Services()) for s in items]
            sums = np.sum([s.stats for s in scores], axis=0)
            assert [m.point(sums) for m in scoring.metrics] == pytest.approx([100.0] * 3)
            assert {s.value for s in scores} == {1.0}
        copies = [
            task.scorings["corrected"].score(s, [Completion(source_text(s))], Services())
            for s in items
        ]
        assert sum(s.failure == "language" for s in copies) > 0.99 * size
