"""What a project counts as personal data beyond the kinds that the service detects."""

from __future__ import annotations

import msgspec


class Recognizer(msgspec.Struct, frozen=True):
    """A kind of personal data of one project, such as its customer numbers.

    `pattern` is a regular expression in RE2's syntax. `terms` are words and phrases, found in
    either case and any width.
    """

    name: str
    pattern: str | None = None
    terms: tuple[str, ...] = ()
