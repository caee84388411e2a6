"""The metrics of `text_similarity` and `chrf`, against their libraries and published examples."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from nltk.translate.gleu_score import sentence_gleu
from nltk.translate.meteor_score import single_meteor_score
from rapidfuzz import fuzz
from rouge_score import rouge_scorer, scoring
from rouge_score.tokenizers import Tokenizer
from sacrebleu import sentence_bleu, sentence_chrf
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

from service.grading.errors import ItemFailed
from service.grading.text_similarity import (
    MAX_CHARS,
    _NoSynonyms,
    chrf,
    similarity,
    space_out,
    words,
)
from tests.grading.similar_texts import CODE, DIFFERENT, TEXTS, UNSPACED
from tests.grading.tools import graded

METRICS: list[Any] = [
    "fuzzy_match", "bleu", "gleu", "meteor", "rouge_1", "rouge_2", "rouge_3", "rouge_4", "rouge_5",
    "rouge_l",
]  # fmt: skip
# The examples of the libraries' documentation.
FOX = "The quick brown fox jumps over the lazy dog"
DOG = "The quick brown dog jumps on the log."
GUIDE = (
    "It is a guide to action which ensures that the military always obeys the commands of the party"
)
PARTY = "It is a guide to action that ensures that the military will forever heed Party commands"
THAI = "ร้านเปิดทุกวันเวลาเก้าโมงเช้า"
JAPANESE = "店は毎日朝九時に開きます。"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't panic, 42 times!", ["don", "t", "panic", "42", "times"]),
        ("", []),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("ＡＢＣ café", ["abc", "café"]),
        ("日本語とEnglish", ["日", "本", "語", "と", "english"]),
        ("ที่นี่", ["ที่", "นี่"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("**Bold**, `code` and _so on_:", ["bold", "code", "and", "so", "on"]),
        ("# Head\n- well-known\n* e.g. this", ["head", "well", "known", "e", ".", "g", "this"]),
        ("x[0] != -1 (no)", ["x", "[", "0", "]", "!", "=", "-", "1", "no"]),
        ("「九時」に(開)く!", ["九", "時", "に", "開", "く"]),
        ("₹500–600 👍🏽", ["₹", "500", "–", "600", "👍", "🏽"]),
        ("co\u00adoperate می\u200cخواهم", ["cooperate", "میخواهم"]),
        ("“So” — he said…", ["so", "he", "said"]),
        ("...", [".", ".", "."]),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


class _Words(Tokenizer):
    def tokenize(self, text: str) -> list[str]:
        return words(text)


def _rouge(metric: str, text: str, reference: str, tokenizer: Tokenizer | None = None) -> float:
    name = metric.replace("_", "").replace("rougel", "rougeL")
    scored = rouge_scorer.RougeScorer([name], tokenizer=tokenizer).score(reference, text)[name]
    assert isinstance(scored, scoring.Score)
    return scored.fmeasure


def _reference(metric: str, text: str, reference: str, script: str) -> float:
    """Return what the library that docs/graders.md names gives."""
    if metric == "fuzzy_match":
        return fuzz.ratio(text, reference) / 100
    if metric.startswith("rouge"):
        return _rouge(metric, text, reference, None if script == "Latin" else _Words())
    if script in UNSPACED:
        text, reference = space_out(text), space_out(reference)
    ours, theirs = Tokenizer13a()(text).split(), Tokenizer13a()(reference).split()
    match metric:
        case "bleu":
            return sentence_bleu(text, [reference]).score / 100
        case "gleu":
            return sentence_gleu([theirs], ours)
        case _:
            return single_meteor_score(theirs, ours, wordnet=_NoSynonyms())


@pytest.mark.parametrize("metric", METRICS)
def test_metrics_equal_their_libraries(metric: Any) -> None:
    pairs = [(script, *pair) for script, of in TEXTS.items() for pair in product(of, of)]
    assert len(pairs) > 500
    different = {
        (script, text, reference): (ours, theirs)
        for script, text, reference in pairs
        if (ours := similarity(metric, text, reference))
        != pytest.approx(theirs := _reference(metric, text, reference, script), abs=1e-9)
    }
    assert not different


def test_chrf_equals_its_library() -> None:
    for texts in TEXTS.values():
        for text, reference in product(texts, texts):
            assert chrf(text, reference) * 100 == sentence_chrf(text, [reference]).score


@pytest.mark.parametrize("metric", [*METRICS, chrf])
def test_what_says_something_else_does_not_score_one(metric: Any) -> None:
    pairs = [*DIFFERENT, *((b, a) for a, b in DIFFERENT)]
    pairs += [(a, b) for a, b in product(CODE, CODE) if a != b]
    equal = []
    for a, b in pairs:
        score = chrf(a, b) if metric is chrf else similarity(metric, a, b)
        if score > 0.99:
            equal.append((a, b, score))
    assert not equal


def test_texts_are_not_kept() -> None:
    similarity("bleu", "a secret text", "a text")
    assert Tokenizer13a.__call__.cache_info().currsize == 0


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("text", [FOX, THAI, JAPANESE, "Die Straße ist lang und breit."])
def test_equal_texts_score_one_and_others_zero(metric: Any, text: str) -> None:
    assert similarity(metric, text, text) == pytest.approx(1, abs=0.01)
    assert similarity(metric, "12345", text) == pytest.approx(0, abs=0.06)
    assert similarity(metric, "", text) == 0
    assert similarity(metric, "", " ") == 1


@pytest.mark.parametrize(
    ("metric", "text", "reference", "expected"),
    [
        ("rouge_1", DOG, FOX, 12 / 17),  # the README of google/rouge_score
        ("rouge_l", DOG, FOX, 10 / 17),
        ("rouge_2", "a b c d", "a b x d", 1 / 3),
        ("meteor", GUIDE, PARTY, 0.6944),  # the documentation of nltk
        ("gleu", "the the the", "the cat", 1 / 6),
        ("fuzzy_match", "this is a test", "this is a test!", 28 / 29),  # the README of rapidfuzz
        ("bleu", "The dog bit the man.", "The dog bit the man.", 1.0),
        ("bleu", "The dog bit the guy.", "The dog bit the man.", 0.5373),
    ],
)
def test_published_values(metric: Any, text: str, reference: str, expected: float) -> None:
    assert similarity(metric, text, reference) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("metric", [m for m in METRICS if m != "fuzzy_match"])
def test_texts_without_spaces_are_compared_by_parts(metric: Any) -> None:
    # Divided at spaces, each text would be one word, equal or not.
    close = similarity(metric, "店は毎日夜九時に開きます。", JAPANESE)
    assert 0.3 < close < 1
    assert similarity(metric, THAI.replace("เก้า", "แปด"), THAI) > 0.3


@pytest.mark.slow
def test_long_texts_are_refused_and_longest_ones_are_quick() -> None:
    with pytest.raises(ItemFailed, match="too long to compare"):
        similarity("rouge_l", "a" * (MAX_CHARS + 1), "a")
    words_ = " ".join(f"w{n % 977}" for n in range(MAX_CHARS // 6))
    other = " ".join(f"w{n % 983}" for n in range(MAX_CHARS // 6))
    for metric in METRICS:
        assert 0 <= similarity(metric, words_, other) <= 1


@pytest.mark.parametrize(
    ("text", "reference", "expected"),
    [
        ("abc", "abd", (2 / 3 + 1 / 2 + 0) / 3),  # the mean of the orders that the texts have
        (JAPANESE, JAPANESE, 1.0),
        ("xyz", JAPANESE, 0.0),
        ("", JAPANESE, 0.0),
    ],
)
async def test_chrf(text: str, reference: str, expected: float) -> None:
    body = {"type": "chrf", "name": "c", "reference": "{{item.r}}", "pass_threshold": 0.9}
    result = await graded(body, {"r": reference}, text)
    assert result.score == pytest.approx(expected)
    assert result.passed == (expected >= 0.9)


async def test_the_threshold_decides() -> None:
    body = {
        "type": "text_similarity",
        "name": "t",
        "evaluation_metric": "rouge_1",
        "input": "{{sample.output_text}}",
        "reference": "{{item.r}}",
    }
    results = [await graded({**body, "pass_threshold": at}, {"r": FOX}, DOG) for at in (0.70, 0.71)]
    assert [result.passed for result in results] == [True, False]
    assert (await graded(body, {"r": FOX}, DOG)).passed  # from 0.5
