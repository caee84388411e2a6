"""Metrics of `text_similarity` graders. All are from 0 (nothing in common) to 1 (equal).

cosine       of the texts' embeddings, which a model creates
fuzzy_match  1 - insertions and deletions / length, on characters (rapidfuzz)
bleu         sentence BLEU with as many n-gram orders as the text has (sacrebleu)
gleu         the smaller of n-gram precision and recall, 1 to 4 tokens of BLEU (nltk)
meteor       METEOR with exact and stem matches of these tokens; synonyms would need WordNet (nltk)
rouge_1..5   F1 of n-grams of words, as rouge-score computes it
rouge_l      F1 of the longest common subsequence of words, likewise

Differences from the libraries are in docs/graders.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from service.grading.errors import ItemFailed
from service.grading.schemas import TextMetric
from service.grading.words import spaced, words

MAX_CHARS: Final = 100_000
"""Length of a text, so that the metrics, some of which are quadratic, end within a second."""


def similarity(metric: TextMetric, text: str, reference: str) -> float:
    """Return the similarity, from 0 to 1. Raises ItemFailed if a text is too long."""
    check_length(text, reference)
    if not text.strip() or not reference.strip():
        return float(text.strip() == reference.strip())
    match metric:
        case "fuzzy_match":
            score = _fuzzy_match(text, reference)
        case "bleu":
            score = _bleu(text, reference)
        case "gleu":
            score = _gleu(_tokens(text), _tokens(reference))
        case "meteor":
            score = _meteor(_tokens(text), _tokens(reference))
        case "rouge_l":
            score = _rouge_l(words(text), words(reference))
        case _:
            score = _rouge_n(words(text), words(reference), int(metric.removeprefix("rouge_")))
    return min(1.0, max(0.0, score))  # BLEU returns 100.00000000000004


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the cosine similarity of two embeddings; 0 if it is negative."""
    import numpy as np

    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return min(1.0, max(0.0, float(np.dot(a, b)) / lengths)) if lengths else 0.0


def check_length(*texts: str) -> None:
    """Raise ItemFailed if a text is too long to compare."""
    if max(map(len, texts)) > MAX_CHARS:
        raise ItemFailed(
            "other_error", f"A text is longer than {MAX_CHARS} characters, too long to compare."
        )


def _fuzzy_match(text: str, reference: str) -> float:
    from rapidfuzz import fuzz

    return fuzz.ratio(text, reference) / 100


def _bleu(text: str, reference: str) -> float:
    from sacrebleu.metrics.bleu import BLEU

    bleu = BLEU(effective_order=True, tokenize="none")
    ours, theirs = " ".join(_tokens(text)), " ".join(_tokens(reference))
    return float(bleu.sentence_score(ours, [theirs]).score) / 100


def _tokens(text: str) -> list[str]:
    """Return the tokens of BLEU: words and punctuation, and characters in unspaced scripts."""
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a
    from sacrebleu.tokenizers.tokenizer_re import TokenizerRegexp

    tokens: list[str] = Tokenizer13a()(spaced(text)).split()  # type: ignore[no-untyped-call]
    for tokenizer in (Tokenizer13a, TokenizerRegexp):
        tokenizer.__call__.cache_clear()  # it would keep 65,536 texts
    return tokens


def _gleu(text: list[str], reference: list[str]) -> float:
    from nltk.translate.gleu_score import sentence_gleu

    return float(sentence_gleu([reference], text))


class _NoSynonyms:
    """Replaces WordNet, whose data is not installed."""

    def synsets(self, word: str) -> list[Any]:
        return []


def _meteor(text: list[str], reference: list[str]) -> float:
    from nltk.translate.meteor_score import single_meteor_score

    return float(single_meteor_score(reference, text, wordnet=_NoSynonyms()))


def _rouge_n(text: list[str], reference: list[str], n: int) -> float:
    ours, theirs = _ngrams(text, n), _ngrams(reference, n)
    return _f1((ours & theirs).total(), ours.total(), theirs.total())


def _rouge_l(text: list[str], reference: list[str]) -> float:
    from rapidfuzz.distance import LCSseq

    return _f1(LCSseq.similarity(text, reference), len(text), len(reference))


def _ngrams(tokens: list[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(tokens[start:] for start in range(n)), strict=False))


def _f1(common: int, ours: int, theirs: int) -> float:
    return 2 * common / (ours + theirs) if ours + theirs else 0.0
