"""Corpus BLEU and chrF++ as functions of summed sentence statistics, equal to sacrebleu's.

The counts of a sentence come out of sacrebleu's own classes (Post 2018, "A Call for Clarity in
Reporting BLEU Scores"); the scores are computed here from sums, vectorised over any leading axes,
so that resamples and slices need no second look at the texts.

Statistics of a sentence, `STATISTICS`: hypothesis and reference length in tokens; matched and total
n-grams of orders 1-4 (BLEU); hypothesis, reference and matched n-grams of the six character orders
and the two word orders (chrF++, Popović 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

TOKENIZERS = {"en": "13a", "zh": "zh"}
"""sacrebleu's tokeniser of each target language."""

LONGEST = 20_000
"""Characters of a hypothesis that are counted: several times the longest reference in use."""

_ORDERS = 4
_CHAR_ORDERS, _WORD_ORDERS, _BETA = 6, 2, 2
_KINDS = [f"char{n}" for n in range(1, _CHAR_ORDERS + 1)] + [
    f"word{n}" for n in range(1, _WORD_ORDERS + 1)
]
STATISTICS: tuple[str, ...] = (
    "hypothesis_tokens",
    "reference_tokens",
    *(f"matched{n}" for n in range(1, _ORDERS + 1)),
    *(f"total{n}" for n in range(1, _ORDERS + 1)),
    *(f"{kind}_{side}" for kind in _KINDS for side in ("hypothesis", "reference", "matched")),
)
_BLEU_WIDTH = 2 + 2 * _ORDERS


@cache
def _scorers(language: str) -> tuple[Any, Any]:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    return BLEU(tokenize=TOKENIZERS[language]), CHRF(word_order=_WORD_ORDERS)


def statistics(hypothesis: str, reference: str | Sequence[str], language: str) -> tuple[float, ...]:
    """The counts of one sentence pair, in the order of `STATISTICS`.

    Args:
        hypothesis: The translation; read up to `LONGEST` characters.
        reference: The gold translation, or several that are equally right.
        language: Target language, a key of `TOKENIZERS`.
    """
    bleu_scorer, chrf_scorer = _scorers(language)
    hypothesis = hypothesis[:LONGEST]
    gold = [[reference]] if isinstance(reference, str) else [[r] for r in reference]
    # sacrebleu has no public call that yields chrF's counts; the tests hold this to corpus_score.
    counts = bleu_scorer._extract_corpus_statistics([hypothesis], gold)[0]
    counts = [*counts, *chrf_scorer._extract_corpus_statistics([hypothesis], gold)[0]]
    return tuple(float(c) for c in counts)


def translation_signature(language: str) -> str:
    """The signatures of both metrics by sacrebleu, as papers print them."""
    scorers = _scorers(language)
    for scorer in scorers:
        scorer.num_refs = 1
    bleu_scorer, chrf_scorer = scorers
    return f"BLEU|{bleu_scorer.get_signature()} chrF2++|{chrf_scorer.get_signature()}"


def bleu(sums: np.ndarray) -> np.ndarray:
    """Corpus BLEU, 0..100, exponential smoothing of orders without a match, as sacrebleu's default.

    Args:
        sums: Summed statistics, shape [..., len(STATISTICS)].

    Returns:
        Shape [...]; NaN where nothing was summed.
    """
    sums = np.asarray(sums, dtype=np.float64)
    lengths, matched, total = sums[..., :2], sums[..., 2 : 2 + _ORDERS], sums[..., 6:_BLEU_WIDTH]
    # The k-th order without a match counts as 1 / 2^k matches.
    missed = np.cumsum((matched == 0) & (total > 0), axis=-1)
    smoothed = np.where(matched > 0, matched, np.exp2(-missed.astype(np.float64)))
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(total > 0, smoothed / total, 0.0)
        short = np.minimum(0.0, 1 - lengths[..., 1] / lengths[..., 0])
        score = 100 * np.exp(short + np.log(precision).mean(axis=-1))
    score = np.where((matched > 0).any(axis=-1), score, 0.0)
    return np.where(lengths.sum(axis=-1) > 0, score, np.nan)


def chrf(sums: np.ndarray) -> np.ndarray:
    """Corpus chrF++ (beta 2, word order 2), 0..100, shape [...] of sums [..., len(STATISTICS)].

    Orders that one side lacks are left out of the average. NaN where nothing was summed.
    """
    sums = np.asarray(sums, dtype=np.float64)
    counts = sums[..., _BLEU_WIDTH:].reshape(*sums.shape[:-1], len(_KINDS), 3)
    hypothesis, reference, matched = counts[..., 0], counts[..., 1], counts[..., 2]
    both = (hypothesis > 0) & (reference > 0)
    orders = np.maximum(both.sum(axis=-1), 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(both, matched / hypothesis, 0.0).sum(axis=-1) / orders
        recall = np.where(both, matched / reference, 0.0).sum(axis=-1) / orders
        score = (1 + _BETA**2) * precision * recall / (_BETA**2 * precision + recall)
    score = np.where(precision + recall > 0, 100 * score, 0.0)
    return np.where(counts.sum(axis=(-1, -2)) > 0, score, np.nan)


def bleu_chrf(sums: np.ndarray) -> np.ndarray:
    """The mean of corpus BLEU and corpus chrF++, 0..100."""
    return (bleu(sums) + chrf(sums)) / 2


def sentence_chrf(stats: tuple[float, ...]) -> float:
    """chrF++ of one sentence, 0..1; 0 where the reference has no character to compare."""
    value = float(chrf(np.asarray(stats)))
    return 0.0 if np.isnan(value) else min(value / 100, 1.0)
