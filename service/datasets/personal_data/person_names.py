"""Detection of Japanese personal names, using MeCab and the UniDic dictionary.

A name counts only if a family name and a given name are adjacent, or if a title follows
(田中様, 鈴木部長). A name by itself is just as often a shop, a town, or an ordinary word. The
taggers for other languages, as measured in `docs/data-sets.md`, invent too many names.
"""

from __future__ import annotations

import contextlib
import mmap
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

_TITLES = frozenset(
    [
        *("様", "さま", "さん", "氏", "君", "くん", "ちゃん", "殿", "夫妻", "夫人"),
        *("先生", "医師", "教授", "社長", "部長", "課長", "係長", "店長", "院長"),
    ]
)
_NAME_FEATURE: Final = "人名"
# `parse` returns the field in which the dictionary marks names, of each word.
_ONLY_MARKS: Final = '-O "" -F "%f[2] " -U "%f[2] " -E ""'
SIGNS: Final = "[ァ-ヺ一-鿿]{2}"
"""Characters that are used in Japanese names."""
_HAS_KANJI_OR_KATAKANA = re.compile(SIGNS)


def may_hold_names(text: str) -> bool:
    """Whether a text has characters that are used in Japanese names."""
    return _HAS_KANJI_OR_KATAKANA.search(text) is not None


def find_names(text: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of names in a Japanese text: `text[start:end]`, without the title."""
    if not may_hold_names(text):
        return
    tagger = _tagger()
    if _NAME_FEATURE not in tagger.parse(text):  # which makes no object of each word
        return
    words = tagger(text)
    run: list[tuple[int, int]] = []
    at = 0
    for word in words:
        start = text.find(word.surface, at)
        if start < 0:  # the tagger changed the spelling
            run = []
            continue
        glued = bool(run) and run[-1][1] == start
        at = start + len(word.surface)
        if _is_name(word):
            run = [*run, (start, at)] if glued else [(start, at)]
            continue
        if run and (len(run) > 1 or (glued and word.surface in _TITLES)):
            yield run[0][0], run[-1][1]
        run = []
    if len(run) > 1:
        yield run[0][0], run[-1][1]


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
    """Whether the dictionary marks a word as a name.

    Taking all features of a word apart takes longer than finding it, and few words are names.
    """
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

    MeCab would say that a file is missing.
    """
    with contextlib.ExitStack() as opened:
        for name in ("sys.dic", "matrix.bin"):
            file = opened.enter_context((folder / name).open("rb"))
            opened.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
