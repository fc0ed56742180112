"""BLEU, ROUGE and the longest common run against the libraries and against brute force."""

from __future__ import annotations

import random
import time
import warnings

import pytest
from nltk.translate.bleu_score import sentence_bleu
from rouge import Rouge

from redone.tasks.metrics import text_overlap

WORDS = ["a", "b", "c", "d", "e", ".", ".", "我", "们"]


def texts(number: int, seed: int = 0):
    rng = random.Random(seed)
    for i in range(number):
        size = 40 if i % 3 == 0 else 8
        left = [rng.choice(WORDS) for _ in range(rng.randint(0, size))]
        right = [rng.choice(WORDS) for _ in range(rng.randint(0, size))]
        yield left, left[: len(left) // 2] + right if i % 5 == 0 else right


def test_rouge_of_sets_is_the_package_rouge() -> None:
    package = Rouge()
    for left, right in texts(600):
        found, wanted = " ".join(left), " ".join(right)
        try:
            scores = package.get_scores(found, wanted)[0]
            expected = tuple(scores[name]["f"] for name in ("rouge-1", "rouge-2", "rouge-l"))
        except (ValueError, ZeroDivisionError):  # it has no score for a text without a sentence
            expected = (0.0, 0.0, 0.0)
        assert text_overlap.rouge_of_sets(found, wanted) == pytest.approx(expected, abs=1e-9)


def test_bleu_is_that_of_nltk() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for left, right in texts(600):
            if left and right:
                assert text_overlap.bleu(left, right) == pytest.approx(sentence_bleu([right], left))


def test_common_run_by_brute_force() -> None:
    def runs(items: list[str]) -> set[tuple[str, ...]]:
        return {tuple(items[i:j]) for i in range(len(items)) for j in range(i + 1, len(items) + 1)}

    for left, right in texts(200):
        longest = max((len(run) for run in runs(left) & runs(right)), default=0)
        assert text_overlap.common_run(left, right) == longest


def test_rouge_counts_repetitions() -> None:
    once, thrice = ["go"], ["go", "go", "go"]
    assert text_overlap.rouge(thrice, once)[0] == pytest.approx(0.5)
    assert text_overlap.rouge_of_sets("go go go", "go")[0] == pytest.approx(1.0)
    assert text_overlap.rouge(list("abcd"), list("abcd")) == (1.0, 1.0, 1.0)
    assert text_overlap.rouge(list("acbd"), list("abcd"))[2] == pytest.approx(0.75)
    assert text_overlap.rouge([], ["a"]) == text_overlap.rouge(["a"], []) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("words", [["a"], ["a", "b"], list("abc"), list("abcd"), list("abcde")])
def test_a_text_equals_itself(words: list[str]) -> None:
    assert text_overlap.bleu_of_length(words, words) == pytest.approx(1.0)
    assert text_overlap.rouge(words, words) == (1.0, 1.0, 1.0)
    assert text_overlap.run_f1(words, words) == 1.0


def test_segments_and_tokens() -> None:
    assert text_overlap.segments("a b=c我们x") == ["a b", "=", "c", "我", "们", "x"]
    assert text_overlap.tokens("a b=c我们x!") == ["a", "b", "c", "我", "们", "x"]
    assert text_overlap.tokens("☕") == ["☕"]
    assert text_overlap.tokens("") == []


def test_long_texts_are_bounded() -> None:
    start = time.perf_counter()
    long = text_overlap.words("我们 a. " * 200_000)
    assert len(long) <= text_overlap.LONGEST
    text_overlap.rouge_of_sets(" ".join(long), " ".join(long[::2]))
    text_overlap.rouge(long, long[::3])
    text_overlap.common_run(long, long[5:] + ["x"])
    assert time.perf_counter() - start < 5
