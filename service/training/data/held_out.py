"""Rows of a training file by format, and which of them a run holds out for validation."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from service.training.contract.methods import MethodRows
from service.training.contract.mixture import MixedRows
from service.training.data.chats import read_chats, read_preferences
from service.training.data.judged import Line, read_judged, read_texts
from service.training.data.mixture import row_weights
from service.training.data.prompts import read_prompts
from service.training.data.split import prompt_key, validation_rows

TEST_SHARE: Final = 0.5
"""Share of the held-out rows that a run with `keeps_test_rows` does not use."""

_READERS: Final[Mapping[MethodRows, Callable[..., Iterator[Line]]]] = {
    "chat": read_chats,
    "preference": read_preferences,
    "labeled": read_judged,
    "text": read_texts,
    "reinforcement": read_prompts,
}


def read_lines(path: Path, row_format: MethodRows, *, param: str) -> Iterator[Line]:
    """Read the rows of a file in its format, in order.

    `param` names the job field that supplied the file. Raises `TrainingFailure`
    (invalid_training_file).
    """
    return _READERS[row_format](path, param=param)


def held_out(
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
    return validation_rows(keys, share, seed, row_weights(mixture)), len(keys)


def rows_for_test(
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
    return frozenset(places[at] for at in validation_rows(list(keys.values()), TEST_SHARE, seed))
