"""Similarity of two texts: BLEU-4, ROUGE-1, -2, -L, longest common run, edit distance, embeddings.

Everything on token lists returns 0..1 and is bounded: `words` reads at most `LONGEST` characters,
several times the longest note of the benchmarks in use, so that a runaway answer of a megabyte
costs milliseconds.
"""

from __future__ import annotations

import logging
import math
import re
import sys
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from ..schema import Embedder

LONGEST = 10_000
"""Characters of a text that are compared; what follows is not read."""

_CJK = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_SEGMENT = re.compile("[\u4e00-\u9fff]|=|[^\u4e00-\u9fff=]+")
_TOKEN = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+")


@cache
def _jieba() -> Any:
    import jieba

    jieba.setLogLevel(logging.ERROR)
    return jieba


def words(text: str) -> list[str]:
    """Words by jieba: Chinese segmented; a space or a punctuation mark is a token of its own."""
    return _jieba().lcut(text[:LONGEST])


def segments(text: str) -> list[str]:
    """Every CJK character and every `=` alone, all between them (spaces too) in one piece."""
    return _SEGMENT.findall(text[:LONGEST])


def tokens(text: str) -> list[str]:
    """Each CJK character alone, other letters and digits by word; the text if there is none."""
    text = text[:LONGEST]
    return _TOKEN.findall(text) or ([text] if text else [])


def ngrams(items: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    """The n-grams of one order with their counts."""
    return Counter(zip(*(items[i:] for i in range(order)), strict=False))


def _clipped(hypothesis: Sequence[str], reference: Sequence[str], order: int) -> list[int]:
    """Number of n-grams in both (clipped counts), in the hypothesis, in the reference."""
    found, wanted = ngrams(hypothesis, order), ngrams(reference, order)
    return [(found & wanted).total(), found.total(), wanted.total()]


def f1(precision: float, recall: float) -> float:
    """Harmonic mean of two shares, 0 where both are 0."""
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def bleu(hypothesis: Sequence[str], reference: Sequence[str], orders: int = 4) -> float:
    """Sentence BLEU without smoothing (Papineni et al. 2002), as NLTK computes it.

    An order without a match counts with the smallest positive float, as in NLTK, which makes the
    score vanish; no common word at all is exactly 0.
    """
    if not hypothesis or not reference:
        return 0.0
    total = 0.0
    for order in range(1, orders + 1):
        matched, found, _ = _clipped(hypothesis, reference, order)
        if order == 1 and not matched:
            return 0.0
        precision = matched / max(1, found)
        total += math.log(precision or sys.float_info.min) / orders
    short = min(0.0, 1 - len(reference) / len(hypothesis))
    return math.exp(short + total)


def bleu_of_length(hypothesis: Sequence[str], reference: Sequence[str]) -> float:
    """Sentence BLEU with up to 4-grams, but none longer than the reference, so that gold has 1."""
    return bleu(hypothesis, reference, orders=max(1, min(4, len(reference))))


def rouge(hypothesis: Sequence[str], reference: Sequence[str]) -> tuple[float, float, float]:
    """F1 of ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004): clipped n-gram counts, one subsequence.

    A reference of one token has no bigrams: there ROUGE-2 is ROUGE-1.
    """
    from rapidfuzz.distance import LCSseq

    if not hypothesis or not reference:
        return (0.0, 0.0, 0.0)

    def shared(order: int) -> float:
        matched, found, wanted = _clipped(hypothesis, reference, order)
        return 2 * matched / (found + wanted)

    longest = 2 * LCSseq.similarity(hypothesis, reference) / (len(hypothesis) + len(reference))
    return shared(1), shared(min(2, len(reference))), longest


def rouge_of_sets(hypothesis: str, reference: str) -> tuple[float, float, float]:
    """ROUGE-1, -2, -L as the PyPI package `rouge` defines them, for texts of spaced tokens.

    Its habits: sentences end at every full stop; n-grams are sets, without counts; ROUGE-L counts
    the distinct words of the union of the common subsequences of all pairs of sentences; a sentence
    of white space is the empty word; 1e-8 in the denominator. A text without a sentence, where the
    package raises, has 0 here.
    """
    found, wanted = _sentences(hypothesis), _sentences(reference)
    if not found or not wanted:
        return (0.0, 0.0, 0.0)
    flat_found = [word for sentence in found for word in sentence]
    flat_wanted = [word for sentence in wanted for word in sentence]

    def score(shared: int, hyp: int, ref: int) -> float:
        precision, recall = shared / hyp if hyp else 0.0, shared / ref if ref else 0.0
        return 2 * precision * recall / (precision + recall + 1e-8)

    def by_order(order: int) -> float:
        left, right = set(ngrams(flat_found, order)), set(ngrams(flat_wanted, order))
        return score(len(left & right), len(left), len(right))

    union: set[str] = set()
    for ref_sentence in dict.fromkeys(wanted):
        for hyp_sentence in dict.fromkeys(found):
            union |= _common_subsequence(ref_sentence, hyp_sentence)
    longest = score(len(union), len(set(flat_found)), len(set(flat_wanted)))
    return by_order(1), by_order(2), longest


def _sentences(text: str) -> list[tuple[str, ...]]:
    pieces = (piece.split() for piece in text.split(".") if piece)
    return [tuple(piece) or ("",) for piece in pieces]


def _common_subsequence(x: Sequence[str], y: Sequence[str]) -> set[str]:
    """The words of one longest common subsequence; ties go to the earlier position in `y`.

    The table is filled by rows: within a row the best of the cells to the left is a running
    maximum, so that a row is a few vector operations.
    """
    if set(x).isdisjoint(y):
        return set()
    if x == y:
        return set(x)
    number = {word: i for i, word in enumerate(dict.fromkeys((*x, *y)))}
    left, right = [number[w] for w in x], np.array([number[w] for w in y])
    table = np.zeros((len(x) + 1, len(y) + 1), dtype=np.int16)
    for i, word in enumerate(left):
        above = table[i]
        best = np.maximum(above[1:], np.where(right == word, above[:-1] + 1, 0))
        table[i + 1, 1:] = np.maximum.accumulate(best)
    chosen: set[str] = set()
    i, j = len(x), len(y)
    while i and j:
        if x[i - 1] == y[j - 1]:
            chosen.add(x[i - 1])
            i, j = i - 1, j - 1
        elif table[i - 1, j] > table[i, j - 1]:
            i -= 1
        else:
            j -= 1
    return chosen


def run_f1(hypothesis: Sequence[str], reference: Sequence[str]) -> float:
    """F1 of the longest common contiguous run of tokens over each side's length."""
    if not hypothesis or not reference:
        return 0.0
    return 2 * common_run(hypothesis, reference) / (len(hypothesis) + len(reference))


def common_run(x: Sequence[str], y: Sequence[str]) -> int:
    """Length of the longest contiguous run of tokens that both hold.

    If a run of some length is common, so is every shorter one: the length is found by bisection,
    each test with the set of all runs of that length.
    """
    if x == y:
        return len(x)
    if set(x).isdisjoint(y):
        return 0
    number = {token: chr(0xE000 + i) for i, token in enumerate(dict.fromkeys((*x, *y)))}
    left, right = "".join(number[t] for t in x), "".join(number[t] for t in y)
    low, high = 1, min(len(x), len(y))
    while low < high:
        size = (low + high + 1) // 2
        runs = {left[i : i + size] for i in range(len(left) - size + 1)}
        if any(right[i : i + size] in runs for i in range(len(right) - size + 1)):
            low = size
        else:
            high = size - 1
    return low


# --- short texts: by characters, and by meaning --------------------------------------------------


def anls(hypothesis: str, reference: str) -> float:
    """Normalised Levenshtein similarity, 0..1 (Biten et al. 2019, without its threshold).

    One minus the edit distance over the longer length; two empty texts are alike (1).
    """
    from rapidfuzz.distance import Levenshtein

    return Levenshtein.normalized_similarity(hypothesis, reference)


def cosine(embedder: Embedder, hypothesis: str, reference: str) -> float:
    """Cosine of the embeddings of two texts, -1..1."""
    vectors = np.asarray(embedder.encode([hypothesis, reference]), dtype=np.float64)
    return float(np.clip(vectors[0] @ vectors[1], -1.0, 1.0))
