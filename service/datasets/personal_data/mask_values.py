"""Masks personal data in JSON values, which need not have the form of training rows.

Run as `python -m service.datasets.personal_data.mask_values`, it reads a `MaskRequest` from stdin
and writes a `MaskResult` to stdout. It opens no file and logs nothing.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import msgspec

from service.datasets.personal_data.detect import may_hold_personal_data
from service.datasets.personal_data.kinds import CustomKinds, Recognizer
from service.datasets.personal_data.redact import Redactor
from service.datasets.text.languages import UNKNOWN, detect


class MaskRequest(msgspec.Struct, frozen=True):
    """Groups of values to mask. What is found in a group is replaced throughout the group."""

    groups: list[list[Any]]
    recognizers: tuple[Recognizer, ...] = ()


class MaskResult(msgspec.Struct, frozen=True):
    """The masked values, and the number of replacements in each."""

    groups: list[list[Any]]
    masked: list[list[int]]


class ValueMask:
    """Replaces personal data in values by labels such as [EMAIL].

    Numbers that have the form of personal data are replaced, too. A value that is found anywhere in
    `values` is replaced throughout.
    """

    def __init__(self, values: Iterable[Any], custom: CustomKinds) -> None:
        self.counts = Counter[str]()
        self._redactor = Redactor("mask", possible=True, custom=custom)
        for value in values:
            before = ""
            for text in _texts(value):
                self._learn(text, before)
                before = text

    def __call__(self, value: Any) -> Any:
        """Return the value with labels."""
        self._redactor.begin_row([*_texts(value)])
        return self._replace(value)

    def keys(self, keys: Iterable[str]) -> dict[str, str]:
        """Return labels for the keys that hold personal data, each another one."""
        masked: dict[str, str] = {}
        taken: set[str] = set()
        for key in keys:
            label = wanted = self._redactor.redact(key, self.counts)
            number = 1
            while label in taken:
                label = f"{wanted} {(number := number + 1)}"
            taken.add(label)
            masked[key] = label
        return masked

    def _learn(self, text: str, before: str) -> None:
        if self._redactor.custom or may_hold_personal_data(text):
            language = detect(text).code
            languages = [] if language == UNKNOWN else [language]
            self._redactor.learn(text, *languages, before=before)

    def _replace(self, value: Any) -> Any:
        if isinstance(value, dict):
            keys = self.keys(value)
            return {keys[key]: self._replace(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._replace(inner) for inner in value]
        if isinstance(value, str):
            return self._redactor.redact(value, self.counts)
        if isinstance(value, int | float) and not isinstance(value, bool):
            masked = self._redactor.redact(_digits(value), self.counts)
            return value if masked == _digits(value) else masked
        return value


def mask_groups(request: MaskRequest) -> MaskResult:
    """Mask each group of values."""
    custom = CustomKinds(request.recognizers)
    groups: list[list[Any]] = []
    masked: list[list[int]] = []
    for values in request.groups:
        mask = ValueMask(values, custom)
        totals = [0]
        group = []
        for value in values:
            group.append(mask(value))
            totals.append(mask.counts.total())
        groups.append(group)
        masked.append([end - start for start, end in pairwise(totals)])
    return MaskResult(groups, masked)


def _texts(value: Any) -> Iterator[str]:
    """Yield all texts of a JSON value. Numbers are texts, too: they may be telephone numbers."""
    if isinstance(value, dict):
        yield from value
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, str):
        yield value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield _digits(value)


def _digits(value: float) -> str:
    """Return a number as a text. Tables of numbers often have whole numbers with a fraction."""
    is_whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if is_whole else value)


def main() -> int:
    """Mask the values of one request."""
    os.nice(10)  # the streams of the API come first
    try:
        request = msgspec.json.decode(sys.stdin.buffer.read(), type=MaskRequest)
        sys.stdout.buffer.write(msgspec.json.encode(mask_groups(request)))
    except Exception:  # noqa: BLE001 - a traceback must not contain any of the values
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
