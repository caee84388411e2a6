"""BM25 search over texts of any language, on numpy.

Own code, since it needs our segmentation and no more than this; the scores are those of Lucene's
variant (Robertson's with a non-negative idf), which the tests compare with bm25s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from service.datasets.text.segments import terms

K1: Final = 1.5
B: Final = 0.75

Floats = np.ndarray[Any, np.dtype[np.float32]]
Integers = np.ndarray[Any, np.dtype[np.int32]]


class Index:
    """An index of texts. Searching it does not change it."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.size = len(texts)
        places: dict[str, list[int]] = {}
        counts: dict[str, list[int]] = {}
        lengths = np.zeros(len(texts), dtype=np.float32)
        for place, text in enumerate(texts):
            said = terms(text)
            lengths[place] = len(said)
            for term, count in Counter(said).items():
                places.setdefault(term, []).append(place)
                counts.setdefault(term, []).append(count)
        mean = float(lengths.mean()) if len(texts) else 0.0
        penalty = K1 * (1 - B + B * lengths / (mean or 1.0))
        self._postings: dict[str, tuple[Integers, Floats]] = {}
        for term, found in places.items():
            at = np.array(found, dtype=np.int32)
            frequency = np.array(counts[term], dtype=np.float32)
            idf = np.log1p((self.size - len(at) + 0.5) / (len(at) + 0.5))
            self._postings[term] = (
                at,
                (idf * frequency / (frequency + penalty[at])).astype(np.float32),
            )

    def scores(self, query: str) -> Floats:
        """Return the score of each text for a query."""
        scores = np.zeros(self.size, dtype=np.float32)
        for term in terms(query):
            if (posting := self._postings.get(term)) is not None:
                scores[posting[0]] += posting[1]
        return scores

    def search(self, query: str, k: int) -> list[int]:
        """Return the places of up to `k` texts that share a term with the query, best first.

        Equal scores are in the order of the texts.
        """
        scores = self.scores(query)
        best = np.argsort(-scores, kind="stable")[: max(k, 0)]
        return [int(place) for place in best if scores[place] > 0]
