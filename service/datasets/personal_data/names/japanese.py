"""Finds Japanese names of persons with MeCab and UniDic.

A name counts only if a family name and a given name are adjacent, or if a title follows (田中様,
鈴木部長).
"""

from __future__ import annotations

import contextlib
import mmap
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from service.datasets.personal_data.kinds import UNKNOWN

_TITLES = frozenset(
    [
        *("様", "さま", "さん", "氏", "君", "くん", "ちゃん", "殿", "夫妻", "夫人"),
        *("先生", "医師", "教授", "社長", "部長", "課長", "係長", "店長", "院長"),
    ]
)
_NAME_FEATURE: Final = "人名"
_PLACE_FEATURE: Final = "地名"
# MeCab's output format: for each word, only the field in which the dictionary marks names.
_ONLY_MARKS: Final = '-O "" -F "%f[2] " -U "%f[2] " -E ""'
SIGNS: Final = "[ァ-ヺ一-鿿々]{2}"
"""Characters that are used in Japanese names."""
_JAPANESE_GAPS: Final = ("", " ", "\u3000")
_JAPANESE_LABEL: Final = re.compile(
    r"(?:名前|氏名|担当者?|名義|カナ|がな|(?<![商製品社店駅校地])名|[契約申込予約記入報告相談]者|受取人|宛先)(?:[:：は]\s?|\s)$"
    r"|(?:担当者?|サポート|センター|窓口|(?<!全)[部課係])の$"
)
_KATAKANA: Final = re.compile("[ァ-ヺー]+")
"""A run without a space, which is more often a foreign word than a name."""
_CLAUSE_START: Final = re.compile("(?:^|[。、!！?？\\n]|[たの])$")
_IS_I: Final = re.compile("(?:です|でございます)(?:[。、!！\\n]|が|けど|$)")
_IN_CHINESE: Final = "[ぁ-ゖァ-ヺ]|様|氏名|〒|丁目|番地|電話番号|生年月日|社員番号|保護者|児童|御中"
"""Parts of Japanese texts that have hardly any kana."""
_HAS_KANJI_OR_KATAKANA = re.compile(SIGNS)


def may_hold_names(text: str) -> bool:
    """Return whether a text has characters that are used in Japanese names."""
    return _HAS_KANJI_OR_KATAKANA.search(text) is not None


def japanese_signs(languages: Iterable[str]) -> str:
    """Return a pattern that texts with Japanese names match. It may be empty."""
    if "ja" in languages:
        return SIGNS
    return "" if _MAY_BE_JAPANESE.isdisjoint(languages) else _IN_CHINESE


_MAY_BE_JAPANESE: Final = frozenset({UNKNOWN, "zh-Hans", "zh-Hant"})


def find_names(text: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of names in a Japanese text: `text[start:end]`, without the title."""
    if not may_hold_names(text):
        return
    tagger = _tagger()
    marks = tagger.parse(text)  # faster than an object for each word
    if _NAME_FEATURE not in marks and (
        _PLACE_FEATURE not in marks or not ("様" in text or "と申" in text)
    ):
        return
    words = tagger(text)
    run: list[tuple[int, int]] = []
    at = 0
    for word in words:
        start = text.find(word.surface, at)
        if start < 0:  # the tagger changed the spelling
            run = []
            continue
        # A space may be between the parts of a name, and before a title.
        glued = bool(run) and text[run[-1][1] : start] in _JAPANESE_GAPS
        at = start + len(word.surface)
        # Many family names are places, which no one calls 様.
        if _is_name(word) or (
            text.startswith(("様", "と申"), at)
            and _PLACE_FEATURE in word.feature_raw
            and at - start > 1
        ):
            if run and not glued and _is_complete(text, run):
                yield run[0][0], run[-1][1]
            run = [*run, (start, at)] if glued else [(start, at)]
            continue
        titled = glued and word.surface in _TITLES and text[run[0][0] - 1 : run[0][0]] != "@"
        if run and (titled or _is_complete(text, run)):
            yield run[0][0], run[-1][1]
        run = []
    if run and _is_complete(text, run):
        yield run[0][0], run[-1][1]


def _is_complete(text: str, run: Sequence[tuple[int, int]]) -> bool:
    """Return whether words are a family and a given name, or one of them where a name must be."""
    start, end = run[0][0], run[-1][1]
    return (
        (len(run) > 1 and _KATAKANA.fullmatch(text, start, end) is None)
        or text.startswith(("と申", "と言います"), end)
        or (
            end - start > 1
            and _IS_I.match(text, end) is not None
            and _CLAUSE_START.search(text, max(start - 1, 0), start) is not None
        )
        or _JAPANESE_LABEL.search(text, max(start - 8, 0), start) is not None
    )


def find_name_words(text: str) -> Iterator[tuple[int, int]]:
    """Yield the position of each word that the dictionary marks as a name: `text[start:end]`."""
    at = 0
    for word in _tagger()(text):
        start = text.find(word.surface, at)
        if start < 0:
            continue
        at = start + len(word.surface)
        if _is_name(word):
            yield start, at


def _is_name(word: Any) -> bool:
    """Return whether the dictionary marks a word as a name."""
    # Parsing a word's features is slow, and few words are names.
    return _NAME_FEATURE in word.feature_raw and word.feature.pos3 == _NAME_FEATURE


def proper_nouns(text: str) -> Iterator[str]:
    """Yield each word of a Japanese text that the dictionary marks as a name of anything."""
    for word in _tagger()(text):
        if word.feature.pos2 == "固有名詞":
            yield word.surface


def count_names(name: str) -> int:
    """Count the words of a name, such as two for a family name and a given name."""
    return sum(1 for _ in find_name_words(name))


@lru_cache(maxsize=1)
def _tagger() -> Any:
    import fugashi  # type: ignore[import-untyped]
    import unidic_lite  # type: ignore[import-untyped]

    _check_room(Path(unidic_lite.DICDIR))
    return fugashi.Tagger(_ONLY_MARKS)  # finds unidic-lite automatically


def _check_room(folder: Path) -> None:
    """Raise OSError if the memory limit leaves no room for a dictionary.

    MeCab would report a missing file instead.
    """
    with contextlib.ExitStack() as opened:
        for name in ("sys.dic", "matrix.bin"):
            file = opened.enter_context((folder / name).open("rb"))
            opened.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
