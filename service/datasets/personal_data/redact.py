"""Personal data replaced by labels: one for each kind, or one for each value."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from service.datasets.personal_data.detect import Found, find_personal_data
from service.datasets.personal_data.known_values import KnownValues, Value

RedactMode = Literal["keep", "mask", "pseudonym"]


_ROUNDS = 3


class Redactor:
    """Replaces every value that was proven to be personal data anywhere in the file.

    All texts must be learned before the first is redacted: what proves a value may stand in
    a later row than the value itself.

    `mask` writes [EMAIL]. `pseudonym` writes [EMAIL_1], the same for the same value all
    through the file and another for another, so that what is said of a person stays
    together. Numbers are given in the order of first appearance: nothing of the value, not
    even a digest that could be guessed at, is in them.
    """

    def __init__(self, mode: RedactMode) -> None:
        self.mode = mode
        self._known = KnownValues()
        self._numbers: dict[Value, int] = {}
        self._used: Counter[str] = Counter()

    def learn(self, text: str, *languages: str) -> None:
        """Remember the personal data that is found in the text.

        What stands beside a value may be seen only once that is out of the way.
        """
        for _ in range(_ROUNDS):
            places = find_personal_data(text, *languages)
            for found in places:
                self._known.learn(found, text, *languages)
            if not places:
                break
            text = _without(text, places)

    def redact(self, text: str, counts: Counter[str]) -> str:
        """Return the text with labels in it; `counts` is raised by kind."""
        return self._replace(text, "[{}]", counts)

    def redact_name(self, text: str, counts: Counter[str]) -> str:
        """Do the same for a name of a speaker or a function, where brackets may not stand."""
        return self._replace(text, "{}", counts)

    def _replace(self, text: str, form: str, counts: Counter[str]) -> str:
        if not self._known:
            return text
        parts: list[str] = []
        end = 0
        for value, start, stop in self._known.find(text):
            parts += (text[end:start], form.format(self._label(value)))
            end = stop
            counts[value.kind] += 1
        return "".join((*parts, text[end:])) if parts else text

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
