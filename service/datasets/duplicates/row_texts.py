"""Reading of single rows of a canonical file, for comparisons."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, BinaryIO, NamedTuple

import msgspec
import numpy as np

from service.datasets.duplicates.compare import (
    Comparison,
    Wording,
    are_similar,
    compare_all,
    parse_text,
)
from service.datasets.duplicates.wording import is_open
from service.datasets.rows.conversation import Conversation, split_row

_decode = msgspec.json.Decoder(dict[str, Any]).decode
Offsets = np.ndarray[Any, np.dtype[np.int64]]


class RowText(NamedTuple):
    """The turns of a row, except the system prompt.

    `last` is the index of the last turn that is trained on, or the number of turns.
    """

    roles: tuple[str, ...]
    turns: tuple[Wording, ...]
    last: int

    @property
    def question(self) -> Wording:
        """The last question, or an empty text."""
        asked = [
            turn
            for role, turn in zip(self.roles[: self.last], self.turns, strict=False)
            if role == "user"
        ]
        return asked[-1] if asked else parse_text("")

    @property
    def before_answer(self) -> RowText:
        """The turns before the last one that is trained on."""
        return self._replace(roles=self.roles[: self.last], turns=self.turns[: self.last])

    @property
    def asks_one_thing(self) -> bool:
        """Whether there is a question, and it has one right answer, unlike the wish for a poem."""
        return bool(self.question.said) and not is_open(self.question.said)

    @property
    def answer(self) -> Wording:
        """The last answer that is trained on, or an empty text."""
        return self.turns[self.last] if self.last < len(self.turns) else parse_text("")

    def is_like(self, other: RowText, *, threshold: float) -> bool:
        """Whether `compare` returns a likeness. This does not look for facts, and is faster."""
        return self.roles == other.roles and are_similar(
            self.turns, other.turns, threshold=threshold
        )

    def compare(self, other: RowText, *, threshold: float) -> Comparison | None:
        """Compare two rows turn by turn. Returns None if the roles or any turns are not alike."""
        if self.roles != other.roles:
            return None
        return compare_all(self.turns, other.turns, threshold=threshold)


class RowTexts:
    """Reads rows by number from an open canonical file.

    `offsets` has the start of each row, and the end of the file.
    """

    def __init__(self, file: BinaryIO, offsets: Offsets) -> None:
        self._file = file
        self._offsets = offsets
        self._read = lru_cache(maxsize=8192)(self._row)

    def conversation(self, row: int) -> Conversation:
        """Return a row."""
        start, end = int(self._offsets[row]), int(self._offsets[row + 1])
        self._file.seek(start)
        return split_row(_decode(self._file.read(end - start)))

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, row: int) -> RowText:
        return self._read(row)

    def _row(self, row: int) -> RowText:
        talk = self.conversation(row)
        said = [(at, turn) for at, turn in enumerate(talk.turns) if turn.role != "system"]
        answer = talk.last_answer
        last = [place for place, (at, _) in enumerate(said) if at == answer]
        return RowText(
            tuple(turn.role for _, turn in said),
            tuple(parse_text(turn.text) for _, turn in said),
            last[0] if last else len(said),
        )
