"""Replacement of personal data with labels, one per kind or one per value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import islice

from service.datasets.cleaning.options import RedactMode
from service.datasets.personal_data.custom_kinds import CustomKinds
from service.datasets.personal_data.detect import Found, find_all
from service.datasets.personal_data.hidden import readings, revealed
from service.datasets.personal_data.known_values import KnownFound, KnownValues, Value, longest
from service.datasets.personal_data.name_parts import NamePart, NameParts, is_part

_ROUNDS = 3
_MAX_NAMES = 500  # of a row, whose parts are searched for


class Redactor:
    """Replaces every value that is confirmed to be personal data anywhere in the file.

    All texts must be learned before the first one is redacted, because a value may be
    confirmed in a later row than the one where it first appears.

    `mask` writes [EMAIL]. `pseudonym` writes [EMAIL_1], with one number per value throughout
    the file, so that statements about the same person remain linked. Numbers follow the order
    of first appearance. They contain nothing derived from the value, not even a digest that
    could be reversed by guessing.

    `possible` also replaces numbers that are only possibly personal data, and `custom` finds what
    the recognizers of a project describe.
    """

    def __init__(
        self, mode: RedactMode, *, possible: bool = False, custom: CustomKinds | None = None
    ) -> None:
        self.mode = mode
        self.custom = custom
        self._possible = possible
        self._known = KnownValues()
        self._names: dict[str, Value] = {}
        self._parts: NameParts | None = None
        self._numbers: dict[Value, int] = {}
        self._used: Counter[str] = Counter()

    def learn(self, text: str, *languages: str, before: str = "") -> None:
        """Remember the personal data found in the text. `before` is the message before it.

        The search is repeated without the values already found, because they can hide
        adjacent values.
        """
        for reading in readings(text):
            left = reading
            for _ in range(_ROUNDS):
                certain, possible = find_all(left, *languages, before=before, custom=self.custom)
                places = sorted([*certain, *possible]) if self._possible else certain
                for found in places:
                    self._known.learn(found, left, *languages)
                if not places:
                    break
                left = _without(left, places)

    def begin_row(self, texts: Sequence[str]) -> None:
        """Remember the full names in a row: until the next row, their parts are names, too."""
        self._parts = None
        if not self._known.holds_names:
            return
        found = (
            (one.value.plain, one.value)
            for text in texts
            for one in self._known.find(text)
            if one.value.kind == "person_name"
        )
        values = dict(islice(found, _MAX_NAMES))
        whole = {
            name: next((other for other in values if is_part(name, other)), name) for name in values
        }
        self._names = {name: values[other] for name, other in whole.items()}
        self._parts = NameParts([*dict.fromkeys(whole.values())], texts) if values else None

    def redact(self, text: str, counts: Counter[str]) -> str:
        """Return the text with labels, and add the replacements by kind to `counts`."""
        return self._replace(text, "[{}]", counts)

    def redact_name(self, text: str, counts: Counter[str]) -> str:
        """Redact the name of a speaker or function, where brackets are not allowed."""
        return self._replace(text, "{}", counts)

    def redact_title(self, title: str) -> str:
        """Return a title that may contain the name of a file, such as `Ann_Lee.jsonl`."""
        spaced = title.replace("_", " ")
        self.learn(spaced)
        self.begin_row([spaced])
        masked = self.redact(spaced, Counter())
        return title if masked == spaced else masked

    def _replace(self, text: str, form: str, counts: Counter[str]) -> str:
        if not self._known:
            return text
        parts: list[str] = []
        end = 0
        for value, start, stop in self._find(text):
            parts += (text[end:start], form.format(self._label(value)))
            end = stop
            counts[value.kind] += 1
        return "".join((*parts, text[end:])) if parts else text

    def _find(self, text: str) -> list[KnownFound]:
        """Find known values, and parts of the names in the row, each as the full name."""
        found = self._known.find(text)
        if self._parts is None:
            return found
        parts = self._parts.find(text)
        for hidden in revealed(text):
            of_reading = self._parts.find(hidden.text)
            parts += [NamePart(n, *hidden.place(start, end)) for n, start, end in of_reading]
        found += (KnownFound(self._names[name], start, end) for name, start, end in parts)
        return [
            one._replace(value=self._names.get(one.value.plain, one.value))
            if one.value.kind == "person_name"
            else one
            for one in longest(found)
        ]

    def _label(self, value: Value) -> str:
        label = value.kind.upper()
        if self.mode == "mask":
            return label
        if value not in self._numbers:
            self._used[value.kind] += 1
            self._numbers[value] = self._used[value.kind]
        return f"{label}_{self._numbers[value]}"


def _without(text: str, places: list[Found]) -> str:
    parts: list[str] = []
    end = 0
    for found in places:
        parts += (text[end : found.start], f"[{found.kind}]")
        end = found.end
    return "".join((*parts, text[end:]))
