"""Words and line numbers as the readable reports write them."""

from __future__ import annotations

from collections.abc import Iterable

_NAMED = {
    "null_text": "missing value written as text",
    "html": "HTML",
    "broken_json": "broken JSON",
    "invalid_json": "line that is not JSON",
    "wrong_language": "row in a rare language",
    "same_form": "same form, different facts",
    "iban": "IBAN",
    "ip_address": "IP address",
}


def words(code: str) -> str:
    """Return a code of a finding or of a kind of personal data in words."""
    return _NAMED.get(code, code.replace("_", " "))


def runs(lines: Iterable[int]) -> list[tuple[int, int]]:
    """Return the first and last line of each run of consecutive lines."""
    found: list[tuple[int, int]] = []
    for line in sorted(set(lines)):
        if found and line == found[-1][1] + 1:
            found[-1] = (found[-1][0], line)
        else:
            found.append((line, line))
    return found


def run_text(first: int, last: int) -> str:
    """Return a run of lines as a range."""
    return f"{first}" if first == last else f"{first}–{last}"
