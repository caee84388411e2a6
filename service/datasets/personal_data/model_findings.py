"""Names and addresses that a model of the operator finds, by the text that they are in.

`service.personal_data_model` writes them to a file before a task starts: a line for each text with
findings, `[key, [[kind, start, end], …]]`. Here, they are findings like those of the rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

_KINDS: Final = {
    "person_name": "per person privateperson personname name fullname firstname givenname "
    "middlename lastname surname familyname",
    "address": "address privateaddress postaladdress streetaddress street",
}
_LINE: Final = re.compile(r"[^\s,;:](?:[^\n]*[^\s,;:])?")
# Letters and their marks in scripts that write spaces between words. Korean particles follow names.
_IN_WORDS: Final = re.compile(
    r"[^\W\d_\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"
    r"|[\u0900-\u0dff]"
)

Value = tuple[str, int, int]  # kind, start, end


def kind_of_label(label: str) -> str | None:
    """Return the kind that a label such as `B-PER` means; None for those that rules judge."""
    bare = re.sub(r"^[BIESLU][-_]|[\W_]", "", label).casefold()
    return next((kind for kind, labels in _KINDS.items() if bare in labels.split()), None)


def values_in(text: str, found: Iterable[Mapping[str, Any]]) -> list[Value]:
    """Return the values that a pipeline of transformers found in a text: whole words, in a line."""
    values: list[Value] = []
    for group in found:
        for line in _LINE.finditer(text, group["start"], group["end"]):
            start, end = line.span()
            while start and _IN_WORDS.match(text, start - 1) and _IN_WORDS.match(text, start):
                start -= 1
            while _IN_WORDS.match(text, end - 1) and _IN_WORDS.match(text, end):
                end += 1
            kind = group["entity_group"]
            if values and kind == values[-1][0] and not text[values[-1][2] : start].strip(" "):
                start = values.pop()[1]
            values.append((kind, start, end))
    return [one for one in values if sum(map(str.isalpha, text[one[1] : one[2]])) > 1]


def key_of(text: str) -> int:
    """Return the key of a text: a hash with 64 bits."""
    import xxhash  # which the API does not have

    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"))


def read_findings(path: Path) -> dict[int, list[Value]]:
    """Read the findings in a file, by the key of their text."""
    decoder = msgspec.json.Decoder(tuple[int, list[Value]])
    with path.open("rb") as lines:
        return dict(map(decoder.decode, lines))
