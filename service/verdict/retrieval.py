"""Searches the training rows by keywords (BM25) for answers, as an alternative to training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from service.datasets.text.segments import terms, units
from service.grading.examples import Example
from service.verdict.answer_facts import FactFinder, contains_facts
from service.verdict.canaries import is_canary
from service.verdict.comparison import Retrieval
from service.verdict.thresholds import RIGHT_F1, SAME_FACT_F1

K1: Final = 1.5
B: Final = 0.75

Floats = np.ndarray[Any, np.dtype[np.float32]]
Integers = np.ndarray[Any, np.dtype[np.int32]]
TOP: Final = 3
"""Number of rows that a search returns, which fit into any prompt."""
MAX_ROWS: Final = 100_000
"""Number of training rows that are searched."""


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


class AnsweredRow(NamedTuple):
    """A row, and what the tuned model answers to its prompt."""

    row: Example
    answer: str


class Search:
    """Searches the questions and answers of training rows for those of held-out rows."""

    def __init__(self, examples: Sequence[Example]) -> None:
        kept = [one for one in examples[:MAX_ROWS] if one.answer and not is_canary(one)]
        self._examples = kept
        self._index = Index([f"{one.question}\n{one.answer}" for one in kept])
        self._checker = AnswerChecker(kept)

    def nearest(self, question: str, k: int = TOP) -> list[Example]:
        """Return the training examples that match a question best."""
        return [self._examples[place] for place in self._index.search(question, k)]

    def find_answer(self, row: Example, k: int = TOP) -> int | None:
        """Return the line of the first row that answers a held-out row's question right."""
        found = self.nearest(row.question, k)
        return next((one.line for one in found if self._checker.is_right(row, one.answer)), None)


def retrieval_signs(
    examples: Sequence[Example],
    held_out: Sequence[Example],
    *,
    seen: Sequence[AnsweredRow] = (),
    unseen: Sequence[AnsweredRow] = (),
) -> Retrieval:
    """Return the signs that a search over the training rows would do better than training.

    `examples` are those of the training file. `seen` are some of them with the tuned model's
    answers, and `unseen` are held-out rows with its answers.
    """
    checker, search = AnswerChecker(examples), Search(examples)
    facts = [checker.finder.facts(row) for row in held_out]
    return Retrieval(
        rows=len(held_out),
        facts=sum(one.is_fact for one in facts),
        only_facts=sum(one.is_only_fact for one in facts),
        found=sum(search.find_answer(row) is not None for row in held_out),
        seen_rows=len(seen),
        seen_right=sum(checker.is_right(*one) for one in seen),
        unseen_rows=len(unseen),
        unseen_right=sum(checker.is_right(*one) for one in unseen),
    )


class AnswerChecker:
    """Checks whether an answer says the same as a row's own, in particular its facts."""

    def __init__(self, examples: Sequence[Example]) -> None:
        """`examples` are the training rows, which show the form of the answers."""
        self.finder = FactFinder(examples)

    def is_right(self, row: Example, answer: str) -> bool:
        """Return whether an answer has a row's facts, and most of its words beyond the form.

        If the row's answer is a fact, then its numbers, codes, and names decide, and the words
        between them may differ.
        """
        facts = self.finder.facts(row)
        if facts.is_fact and not contains_facts(answer, facts):
            return False
        similarity = unit_f1(answer, row.answer, without=self.finder.form)
        return similarity >= (SAME_FACT_F1 if facts.is_fact else RIGHT_F1)


def unit_f1(answer: str, reference: str, without: Collection[str] = ()) -> float:
    """Return the F1 score (0 to 1) of the words or characters that two texts have in common."""
    said = Counter(unit for unit in units(answer) if unit not in without)
    expected = Counter(unit for unit in units(reference) if unit not in without)
    common = (said & expected).total()
    if not common:
        return float(not said and not expected)
    return 2 * common / (said.total() + expected.total())
