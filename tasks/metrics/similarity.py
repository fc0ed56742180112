"""Nearness of two short texts: by characters (ANLS) and by meaning (cosine of embeddings)."""

from __future__ import annotations

import numpy as np

from ..schema import Embedder


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
