"""Finds values that are confirmed to be personal data, in any position and spelling.

The word before a number or the language of its text confirms it. Where the number is repeated, both
can be missing. Therefore every confirmed value is remembered and searched for in all texts: with or
without spaces, hyphens, or other marks between its characters, in digits and letters of any width
or script, and in any case.
"""

from __future__ import annotations

import re
import string
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from service.datasets.personal_data.characters import ASCII, decode_hidden, to_ascii
from service.datasets.personal_data.detect import Found, spellings, without_overlap
from service.datasets.personal_data.emails_and_ips import hidden_emails, may_hide_email, plain_email
from service.datasets.personal_data.kinds import KINDS, SPELLED, Literals
from service.datasets.personal_data.names.japanese import count_names, find_name_words

# Converts to ASCII and uppercase. Each character maps to exactly one character.
_FOLD = (
    ASCII
    | dict.fromkeys(map(ord, "ーｰ"), "-")
    | {ord(c): c.upper() for c in string.ascii_lowercase}
)
_FOLD |= {0xFF41 + i: c for i, c in enumerate(string.ascii_uppercase)}
_DIGIT = re.compile(r"[0-9]")
_MARKS = r"[\s\-().,/·・_\u00ad\u200b-\u200d\u2060\ufeff]"
_NUMBER_LIKE = re.compile(rf"[0-9A-Z](?:{_MARKS}{{0,3}}[0-9A-Z])*")
_NAME_LIKE = re.compile(r"[々-〇ぁ-ヿ㐀-鿿](?:[ \u3000]?[々-〇ぁ-ヿ㐀-鿿])*")
_AT = re.compile("@|%40")
_LOCAL = re.compile(r"[A-Z0-9._%+-]+\Z")
_DOMAIN = re.compile(r"[A-Z0-9-]{1,63}(?:\.[A-Z0-9-]{1,63}){1,8}")
_LOCAL_CHARS = 64


class Value(NamedTuple):
    """A confirmed value: its kind, and one spelling that represents all of them."""

    kind: str
    plain: str


class KnownFound(NamedTuple):
    """A position in a text (`text[start:end]`) that holds a known value."""

    value: Value
    start: int
    end: int


class KnownValues:
    """Remembers confirmed values, and finds them in texts. A value keeps its first kind."""

    def __init__(self) -> None:
        self._numbers = _Spelled()
        self._names = _Spelled()
        self._lone_names = _Spelled()
        self._literals: Literals[Value] = Literals()
        self._emails: dict[str, Value] = {}
        self._least_digits = 99
        self.holds_names = False

    def __bool__(self) -> bool:
        spelled = self._numbers or self._names or self._lone_names
        return bool(spelled or self._emails or self._literals)

    def learn(self, found: Found, text: str, *languages: str) -> None:
        """Remember the value at a finding's position in `text`."""
        written = text[found.start : found.end]
        self.holds_names |= found.kind == "person_name"
        if found.kind == "email":
            plain = plain_email(to_ascii(written)).translate(_FOLD)
            self._emails.setdefault(plain, Value("email", plain))
        elif found.kind not in KINDS:
            self._literals.add(written, Value(found.kind, to_ascii(written).casefold()))
        elif found.kind not in SPELLED or (
            found.kind == "person_name" and not _is_japanese(written, languages)
        ):
            plain = " ".join(written.split())
            self._literals.add(written, Value(found.kind, plain))
        elif found.kind == "person_name":
            plain = "".join(written.split())
            names = self._names if count_names(written) > 1 else self._lone_names
            names.add({plain}, Value("person_name", plain))
        else:
            forms = spellings(found.kind, written, *languages)
            self._numbers.add(forms, Value(found.kind, min(forms)))
            digits = min(len(_DIGIT.findall(form)) for form in forms)
            self._least_digits = min(self._least_digits, digits)

    def find(self, text: str) -> list[KnownFound]:
        """Find known values in a text, in order and without overlaps."""
        found = self._find(text)
        for hidden in decode_hidden(text):
            found += (
                KnownFound(value, *hidden.locate(start, end))
                for value, start, end in self._find(hidden.text)
            )
        return keep_longest(found)

    def _find(self, text: str) -> list[KnownFound]:
        found: list[KnownFound] = []
        folded = text.translate(_FOLD) if self._numbers or self._emails else text
        if self._numbers and len(_DIGIT.findall(folded)) >= self._least_digits:
            found += _widen(folded, self._numbers.find(folded, _NUMBER_LIKE))
        if self._emails:
            found += self._find_emails(folded)
        if self._literals:
            found += [KnownFound(*one) for one in self._literals.find(text)]
        if not text.isascii():
            found += self._names.find(text, _NAME_LIKE)
            found += self._find_lone_names(text)
        places = {(one.start, one.end): one for one in reversed(found)}
        kept = without_overlap(Found("", start, end) for start, end in places)
        return [places[one.start, one.end] for one in kept]

    def _find_emails(self, text: str) -> Iterator[KnownFound]:
        """Find known addresses around each @, also inside longer ones."""
        if may_hide_email(text):
            for start, end in hidden_emails(text):
                value = self._emails.get(plain_email(text[start:end]).upper())
                if value is not None:
                    yield KnownFound(value, start, end)
        for at in _AT.finditer(text):
            local = _LOCAL.search(text, max(at.start() - _LOCAL_CHARS, 0), at.start())
            domain = _DOMAIN.match(text, at.end())
            if local is None or domain is None:
                continue
            found = self._email(local.group(), domain.group())
            if found is not None:
                value, before, after = found
                yield KnownFound(value, at.start() - before, at.end() + after)

    def _email(self, local: str, domain: str) -> tuple[Value, int, int] | None:
        """Return the known address, and its number of characters before and after the @ sign."""
        starts = [i for i in range(len(local)) if i == 0 or not local[i - 1].isalnum()]
        ends = [i for i in range(len(domain), 0, -1) if domain[i : i + 1] in ("", ".", "-")]
        for start in starts:
            for end in ends:
                value = self._emails.get(f"{local[start:]}@{domain[:end]}")
                if value is not None:
                    return value, len(local) - start, end
        return None

    def _find_lone_names(self, text: str) -> list[KnownFound]:
        """Find family names, confirmed earlier by a title, where they are used as names.

        Family names are also towns, shops, and parts of words (小林, 千葉), so only words
        that the dictionary marks as a name are accepted.
        """
        found = self._lone_names.find(text, _NAME_LIKE)
        words = set(find_name_words(text)) if found else set()
        return [one for one in found if (one.start, one.end) in words]


def keep_longest(found: Sequence[KnownFound]) -> list[KnownFound]:
    """Sort findings by position. If some overlap, keep the longest, or the first of the longest."""
    kept: list[KnownFound] = []
    for one in sorted(found, key=lambda one: one.start - one.end):
        at = bisect_right(kept, one.start, key=lambda other: other.start)
        before, after = kept[at - 1 : at], kept[at : at + 1]
        if all(other.end <= one.start for other in before) and all(
            one.end <= other.start for other in after
        ):
            kept.insert(at, one)
    return kept


class _Spelled:
    """Finds values in texts that may have marks between their characters."""

    def __init__(self) -> None:
        self._values: dict[str, Value] = {}
        self._lengths: dict[str, list[int]] = {}  # first character -> lengths, longest first

    def __bool__(self) -> bool:
        return bool(self._values)

    def add(self, forms: set[str], value: Value) -> None:
        """Add a value. If another spelling of it is known, the forms belong to that value."""
        others = [self._values[form] for form in sorted(forms) if form in self._values]
        known = others[0] if others else value
        if len(set(others)) > 1:  # two values turn out to be the same
            self._values = {f: known if v in others else v for f, v in self._values.items()}
        for form in forms:
            self._values.setdefault(form, known)
            lengths = self._lengths.setdefault(form[0], [])
            if len(form) not in lengths:
                lengths.append(len(form))
                lengths.sort(reverse=True)

    def find(self, text: str, pattern: re.Pattern[str]) -> list[KnownFound]:
        """Find the values in the parts of a text that match `pattern`."""
        if not self._values or not any(first in text for first in self._lengths):
            return []
        parts = pattern.finditer(text)
        return [found for part in parts for found in self._in_part(text, *part.span())]

    def _in_part(self, text: str, start: int, end: int) -> Iterator[KnownFound]:
        places = [at for at in range(start, end) if text[at].isalnum()]
        bare = "".join([text[at] for at in places])
        index = 0
        while index < len(bare):
            for length in self._lengths.get(bare[index], ()):
                value = self._values.get(bare[index : index + length])
                if value is None or index + length > len(bare):
                    continue
                first, last = places[index], places[index + length - 1]
                if _stands_alone(text, first, last):
                    yield KnownFound(value, first, last + 1)
                    index += length - 1
                    break
            index += 1


def _is_japanese(name: str, languages: tuple[str, ...]) -> bool:
    return "ja" in languages and _NAME_LIKE.fullmatch(name) is not None


def _stands_alone(text: str, first: int, last: int) -> bool:
    """Return whether the number or code at `first` to `last` is not part of a longer one."""
    before, after = text[first - 1 : first], text[last + 1 : last + 2]
    return not (_continues(text[first], before) or _continues(text[last], after))


def _continues(edge: str, beyond: str) -> bool:
    if not edge.isascii() or not beyond.isascii():
        return False
    return beyond.isdigit() if edge.isdigit() else beyond.isalnum()


def _widen(text: str, found: list[KnownFound]) -> Iterator[KnownFound]:
    """Extend findings to the plus sign of a country code, and to a matching parenthesis."""
    for value, start, end in found:
        inside = text[start:end]
        if inside.count(")") > inside.count("(") and text[start - 1 : start] == "(":
            start -= 1
        if inside.count("(") > inside.count(")") and text[end : end + 1] == ")":
            end += 1
        if value.kind == "phone" and text[start - 1 : start] == "+":
            start -= 1
        yield KnownFound(value, start, end)
