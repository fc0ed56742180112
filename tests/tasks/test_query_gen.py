"""QueryGen as documentation: which query is read, and what it scores with and without meaning."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from random import Random

import numpy as np
import pytest

from redone.tasks.check import ENDLESS, hostile_texts
from redone.tasks.schema import Completion, Sample, Services
from redone.tasks.sns_bench import query_gen
from redone.tasks.sns_bench.query_gen import TASK, read_query

GOLD = "why do monstera leaves turn yellow"


class Letters:
    """Embeds a text as its letter counts: alike texts are near each other, "" is orthogonal."""

    identity = "letters@1"

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        vectors = np.array(
            [[1e-9, *(t.count(c) for c in "abcdefghijklmnopqrstuvwxyz")] for t in texts]
        )
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def sample(target: str = GOLD) -> Sample:
    return Sample(
        id="0" * 16,
        task=TASK.name,
        fields={"content": "Note Title: Repotted my monstera, \nMain content: new soil"},
        target=target,
        language="en",
        cluster="0" * 16,
        split="test",
        partition="gate",
        tags={},
    )


def judge(name: str, text: str, embedder: Letters | None = None, target: str = GOLD):
    services = Services(embedder=embedder)
    scoring = TASK.scorings[name].given(services)
    return scoring, scoring.score(sample(target), [Completion(text)], services)


READ = [
    (GOLD, GOLD, None),
    (f"  {GOLD}\n", GOLD, None),
    (f'"{GOLD}"', GOLD, None),
    (f"“{GOLD}”", GOLD, None),
    (f"**{GOLD}**", GOLD, None),
    (f"`{GOLD}`", GOLD, None),
    (f"```\n{GOLD}\n```", GOLD, None),
    (f"Query: {GOLD}", GOLD, None),
    (f"Search term: {GOLD}", GOLD, None),
    (f'Search query: "{GOLD}"', GOLD, None),
    (f"Answer: {GOLD}", GOLD, None),
    (f"**Answer:** {GOLD}", GOLD, None),
    (f"搜索词：{GOLD}", GOLD, None),
    (f"Sure! Here is a query:\n{GOLD}", GOLD, None),
    (f"Sure! Here is a query:\n\n1. {GOLD}\n2. monstera soil", GOLD, None),
    (f"1. {GOLD}\n2. monstera soil mix", GOLD, None),
    (f"- {GOLD}\n- monstera soil mix", GOLD, None),
    (f"{GOLD}\nmonstera soil mix", GOLD, None),
    (f"{GOLD}\nBecause the post leaves it open.", GOLD, None),
    (f'["{GOLD}"]', GOLD, None),
    (f'{{"query": "{GOLD}"}}', GOLD, None),
    (f"Here's a search query: {GOLD}", GOLD, None),
    (f"A reader will search for: {GOLD}", GOLD, None),
    (f'The reader might search for:\n"{GOLD}"', GOLD, None),
    (f'Based on the post, a reader is likely to search for "{GOLD}".', GOLD, None),
    (f"{GOLD}<|im_end|>", GOLD, None),
    (f"{GOLD}\n\nPost:\nTitle: another one", GOLD, None),
    (f"\n\n{GOLD}", GOLD, None),
    (GOLD.upper(), GOLD.upper(), None),
    (f"{GOLD}?", f"{GOLD}?", None),
    ("龟背竹叶子发黄怎么办", "龟背竹叶子发黄怎么办", None),
    ("1984 book summary", "1984 book summary", None),
    ("yes", "yes", None),
    ("", None, "empty"),
    ("\n \n", None, "empty"),
    ("[]", None, "format"),
    ("???", None, "format"),
    # queries that begin like refusals, and refusals
    ("I can't sleep at night what to do", "I can't sleep at night what to do", None),
    ("I can't open my phone", "I can't open my phone", None),
    ("I won't grow up lyrics", "I won't grow up lyrics", None),
    ("I can't help falling in love lyrics", "I can't help falling in love lyrics", None),
    ("对不起我爱你 歌词", "对不起我爱你 歌词", None),
    ("无法完成支付怎么办", "无法完成支付怎么办", None),
    ("I can't help with that.", None, "refusal"),
    ("I cannot", None, "refusal"),
    ("I can't provide a search query for this post.", None, "refusal"),
    ("As an AI language model, I do not search.", None, "refusal"),
    ("我无法判断", None, "refusal"),
    ("抱歉，無法生成搜索詞", None, "refusal"),
    # what wraps a query
    (f"<answer>{GOLD}</answer>", GOLD, None),
    (f"<query>\n{GOLD}\n</query>", GOLD, None),
    (f"① {GOLD}", GOLD, None),
    (f"（1）{GOLD}\n（2）another", GOLD, None),
    (f"<|im_start|>assistant\n{GOLD}<|im_end|>", GOLD, None),
    ("I'm sorry, but I cannot help with that.", None, "refusal"),
    ("抱歉，我无法回答这个问题。", None, "refusal"),
]


@pytest.mark.parametrize(("text", "query", "failure"), READ)
def test_what_is_read(text: str, query: str | None, failure: str | None) -> None:
    assert read_query(Completion(text)) == (query, failure)
    _, score = judge("corrected", text)
    if query is None:
        assert (score.value, score.failure) == (0.0, failure)
    elif query.rstrip("?").lower() == GOLD:
        assert (score.value, score.failure) == (1.0, None)
    else:
        assert 0.0 <= score.value < 0.6
        assert score.failure == "wrong"


def test_scorings_never_mix() -> None:
    for name in ("official", "corrected"):
        alone, score = judge(name, GOLD)
        assert alone.name == f"{name}-anls"
        assert [m.name for m in alone.metrics] == ["anls"]
        assert len(score.stats) == len(alone.statistics) == 2
        both, score = judge(name, GOLD, Letters())
        assert both.name == name
        assert both.needs == ("embedder",)
        assert [m.name for m in both.metrics] == ["anls_similarity", "anls", "similarity"]
        assert score.stats == pytest.approx((1.0, 1.0, 1.0))
        assert score.value == 1.0


def test_official_compares_raw_text_and_cuts_for_the_embedding_only() -> None:
    _, score = judge("official", f"{GOLD}\nzzzzzz", Letters())
    assert score.stats[0] == pytest.approx(len(GOLD) / (len(GOLD) + 7))
    assert score.stats[1] == pytest.approx(1.0)
    _, upper = judge("official", GOLD.upper())
    assert upper.value < 0.3
    for cut in ("<", ">", "endofresponse"):
        assert judge("official", f"{GOLD}{cut}zz", Letters())[1].stats[1] == pytest.approx(1.0)


def test_an_empty_answer_is_worth_nothing() -> None:
    _, score = judge("corrected", "", Letters())
    assert (score.value, score.stats, score.failure) == (0.0, (0.0, 0.0, 1.0), "empty")


def test_rows() -> None:
    row = query_gen.row(
        {"content": "The type of this note is: Video, \nNote Title: x,", "answer": "q"}
    )
    assert row.tags == {"note": "video"}
    with pytest.raises(ValueError, match="answer"):
        query_gen.row({"content": "c", "answer": " "})


def test_hostile_outputs() -> None:
    start = time.perf_counter()
    item, services = sample(), Services(embedder=Letters())
    for text in (*ENDLESS, *hostile_texts(10_000, Random(0), [GOLD, "Query:"])):
        for scoring in TASK.scorings.values():
            score = scoring.score(item, [Completion(text)], services)
            assert 0.0 <= score.value <= 1.0
            assert np.isfinite(score.stats).all()
    assert time.perf_counter() - start < 60


@pytest.mark.shared_data
def test_parity_with_the_authors(data_dir) -> None:
    from redone.tasks.sources import samples

    items = list(samples(TASK, data_dir))
    parity = json.loads((data_dir.parent / "parity" / "sns_bench.json").read_text("utf-8"))
    part = parity["Note-QueryGen"]
    scoring = TASK.scorings["official"].given(Services())
    pairs = zip(part["index"], part["prediction"], strict=True)
    scores = [scoring.score(items[i], [Completion(t)], Services()) for i, t in pairs]
    point = scoring.metrics[0].point(np.sum([s.stats for s in scores], axis=0))
    assert point == pytest.approx(part["reference"]["anls"], abs=0.01)


@pytest.mark.shared_data
def test_gold_sheet(data_dir) -> None:
    from redone.tasks.sources import samples

    items = list(samples(TASK, data_dir))
    for services in (Services(), Services(embedder=Letters())):
        for scoring in (s.given(services) for s in TASK.scorings.values()):
            scores = [scoring.score(s, [Completion(TASK.gold(s))], services) for s in items]
            sums = np.sum([s.stats for s in scores], axis=0)
            assert scoring.metrics[0].point(sums) == pytest.approx(100.0)
            assert {s.value for s in scores} == {1.0}
