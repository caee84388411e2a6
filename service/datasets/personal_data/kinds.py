"""Lists the kinds of personal data, and searches for kinds that a project defines.

Patterns of projects run on RE2, whose time grows linearly with the text: neither a pattern nor a
text can make it hang.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Generic, Literal, TypeVar

import msgspec

from service.datasets.personal_data.characters import to_ascii
from service.datasets.personal_data.model_findings import Value, read_findings

UNKNOWN: Final = "und"
"""The language of a text that is too short to tell."""

RedactMode = Literal["keep", "mask", "pseudonym"]

POSSIBLE: Final = "possible_"
"""Prefix of the names under which possible findings of a kind are counted."""

SPELLED: Final = frozenset(
    {"email", "iban", "passport", "payment_card", "person_name", "phone"}
    | {"cn_resident_id", "hk_id", "id_nik", "in_aadhaar", "in_pan", "jp_my_number", "kr_rrn"}
    | {"my_nric", "ph_philsys", "ph_tin", "sg_nric", "th_national_id", "tw_national_id"}
    | {"vn_cccd"}
    | {"bank_account", "drivers_license", "id_npwp", "in_gstin", "license_plate", "mac_address"}
    | {"ng_bvn", "ng_nin", "us_ssn"}
)
"""Kinds whose values have several spellings, such as with and without hyphens."""

TURN_END: Final = "\x1e\n"
"""Separates a message from the message before it."""

KINDS: Final = SPELLED | {
    "address",
    "birth_date",
    "coordinates",
    "crypto_address",
    "ip_address",
    "password",
    "secret",
}
"""All built-in kinds. Any other kind belongs to a recognizer of a project."""


class Recognizer(msgspec.Struct, frozen=True):
    """A kind of personal data of one project, such as its customer numbers.

    `pattern` is a regular expression in RE2's syntax. `terms` are words and phrases, found in any
    case and width.
    """

    name: str
    pattern: str | None = None
    terms: tuple[str, ...] = ()


# Without room for a single state, the automaton silently finds nothing.
_GUARDS_BYTES: Final = 64 << 20


class Guards:
    """Patterns in RE2's syntax that are searched for at once, by number."""

    def __init__(self, *patterns: str) -> None:
        self.patterns = patterns

    @cached_property
    def _set(self) -> Any:
        import re2

        searched = re2.Set.SearchSet(re2_options(_GUARDS_BYTES))
        for pattern in self.patterns:
            searched.Add(pattern)
        searched.Compile()
        return searched

    def search(self, text: str) -> Sequence[int]:
        """Return the numbers of the patterns that are found in a text."""
        return self._set.Match(text.encode("utf-8", "replace")) or ()


def guard_of(pattern: str) -> str:
    """Return a pattern in RE2's syntax that is found wherever a pattern of `re` is.

    It lacks the look-arounds, except for a look-ahead at the end of a top-level alternative.
    """
    guard, at, depth = "", 0, 0
    while at < len(pattern):
        part = _part(pattern, at)
        end = at + len(part)
        if part in _LOOK_AROUNDS:
            inside = 1
            while inside:
                other = _part(pattern, end)
                inside += other.startswith("(") - (other == ")")
                end += len(other)
            if part == _LOOK_AROUNDS[0] and not depth and pattern[end : end + 1] in ("", "|"):
                ahead = guard_of(pattern[at + len(part) : end - 1])
                guard += f"(?:{ahead})".replace(r"\b", "")  # which RE2 knows in ASCII only
        else:
            depth += part.startswith("(") - (part == ")")
            guard += part
        at = end
    return guard


def _part(pattern: str, at: int) -> str:
    """Return a character, an escape, a set, or an opening parenthesis of a pattern."""
    return _PART.match(pattern, at)[0]  # type: ignore[index]


_PART: Final = re.compile(r"\\.|\[\^?\]?(?:[^\]\\]|\\.)*\]|\((?:\?<?[=!]|\?[a-z-]*:)?|.", re.DOTALL)
_LOOK_AROUNDS: Final = ("(?=", "(?!", "(?<=", "(?<!")


class GuardedPattern:
    """A pattern, and a guard: a cheaper pattern that is found in every text with a match.

    The pattern is compiled on first use, because that takes milliseconds.
    """

    def __init__(self, guard: str, *alternatives: str, flags: int = 0) -> None:
        self.guard = Guards(guard)
        self._alternatives = alternatives
        self._flags = flags

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile("|".join(f"(?:{one})" for one in self._alternatives), self._flags)

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        """Yield the matches in a text."""
        if self.guard.search(text):
            yield from self._pattern.finditer(text)


PatternsByLanguage = Mapping[str, tuple[GuardedPattern, ...]]


def patterns_of(patterns: PatternsByLanguage, languages: Iterable[str]) -> Iterable[GuardedPattern]:
    """Return the patterns of languages, each once."""
    return dict.fromkeys(one for code in languages for one in patterns.get(code, ()))


def guards_of(patterns: PatternsByLanguage, languages: Iterable[str]) -> str:
    """Return the guards of languages as one pattern. It may be empty."""
    return "|".join(one.guard.patterns[0] for one in patterns_of(patterns, languages))


_START = 2  # first characters by which strings are indexed

T = TypeVar("T")


class Literals(Generic[T]):
    """Finds strings, each with a value. A string of letters is found only as a whole word."""

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
    """Return whether `text[start:end]` is not part of a longer word in a script with spaces."""
    before, after = text[start - 1 : start], text[end : end + 1]
    return not (_joins(before, text[start]) or _joins(text[end - 1], after))


def _joins(left: str, right: str) -> bool:
    return left.isascii() and right.isascii() and left.isalnum() and right.isalnum()


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
"""Parts of RE2's messages, and our messages."""


class InvalidPattern(ValueError):
    """RE2 does not accept a pattern. The message has the reason."""


class CustomKinds:
    """The recognizers of a project, ready to search texts, and the findings of a model."""

    def __init__(self, recognizers: Sequence[Recognizer] = (), found: Path | None = None) -> None:
        self.by_model: Mapping[int, list[Value]] = read_findings(found) if found else {}
        self._patterns = [(r.name, compile_pattern(r.pattern)) for r in recognizers if r.pattern]
        self._terms = [(r.name, _any_of(r.terms)) for r in recognizers if r.terms]

    def __bool__(self) -> bool:
        return bool(self._patterns or self._terms or self.by_model)

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


def compile_pattern(pattern: str) -> Any:
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
    message = str(error.args[0] if error.args else "")
    reasons = (reason for part, reason in _REASONS if part in message)
    return next(reasons, "RE2 does not know this syntax")
