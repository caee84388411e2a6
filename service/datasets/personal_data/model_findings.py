"""Names and addresses that a model of the operator finds, by the text that they are in.

`service.personal_data_model` writes them to a file before a task starts: a line for each text with
findings, `[key, [[kind, start, end], …]]`. Here, they are findings like those of the rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

_PERSON: Final = (
    "per person privateperson personname name fullname firstname givenname middlename lastname "
    "surname familyname"
)
_ADDRESS: Final = "address privateaddress postaladdress streetaddress street"
_KINDS: Final = dict.fromkeys(_PERSON.split(), "person_name") | dict.fromkeys(
    _ADDRESS.split(), "address"
)
_PREFIX: Final = re.compile(r"^[BIESLU][-_]", re.IGNORECASE)
_MIN_LETTERS: Final = 2
# Letters and their marks in scripts that write spaces between words. Korean particles follow names.
_IN_WORDS: Final = re.compile(
    r"[^\W\d_\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"
    r"|[\u0900-\u0dff]"
)

Tokens = Mapping[int, tuple[int, str | None]]
"""The start, the end and the kind of each token of a text."""
Span = tuple[str, int, int]
"""A finding: its kind, and its position in the text."""


def kind_of_label(label: str) -> str | None:
    """Return the kind that a label of a model means, such as `B-PER`; None for other labels.

    Places are no addresses, and numbers are judged by rules.
    """
    return _KINDS.get(re.sub(r"[\W_]", "", _PREFIX.sub("", label)).casefold())


def decode(text: str, tokens: Tokens) -> Iterator[Span]:
    """Yield the values in a text: tokens of a kind, with at most spaces between them.

    Beginnings and ends in labels do not count, as models often contradict themselves there.
    """
    spans: list[Span] = []
    for start, (end, kind) in sorted(tokens.items()):
        value = text[start:end]
        start += len(value) - len(value.lstrip())
        end = start + len(value.strip())
        if kind is None or start >= end:
            continue
        before, first, last = spans[-1] if spans else ("", 0, 0)
        if kind == before and not text[last:start].strip(" \u3000"):
            spans[-1] = (kind, first, max(end, last))
        else:
            spans.append((kind, start, end))
    for kind, start, end in spans:
        while start and _IN_WORDS.match(text, start - 1) and _IN_WORDS.match(text, start):
            start -= 1
        while _IN_WORDS.match(text, end - 1) and _IN_WORDS.match(text, end):
            end += 1
        if sum(map(str.isalpha, text[start:end])) >= _MIN_LETTERS:
            yield kind, start, end


def key_of(text: str) -> int:
    """Return the key of a text: a hash with 64 bits."""
    import xxhash  # which the API does not have

    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"))


def read_findings(path: Path) -> dict[int, list[Span]]:
    """Read the findings in a file, by the key of their text."""
    decoder = msgspec.json.Decoder(tuple[int, list[Span]])
    with path.open("rb") as lines:
        return dict(map(decoder.decode, lines))
