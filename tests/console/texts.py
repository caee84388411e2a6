"""The texts of the console in a language, from its catalogs, by which tests find its elements."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Final

from tests.console.browser import SOURCE

MESSAGES: Final = SOURCE / "src" / "messages"
LANGUAGES: Final = sorted(folder.name for folder in MESSAGES.iterdir() if folder.is_dir())


class Texts:
    """The catalogs of a language. A call returns a pattern for what a message becomes."""

    def __init__(self, language: str) -> None:
        self._messages: dict[str, str] = {
            f"{file.stem}.{key}": message
            for file in sorted((MESSAGES / language).glob("*.json"))
            for key, message in json.loads(file.read_text("utf-8")).items()
        }

    def __call__(self, key: str, *, whole: bool = True, **given: str) -> re.Pattern[str]:
        """Return a pattern for the text of a key with the given arguments, and any others.

        With `whole`, the pattern matches nothing before or after the text.
        """
        text = _pattern(self._messages[key], given)
        return re.compile(rf"^\s*{text}\s*$" if whole else text)


def _pattern(message: str, given: Mapping[str, str]) -> str:
    """Return a regular expression for a message with `{name}` or `{count, plural, other {…}}`."""
    found, end = list[str](), 0
    for start, stop in _braces(message):
        found.append(re.escape(message[end:start]).replace(r"\#", ".*"))
        name, *options = message[start + 1 : stop].split(",", 2)
        if len(options) == 2:
            text = options[1]
            found.append(
                "(?:" + "|".join(_pattern(text[a + 1 : b], given) for a, b in _braces(text)) + ")"
            )
        else:
            found.append(re.escape(given[name]) if name in given else ".*")
        end = stop + 1
    return "".join([*found, re.escape(message[end:]).replace(r"\#", ".*")])


def _braces(message: str) -> Iterator[tuple[int, int]]:
    """Yield the places of each outer pair of braces."""
    depth = start = 0
    for at, letter in enumerate(message):
        if letter == "{":
            start = at if depth == 0 else start
            depth += 1
        elif letter == "}":
            depth -= 1
            if depth == 0:
                yield start, at
