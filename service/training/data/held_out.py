"""Chooses the rows that a run holds out for validation and test: a function of rows and seed."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Final

from service.training.contract.methods import MethodRows
from service.training.contract.spec import MixedRows
from service.training.data.layout import row_weights
from service.training.data.rows import (
    Chat,
    LabeledRow,
    Message,
    Preference,
    PromptRow,
    Text,
    TrainingRow,
    read_chats,
    read_labeled,
    read_preferences,
    read_prompts,
    read_texts,
)


def prompt_key(row: TrainingRow) -> bytes:
    """Return a key that is equal for rows with the same prompt.

    The prompt consists of the tools and all messages before the first answer. A text has none, so
    the key is that of the text. A row to which answers are sampled is a prompt as a whole.
    """
    match row:
        case Text():
            return hashlib.sha256(row.text.encode("utf-8", "surrogatepass")).digest()
        case PromptRow():
            return _key(row.chat, row.chat.messages)
        case Preference():
            chat = row.better
        case LabeledRow():
            chat = row.chat
        case _:
            chat = row
    return _key(chat, takewhile(lambda message: message["role"] != "assistant", chat.messages))


def _key(chat: Chat, prompt: Iterable[Message]) -> bytes:
    return hashlib.sha256(json.dumps([chat.tools, list(prompt)], sort_keys=True).encode()).digest()


def choose_validation_rows(
    keys: Sequence[bytes], share: float, seed: int, weights: Sequence[float] = ()
) -> frozenset[int]:
    """Return the indices of about `share` of the rows. Rows that share a key stay together.

    With the `weights` of the rows, as in a mixture of files, a row of which an epoch draws only a
    part counts and is chosen accordingly less often. Empty if no split is possible because all rows
    share one key.
    """
    groups: dict[bytes, list[int]] = {}
    for row, key in enumerate(keys):
        groups.setdefault(key, []).append(row)
    if len(groups) < 2:
        return frozenset()
    # A row that is drawn several times per epoch is still one row.
    chances = [min(weight, 1.0) for weight in weights]
    target = max(1, round(share * (sum(chances) if chances else len(keys))))

    def draw_order(key: bytes) -> tuple[float, bytes]:
        digest = hashlib.sha256(b"%d/%s" % (seed, key)).digest()
        if not chances:
            return 0.0, digest
        return _weighted_order(digest, max(chances[row] for row in groups[key])), digest

    order = sorted(groups, key=draw_order)
    chosen: list[int] = []
    for key in order:
        if len(chosen) + len(groups[key]) <= target:
            chosen += groups[key]
    if not chosen:  # every group is larger than the requested share
        chosen = min((groups[key] for key in order), key=len)
    return frozenset(chosen)


def _weighted_order(digest: bytes, chance: float) -> float:
    """Return a group's position in a draw without replacement (Efraimidis and Spirakis, 2006)."""
    uniform = int.from_bytes(digest[:6]) / 2**48
    return -math.log1p(-uniform) / chance


TEST_SHARE: Final = 0.5
"""Share of the held-out rows that a run with `keeps_test_rows` does not use."""

_READERS: Final[Mapping[MethodRows, Callable[..., Iterator[TrainingRow]]]] = {
    "chat": read_chats,
    "preference": read_preferences,
    "labeled": read_labeled,
    "text": read_texts,
    "reinforcement": read_prompts,
}


def read_lines(path: Path, row_format: MethodRows, *, param: str) -> Iterator[TrainingRow]:
    """Read the rows of a file in its format, in order.

    `param` names the job field that supplied the file. Raises `TrainingFailure`
    (invalid_training_file).
    """
    return _READERS[row_format](path, param=param)


def choose_held_out_rows(
    path: Path,
    row_format: MethodRows,
    share: float,
    seed: int,
    mixture: Sequence[MixedRows] = (),
) -> tuple[frozenset[int], int]:
    """Return the indices of the rows to hold out, and the number of all rows.

    Raises `TrainingFailure` (invalid_training_file).
    """
    keys = [prompt_key(row) for row in read_lines(path, row_format, param="training_file")]
    return choose_validation_rows(keys, share, seed, row_weights(mixture)), len(keys)


def choose_test_rows(
    path: Path,
    row_format: MethodRows,
    seed: int,
    among: Collection[int] | None = None,
    *,
    param: str,
) -> frozenset[int]:
    """Return the indices of the held-out rows that a run with `keeps_test_rows` does not use.

    The held-out rows are those `among` the file's rows, or all. The indices are empty if they all
    have the same prompt. Raises `TrainingFailure` (invalid_training_file).
    """
    keys = {
        place: prompt_key(row)
        for place, row in enumerate(read_lines(path, row_format, param=param))
        if among is None or place in among
    }
    places = list(keys)
    return frozenset(
        places[at] for at in choose_validation_rows(list(keys.values()), TEST_SHARE, seed)
    )
