"""Search for many known strings in a text, where each position costs the same for any number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

_START = 2  # characters of a string by which it is found

T = TypeVar("T")


class Literals(Generic[T]):
    """Strings with a value each. A string of letters is found only as a whole word."""

    def __init__(self) -> None:
        self._by_start: dict[str, list[tuple[str, T]]] = {}
        self._known: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._known)

    def add(self, string: str, value: T) -> None:
        """Add a string of at least two characters. A string keeps its first value."""
        if len(string) < _START or string in self._known:
            return
        self._known.add(string)
        same = self._by_start.setdefault(string[:_START], [])
        same.append((string, value))
        same.sort(key=lambda one: -len(one[0]))

    def find(self, text: str) -> Iterator[tuple[T, int, int]]:
        """Yield the value and the position of each string in a text, without overlaps."""
        starts = [start for start in self._by_start if start in text]
        places = sorted(at for start in starts for at in _places(text, start))
        end = 0
        for at in places:
            if at < end:
                continue
            for string, value in self._by_start[text[at : at + _START]]:
                if text.startswith(string, at) and is_whole(text, at, at + len(string)):
                    end = at + len(string)
                    yield value, at, end
                    break


def _places(text: str, start: str) -> Iterator[int]:
    at = text.find(start)
    while at >= 0:
        yield at
        at = text.find(start, at + 1)


def is_whole(text: str, start: int, end: int) -> bool:
    """Whether `text[start:end]` is no part of a longer word in a script with spaces."""
    before, after = text[start - 1 : start], text[end : end + 1]
    return not (_joins(before, text[start]) or _joins(text[end - 1], after))


def _joins(left: str, right: str) -> bool:
    return left.isascii() and right.isascii() and left.isalnum() and right.isalnum()
