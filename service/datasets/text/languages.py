"""Detects the language and script of a text.

Most scripts are used by one major language, so the code points are sufficient. Only Latin,
Cyrillic, Arabic, and Devanagari texts need the language model included in `py3langid`. Texts
with very few letters are `und`, because no method is reliable for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

UNKNOWN = "und"
_LETTERS_NEEDED = 4
_LETTERS_NEEDED_LATIN = 8
_CHARS_READ = 160
_CONFIDENCE_NEEDED = 0.5

# Ranges of scripts. All other code points are common to several scripts, or rare.
_BLOCKS: tuple[tuple[str, int, int], ...] = (
    ("Greek", 0x0380, 0x03FF),
    ("Cyrillic", 0x0400, 0x057F),
    ("Hebrew", 0x0580, 0x05FF),
    ("Arabic", 0x0600, 0x07FF),
    ("Devanagari", 0x0900, 0x097F),
    ("Bengali", 0x0980, 0x09FF),
    ("Gurmukhi", 0x0A00, 0x0A7F),
    ("Gujarati", 0x0A80, 0x0AFF),
    ("Odia", 0x0B00, 0x0B7F),
    ("Tamil", 0x0B80, 0x0BFF),
    ("Telugu", 0x0C00, 0x0C7F),
    ("Kannada", 0x0C80, 0x0CFF),
    ("Malayalam", 0x0D00, 0x0D7F),
    ("Sinhala", 0x0D80, 0x0DFF),
    ("Thai", 0x0E00, 0x0E7F),
    ("Lao", 0x0E80, 0x0EFF),
    ("Tibetan", 0x0F00, 0x0FFF),
    ("Myanmar", 0x1000, 0x107F),
    ("Georgian", 0x1080, 0x10FF),
    ("Hangul", 0x1100, 0x11FF),
    ("Khmer", 0x1780, 0x17FF),
    ("Mongolian", 0x1800, 0x187F),
    ("Latin", 0x1E00, 0x1EFF),
    ("Kana", 0x3000, 0x30FF),
    ("Han", 0x3400, 0x9FFF),
    ("Hangul", 0xAC00, 0xD7FF),
    ("Han", 0xF900, 0xFAFF),
    ("Han", 0x20000, 0x323FF),
)
SCRIPTS: tuple[str, ...] = (
    "Common",
    "Latin",
    *dict.fromkeys(name for name, _, _ in _BLOCKS if name != "Latin"),
)
_NUMBER = {name: index for index, name in enumerate(SCRIPTS)}

# The language of each script that is used by only one major language.
_BY_SCRIPT = {
    "Greek": "el",
    "Hebrew": "he",
    "Bengali": "bn",
    "Gurmukhi": "pa",
    "Gujarati": "gu",
    "Odia": "or",
    "Tamil": "ta",
    "Telugu": "te",
    "Kannada": "kn",
    "Malayalam": "ml",
    "Sinhala": "si",
    "Thai": "th",
    "Lao": "lo",
    "Tibetan": "bo",
    "Myanmar": "my",
    "Georgian": "ka",
    "Hangul": "ko",
    "Kana": "ja",
    "Khmer": "km",
    "Mongolian": "mn",
}
# Languages that the model may return. A short list avoids classifying short texts as rare
# languages.
_MODEL_LANGUAGE_CODES = """
en de fr es pt it nl sv da nb fi pl cs sk hu ro hr sl lt lv et tr az uz id ms tl vi sw af sq ca eu
gl is ga cy mt eo la ru uk bg sr mk be kk ky mn tg ar fa ur ps ckb ug hi mr ne sa
"""
_MODEL_LANGUAGES = _MODEL_LANGUAGE_CODES.split()

_ONLY_SIMPLIFIED = frozenset(
    "们这个来为国时说会对着过发里后学没动样还进给让从关应问间现开长东车门见话语认请谢您吗么"
    "爱亲书买卖电脑网络单号码务层热线邮钱银订购货运费术业产权质量检测试验证级处办经济"
)
_ONLY_TRADITIONAL = frozenset(
    "們這個來為國時說會對著過發裡後學沒動樣還進給讓從關應問間現開長東車門見話語認請謝您嗎麼"
    "愛親書買賣電腦網絡單號碼務層熱線郵錢銀訂購貨運費術業產權質量檢測試驗證級處辦經濟"
) - _ONLY_SIMPLIFIED  # fmt: skip
_SIMPLIFIED, _TRADITIONAL = (
    re.compile(f"[{''.join(sorted(chars))}]") for chars in (_ONLY_SIMPLIFIED, _ONLY_TRADITIONAL)
)


_KANA, _HAN = _NUMBER["Kana"], _NUMBER["Han"]
# Digits, spaces, and punctuation of the two lowest ranges, and the punctuation next to kana.
_NO_LETTERS = [
    *(c for c in range(0x80) if not chr(c).isalpha()),
    *range(0x80, 0xC0),
    *range(0x3000, 0x3041),
]


_NO_ASCII_LETTERS = bytes(c for c in range(0x80) if not chr(c).isalpha())


def _script_table() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the script of each code point, or 0 where it has none."""
    table = np.zeros(0x110000, dtype=np.uint8)
    table[:0x0300] = _NUMBER["Latin"]
    for name, first, last in _BLOCKS:
        table[first : last + 1] = _NUMBER[name]
    table[_NO_LETTERS] = 0
    return table


_SCRIPT_OF = _script_table()


_NAMES = {
    "ar": "Arabic",
    "bn": "Bengali",
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "fr": "French",
    "he": "Hebrew",
    "hi": "Hindi",
    "id": "Indonesian",
    "it": "Italian",
    "ja": "Japanese",
    "km": "Khmer",
    "ko": "Korean",
    "lo": "Lao",
    "mr": "Marathi",
    "ms": "Malay",
    "my": "Burmese",
    "ne": "Nepali",
    "nl": "Dutch",
    "pt": "Portuguese",
    "ru": "Russian",
    "si": "Sinhala",
    "ta": "Tamil",
    "te": "Telugu",
    "th": "Thai",
    "tl": "Tagalog",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "und": "unknown",
    "ur": "Urdu",
    "vi": "Vietnamese",
    "zh": "Chinese",
    "zh-Hans": "Chinese (simplified)",
    "zh-Hant": "Chinese (traditional)",
}


def language_name(code: str) -> str:
    """Return the language's English name, or its code if no name is known."""
    return _NAMES.get(code, code)


def is_detected(code: str) -> bool:
    """Return whether `detect` can return a language."""
    return code in _MODEL_LANGUAGES or code in _BY_SCRIPT.values() or code.startswith("zh")


class Language(NamedTuple):
    """A language as an ISO 639-1 code (zh-Hans or zh-Hant for Chinese), and its script."""

    code: str
    script: str
    confidence: float


def detect(text: str) -> Language:
    """Detect the language of a text from its first characters. Returns `und` if uncertain."""
    start = text[:_CHARS_READ]
    if start.isascii():
        letters = len(start.encode().translate(None, _NO_ASCII_LETTERS))
        return _by_model(start, "Latin", letters)
    counts: list[int] = _script_counts([start])[0].tolist()
    return _detect(start, sum(counts), counts.index(max(counts)), counts[_KANA], counts[_HAN])


def detect_each(texts: Iterable[str]) -> list[Language]:
    """Detect the language of each text, in a fifth of the time of calling `detect` for each."""
    starts = [text[:_CHARS_READ] for text in texts]
    counts = _script_counts(starts)
    letters, tops, kana, han = (
        found.tolist()
        for found in (counts.sum(axis=1), counts.argmax(axis=1), counts[:, _KANA], counts[:, _HAN])
    )
    return list(map(_detect, starts, letters, tops, kana, han))


def detect_in_context(texts: Sequence[str]) -> list[Language]:
    """Detect the language of each text of a file, of which some tell about the others.

    If most texts in Chinese characters have kana, one without is Japanese, unless it has a
    character that only Chinese has.
    """
    found = detect_each(texts)
    japanese = sum(one.code == "ja" for one in found)
    if japanese <= sum(one.script == "Han" for one in found):
        return found
    return [
        Language("ja", "Han", 1.0) if one.script == "Han" and _may_be_japanese(text) else one
        for one, text in zip(found, texts, strict=True)
    ]


def _may_be_japanese(text: str) -> bool:
    """Return whether all characters are in Japan's standard set, JIS X 0208."""
    try:
        text[:_CHARS_READ].encode("shift_jis")
    except UnicodeEncodeError:
        return False
    return True


def _script_counts(starts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the number of letters in each script, for each text: [text, script]."""
    encoded = [start.encode("utf-32-le", "surrogatepass") for start in starts]
    points = np.frombuffer(b"".join(encoded), dtype=np.uint32)
    lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded)) // 4
    firsts = np.repeat(np.arange(len(starts)) * len(SCRIPTS), lengths)
    counts = np.bincount(firsts + _SCRIPT_OF[points], minlength=len(starts) * len(SCRIPTS))
    table = counts.reshape(-1, len(SCRIPTS))
    table[:, 0] = 0
    return table


def _detect(start: str, letters: int, top: int, kana: int, han: int) -> Language:
    """Detect a language from the number of letters, their most common script, and kana and Han."""
    if letters < _LETTERS_NEEDED:
        return Language(UNKNOWN, "Common", 0.0)
    # Japanese mixes kana and kanji, so a text with at least a tenth of kana is not Chinese.
    if kana and kana * 10 >= kana + han and top in (_KANA, _HAN):
        return Language("ja", "Kana", 1.0)
    script = SCRIPTS[top]
    if script == "Han":
        return Language(_chinese(start), "Han", 1.0)
    if script in _BY_SCRIPT:
        return Language(_BY_SCRIPT[script], script, 1.0)
    return _by_model(start, script, letters)


def _by_model(start: str, script: str, letters: int) -> Language:
    if letters < _LETTERS_NEEDED:
        return Language(UNKNOWN, "Common", 0.0)
    if letters < _LETTERS_NEEDED_LATIN:
        return Language(UNKNOWN, script, 0.0)
    code, confidence = _classify(_DIGITS.sub("0", start))
    if confidence < _CONFIDENCE_NEEDED:
        return Language(UNKNOWN, script, confidence)
    return Language(str(code), script, float(confidence))


_DIGITS = re.compile(r"\d+")


@lru_cache(maxsize=4096)
def _classify(text: str) -> tuple[str, float]:
    """Classify a text with 0 for each digit, so that texts from a template share a result."""
    code, confidence = _identifier().classify(text)
    return str(code), float(confidence)


def _chinese(text: str) -> str:
    simplified, traditional = len(_SIMPLIFIED.findall(text)), len(_TRADITIONAL.findall(text))
    return "zh-Hant" if traditional > simplified else "zh-Hans"


@lru_cache(maxsize=1)
def _identifier() -> Any:
    from py3langid.langid import (  # type: ignore[import-untyped]
        MODEL_FILE,
        LanguageIdentifier,
    )

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    known = set(identifier.labels)
    identifier.set_languages([code for code in _MODEL_LANGUAGES if code in known])
    return identifier
