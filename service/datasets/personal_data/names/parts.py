"""Finds parts of a full name elsewhere in its row, such as `Hi Arjun!`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from service.datasets.personal_data.names.chinese import TITLE as CHINESE_TITLE

_SPACELESS: Final = re.compile("[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
_HANGUL: Final = re.compile("[가-힣]{3,4}")
_HAN_OR_KANA: Final = re.compile("[々-〇ぁ-ヿ㐀-鿿]{2,8}")
_JA_TITLE: Final = "様|さま|さん|氏|くん|君|ちゃん|殿|先生|部長|課長|社長"
_KO_TITLE: Final = "고객님|선생님|과장님|부장님|대리님|님|씨|군|양|아(?![가-힣])|야(?![가-힣])"
_NEXT_WORD: Final = re.compile(r" ([^\W\d_]{2,})")
_GREETINGS: Final = "Hi|Hello|Hey|Dear|Thanks|Thank you,|Mr|Ms|Halo|Hai|Chào|Bonjour|Hola"
_GREETING: Final = "(?:" + "|".join(f"(?<={word} )" for word in _GREETINGS.split("|")) + ")"
_LEAST_THAI: Final = 3


class NamePart(NamedTuple):
    """A part of the full name `full` at `text[start:end]`."""

    full: str
    start: int
    end: int


class NameParts:
    """Finds parts of full names in the texts of a row.

    A part that also occurs in the row in lowercase is an ordinary word (`Mark the box`), and counts
    as a name only after a greeting (`Hi Mark`).
    """

    def __init__(self, names: Sequence[str], texts: Sequence[str]) -> None:
        words = {word for text in texts for word in re.findall(r"[^\W\d_]+", text)}
        self._patterns = [
            (name, re.compile(pattern)) for name in names for pattern in _patterns(name, words)
        ]

    def find(self, text: str) -> list[NamePart]:
        """Return the parts of names in a text."""
        return [
            NamePart(name, *match.span())
            for name, pattern in self._patterns
            for match in pattern.finditer(text)
            if not _begins_another(text, match, name)
        ]


def is_part(name: str, other: str) -> bool:
    """Return whether a name is part of another one."""
    if _SPACELESS.search(name):
        return name != other and name in other
    return {*name.split()} < {*other.split()}


def _begins_another(text: str, match: re.Match[str], name: str) -> bool:
    """Return whether a word of a name begins another name, such as the Hà of Hà Nội."""
    following = _NEXT_WORD.match(text, match.end())
    return (
        match.group() in name.split()
        and following is not None
        and following[1][0].isupper()
        and following[1] not in name.split()
    )


def _patterns(name: str, words: set[str]) -> Iterator[str]:
    parts = name.split()
    if len(parts) > 1:
        yield from _word_patterns(parts, words)
    elif _HANGUL.fullmatch(name):
        yield rf"(?<![가-힣]){name[-2:]}(?= ?(?:{_KO_TITLE}))"
    elif _HAN_OR_KANA.fullmatch(name):
        before = r"(?<![々-〇ァ-ヿ㐀-鿿])"
        family = "|".join(re.escape(name[:end]) for end in range(min(len(name), 5), 0, -1))
        yield rf"{before}(?:{family})(?={_JA_TITLE}|{CHINESE_TITLE})"
        yield rf"{name[0]}(?={CHINESE_TITLE})"
        given = "|".join(re.escape(name[at:]) for at in range(1, len(name) - 1))
        if given:
            yield rf"(?:{given})(?={_JA_TITLE}|{CHINESE_TITLE})"
            yield rf"(?:(?<![㐀-鿿])|(?<=您好)|(?<=你好))(?:{given})(?=[，,！!：:～]|您好|你好)"


def _word_patterns(parts: list[str], words: set[str]) -> Iterator[str]:
    """Yield a pattern of the runs of words of a name, the longest first."""
    runs = [
        parts[start:end]
        for size in range(len(parts), 0, -1)
        for start, end in ((at, at + size) for at in range(len(parts) - size + 1))
    ]
    named = [run for run in runs if len(run) > 1 or _is_name_part(run[0])]
    for greeting, some in (
        ("", [run for run in named if len(run) > 1 or not _is_word(run[0], words)]),
        (_GREETING, [run for run in named if len(run) == 1 and _is_word(run[0], words)]),
    ):
        if some:
            whole = "|".join(r"[\s+_]+".join(map(re.escape, run)) for run in some)
            spaceless = _SPACELESS.search(parts[0])
            yield whole if spaceless else rf"{greeting}(?<!\w)(?:{whole})(?!\w)"


def _is_name_part(part: str) -> bool:
    if _SPACELESS.search(part):
        return len(part) >= _LEAST_THAI
    return len(part) > 1 and part[0].isupper()


def _is_word(part: str, words: set[str]) -> bool:
    """Return whether a part of a name also occurs in lowercase, as an ordinary word."""
    return part.lower() != part and part.lower() in words
