"""Measures text similarity. All metrics range from 0 (nothing in common) to 1 (equal).

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

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from service.grading.errors import ItemFailed
from service.grading.schemas import TextMetric

# Blocks of scripts that put no spaces between words: Thai, Lao, Tibetan, Myanmar, Khmer, kana, Han.
_UNSPACED: Final = re.compile(
    "["
    "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U000323af"
    "]"
)
_WIDE: Final = re.compile("[\uff01-\uff9f\uffe0-\uffee]+")
_VARIATION: Final = re.compile("[\ufe0e\ufe0f]")
_LINE_MARKUP: Final = re.compile(r"^[ \t]*(?:(?:#{1,6}|[-*>])[ \t]+(?![ \t\d]))+", re.MULTILINE)

# ASCII punctuation of prose and Markdown that may surround a word.
_OPENING: Final = "(\"'_`"
_CLOSING: Final = ".,;:!?)\"'_`"
_EMPHASIS: Final = "*~"
_WITHIN: Final = frozenset("-'")
_SIGNS: Final = frozenset("§¶‰‱†‡※′″")  # punctuation in Unicode that has a meaning of its own
MAX_CHARS: Final = 100_000
"""Longest text. Some metrics are quadratic, and must end within a second."""


def words(text: str) -> list[str]:
    """Return the words of a text in lower case, with symbols, signs and operators.

    In scripts without spaces, every character with its combining marks is a word. Punctuation of
    prose and Markdown around words is left out, unless the text has nothing else.
    """
    normal = narrow(_VARIATION.sub("", text)).lower()
    visible = "".join(char for char in normal if unicodedata.category(char) != "Cf")
    found: list[str] = []
    left, marks = " ", ""  # the character before the marks, and the marks before `char`
    for char in _LINE_MARKUP.sub("", visible) + " ":
        kind = unicodedata.category(char)[0]
        if kind in "PS":
            marks += char
            continue
        found += _counted_marks(left, marks, char)
        if kind not in "LNM":
            left = " "
        elif not marks and _continues(left, char, kind):
            found[-1] += char
            left = left if kind == "M" else char
        else:
            found.append(char)
            left = char
        marks = ""
    return found or [char for char in visible if not char.isspace()]


def space_out(text: str) -> str:
    """Put spaces around each character of scripts that do not separate words."""
    parts: list[str] = []
    left = ""
    for char in text:
        is_mark = unicodedata.category(char).startswith("M")
        if not is_mark and (_UNSPACED.match(left) or _UNSPACED.match(char)):
            parts.append(" ")
        parts.append(char)
        left = char
    return "".join(parts)


def narrow(text: str) -> str:
    """Normalize a text to NFC, with full-width and half-width characters in their usual form.

    NFKC would make x² and x2 equal.
    """
    usual = _WIDE.sub(lambda wide: unicodedata.normalize("NFKC", wide[0]), text)
    return unicodedata.normalize("NFC", usual)


def _continues(left: str, char: str, kind: str) -> bool:
    """Return whether a letter, digit or mark belongs to the word of the character before it."""
    if left == " " or kind == "M":
        return left != " "
    return not _UNSPACED.match(left) and not _UNSPACED.match(char)


def _counted_marks(left: str, marks: str, right: str) -> list[str]:
    """Return those of the marks between two characters that count as words."""
    starts, ends = (not _is_word(char) or bool(_UNSPACED.match(char)) for char in (left, right))
    if marks in _WITHIN and left.isalpha() and right.isalpha():
        return []
    if starts:
        marks = marks.lstrip(_OPENING if ends else _OPENING + _EMPHASIS)
    if ends:
        marks = marks.rstrip(_CLOSING if starts else _CLOSING + _EMPHASIS)
    return [mark for mark in marks if not _is_foreign_prose(mark, right)]


def _is_word(char: str) -> bool:
    return unicodedata.category(char)[0] in "LNM"


def _is_foreign_prose(mark: str, right: str) -> bool:
    """Return whether a mark outside of ASCII is punctuation of prose."""
    kind = unicodedata.category(mark)
    if mark.isascii() or mark in _SIGNS or not kind.startswith("P"):
        return False
    return kind != "Pd" or not right.isdigit()


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

    tokens: list[str] = Tokenizer13a()(space_out(text)).split()  # type: ignore[no-untyped-call]
    for tokenizer in (Tokenizer13a, TokenizerRegexp):
        tokenizer.__call__.cache_clear()  # sacrebleu would keep 65,536 texts
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


def chrf(text: str, reference: str) -> float:
    """Return sacrebleu's chrF divided by 100, from 0 to 1. Raises ItemFailed for long texts."""
    from sacrebleu.metrics.chrf import CHRF

    check_length(text, reference)
    if not text.strip() or not reference.strip():
        return float(text.strip() == reference.strip())
    return float(CHRF().sentence_score(text, [reference]).score) / 100
