"""Reduces a text to what it says: without punctuation, greetings, thanks, and politeness.

Two texts with the same wording mean the same. The reduced texts are only compared and never shown,
so they need not be well-formed, but texts that mean different things must not become equal:
negations, numbers, and names stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from service.datasets.duplicates.phrases import (
    CALL_WORDS,
    CALLS,
    CHINESE,
    HANGUL_ENDINGS,
    JAPANESE,
    LEADING,
    OPEN_REQUESTS,
    POLITE_WORDS,
    THAI,
    Replacements,
)
from service.datasets.duplicates.spelling import ascii_digits, canonical

# ASCII and general punctuation, CJK punctuation without 々 and 〇, full-width forms, dandas, Arabic
# and Thai punctuation, lines and shapes, and what decorates a sentence. No spaces: to split at them
# is faster. Signs that say something by themselves stay: + < = > %, currencies, arrows, 👍 and 👎.
_PUNCTUATION = re.compile(
    "[!-#&-*,-/:;?@\\[-`{-~\u00a0-\u00a1\u00a6-\u00a9\u00ab-\u00af\u00b4\u00b6-\u00b8\u00bb\u00bf"
    "\u2000-\u200b\u200e-\u206f\u2500-\u2604\u2607-\u260f\u2613-\u26ff"
    "\u3000-\u3004\u3008-\u3020\u3030\u30fb\ufe30-\ufe4f\uff01-\uff0f\uff1a-\uff20\uff5f-\uff65\u0964\u0965"
    "\u060c\u061b\u061f\u0e2f\u0e46\u0e5a\u0e5b\ufe0f\u2728\u2763\u2764\u2b50\U0001f000-\U0001f43f"
    "\U0001f444-\U0001f44c\U0001f44f-\U0001f4c7\U0001f4ca-\U0001f4ff\U0001f600-\U0001f60f\U0001f642\U0001f64b-\U0001f64f\U0001f680\U0001f917\U0001f970]+"
)
_ASCII = {code: " " for code in range(128) if _PUNCTUATION.match(chr(code))}
# Punctuation that is none: the sign of a number, 1,000, C#, operators, and the start of a private
# name. Full hours are "9 am" in each spelling.
_SIGNS = (
    ("-", re.compile(r"-(?<![\w)\]]-)(?=\d)"), "\u2212"),
    (",", re.compile(r",(?<=\d,)(?=\d{3}(?!\d))"), ""),
    (":00", re.compile(r":00(?<=\d:00)(?= ?[ap]m\b)"), ""),
    ("am", re.compile(r"am(?<=\dam)\b"), " am"),
    ("pm", re.compile(r"pm(?<=\dpm)\b"), " pm"),
    ("#", re.compile(r"#(?<=\b[a-z]#)"), "\u266f"),
    ("!=", re.compile("!="), "\u2260"),
    ("&&", re.compile("&&"), "\u2227"),
    ("||", re.compile(r"\|\|"), "\u2228"),
    ("*", re.compile(r"(?<=\d )\*(?= \w)|(?<=\d)\*(?=\d)"), "\u00d7"),
    ("/", re.compile(r"(?<=\d )/(?= \w)"), "\u00f7"),
    ("_", re.compile(r"_(?<!\w_)(?=[a-z]\w*(?<!_)\b)"), "\u02cd"),
)
_NOT = re.compile(r"\b(?:can)?n[’']t\b|n[’']t\b|\bcannot\b")
_NUMBERS = re.compile(r"(\d+)")
_OWN_RULES = re.compile("[\u0e00-\u0e7f\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7a3]")
_THAI, _KANA, _HAN, _HANGUL = map(
    re.compile, ("[\u0e00-\u0e7f]", "[\u3040-\u30ff]", "[\u4e00-\u9fff]", "[\uac00-\ud7a3]")
)


def wording(normal: str) -> str:
    """Return the wording of a normalized text. It is empty if the text is only polite."""
    if "n't" in normal or "n’t" in normal or "cannot" in normal:
        normal = _NOT.sub(_spelled_out, normal)
    if not normal.isascii():
        normal = ascii_digits(normal)
    words = canonical(_without_punctuation(normal).split())
    text = " ".join(words)
    if text.isascii() or _OWN_RULES.search(text) is None:
        return _without_polite_words(text, words)
    for replacements in _for_scripts(text):
        for pattern, replacement, signs in replacements:
            for sign in signs:
                if sign in text:
                    text = pattern.sub(replacement, text)
                    break
    words = text.split()
    text = _without_polite_words(" ".join(words), words)
    return HANGUL_ENDINGS.sub("", text) if _HANGUL.search(text) else text


def _for_scripts(text: str) -> Iterator[Replacements]:
    if _THAI.search(text):
        yield THAI
    if _KANA.search(text):
        yield JAPANESE
    elif _HAN.search(text):
        yield CHINESE


def bare(normal: str) -> str:
    """Return a normalized text without punctuation and symbols."""
    return " ".join(_without_punctuation(normal).split())


def _without_punctuation(text: str) -> str:
    for sign, pattern, replacement in _SIGNS:
        if sign in text:
            text = pattern.sub(replacement, text)
    return text.translate(_ASCII) if text.isascii() else _PUNCTUATION.sub(" ", text)


def _spelled_out(match: re.Match[str]) -> str:
    return "can not" if match.group().startswith("ca") else " not"


def _without_polite_words(text: str, words: list[str]) -> str:
    if POLITE_WORDS.isdisjoint(words):
        return text
    while match := LEADING.match(text):  # "hi there good morning" has several
        text = text[match.end() :]
    if CALL_WORDS.isdisjoint(words):
        return text
    return " ".join(CALLS.sub(" ", text).split())


def split_numbers(text: str) -> tuple[str, list[str]]:
    """Return a wording with each number replaced by 0, and the numbers in order."""
    parts = _NUMBERS.split(text)
    return "0".join(parts[::2]), parts[1::2]


def numbers(text: str) -> list[str]:
    """Return the numbers of a wording in order."""
    return _NUMBERS.findall(text)


def is_open(text: str) -> bool:
    """Whether a wording asks for something with many right answers, such as a poem or a joke."""
    return OPEN_REQUESTS.search(text) is not None
