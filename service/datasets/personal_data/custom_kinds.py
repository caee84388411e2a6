"""Search for what the recognizers of a project describe.

Patterns run on RE2, whose time grows linearly with the text: neither a pattern nor a text can make
it hang.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from service.datasets.personal_data.characters import to_ascii
from service.datasets.personal_data.literals import is_whole
from service.datasets.personal_data.recognizer import Recognizer

# Functions import RE2, because most projects define no recognizers.
_PATTERN_BYTES: Final = 8 << 20
_TERMS_BYTES: Final = 256 << 20  # 10,000 terms of 20 characters take about a tenth of it


_REASONS: Final = (
    ("missing )", "a '(' is missing its ')'"),
    ("unexpected )", "a ')' is missing its '('"),
    ("missing ]", "a '[' is missing its ']'"),
    ("escape", "RE2 does not know an escape in it, such as '\\1'"),
    ("repetition", "a repetition such as '*' or '{2}' has nothing to repeat, or is too large"),
    ("perl operator", "RE2 has no look-arounds"),
    ("class range", "a range in '[]' ends before it begins"),
    ("too large", "it is too large"),
)
"""Parts of RE2's messages, and what they mean."""


class InvalidPattern(ValueError):
    """RE2 does not accept a pattern. The message says why."""


class CustomKinds:
    """The recognizers of a project, ready to search texts."""

    def __init__(self, recognizers: Sequence[Recognizer] = ()) -> None:
        self._patterns = [(r.name, compiled(r.pattern)) for r in recognizers if r.pattern]
        self._terms = [(r.name, _any_of(r.terms)) for r in recognizers if r.terms]

    def __bool__(self) -> bool:
        return bool(self._patterns or self._terms)

    def find(self, plain: str) -> Iterator[tuple[str, int, int]]:
        """Yield the name and the position of each finding in a text (see `to_ascii`)."""
        for name, pattern in self._patterns:
            for match in pattern.finditer(plain):
                if match.end() > match.start():
                    yield name, *match.span()
        for name, terms in self._terms:
            for match in terms.finditer(plain):
                if is_whole(plain, *match.span()):
                    yield name, *match.span()


def compiled(pattern: str) -> Any:
    """Compile a pattern. Raises InvalidPattern, also for one that matches an empty text."""
    import re2

    try:
        expression = re2.compile(pattern, re2_options(_PATTERN_BYTES))
    except re2.error as e:
        raise InvalidPattern(_reason(e)) from None
    if expression.search("") is not None:
        raise InvalidPattern("it matches an empty text")
    return expression


def _any_of(terms: Sequence[str]) -> Any:
    import re2

    options = re2_options(_TERMS_BYTES)
    options.case_sensitive = False
    options.longest_match = True
    return re2.compile("|".join(re2.escape(to_ascii(term)) for term in terms), options)


def re2_options(most_bytes: int) -> Any:
    """Return RE2's options with a limit on the memory of a pattern's automaton."""
    import re2

    options = re2.Options()
    options.max_mem = most_bytes
    options.log_errors = False
    return options


def _reason(error: Exception) -> str:
    said = str(error.args[0] if error.args else "")
    return next((own for words, own in _REASONS if words in said), "RE2 does not know this syntax")
