"""The training files of a job: how they are mixed and joined, and the rows and tokens per epoch."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from service.datasets.contract.tasks import Measures
from service.files.records import FileRecord
from service.jobs.planning.hyperparameters import Data
from service.jobs.records import JobRecord
from service.training.contract.spec import MixedRows, drawn_per_epoch

_TEXTS_ALONE = (
    "texts only: the model may chat worse than before; to avoid that, mix some chats with the "
    "texts (mixed_files)"
)


@dataclass(frozen=True)
class TrainingFile:
    """A training file of a job, the field of the request that names it, and its weight."""

    id: str
    param: str
    weight: float = 1.0


def training_files(job: JobRecord) -> list[TrainingFile]:
    """Return the training files of a job; `training_file` comes first."""
    mixed = [
        TrainingFile(mixed.file, f"mixed_files.{place}.file", mixed.weight)
        for place, mixed in enumerate(job.mixed_files)
    ]
    return [TrainingFile(job.training_file, "training_file"), *mixed]


def build_mixture(
    files: Sequence[TrainingFile], records: Sequence[FileRecord]
) -> tuple[MixedRows, ...]:
    """Return the mixture of the files, in their order; empty if there is only one file."""
    if len(files) == 1:
        return ()
    return tuple(
        MixedRows(file=file.id, rows=record.rows or 0, weight=file.weight)
        for file, record in zip(files, records, strict=True)
    )


def join_rows(parts: Sequence[Path], to: Path) -> Path:
    """Write the rows of several canonical files to one, in their order, and return it."""
    if len(parts) == 1:
        return parts[0]
    with to.open("wb") as joined:
        for part in parts:
            with part.open("rb") as rows:
                shutil.copyfileobj(rows, joined, 1024 * 1024)
            part.unlink()
    return to


@dataclass(frozen=True)
class Part:
    """A training file of a job: its rows, and their lengths if they can be measured."""

    file: TrainingFile
    rows: int
    measures: Measures | None
    is_cut: bool = False  # into samples of the maximum length, instead of being truncated

    @property
    def drawn(self) -> int:
        """Number of rows that an epoch draws."""
        return drawn_per_epoch(self.rows, self.file.weight)

    def samples(self, max_seq_length: int) -> int:
        """Return the samples per epoch: one for each row, unless long rows are cut."""
        if not self.is_cut or self.measures is None:
            return self.drawn
        lengths = self.measures.percentiles[1:]
        parts = sum(-(-max(tokens, 1) // max_seq_length) for tokens in lengths)
        return drawn_per_epoch(round(self.rows * parts / len(lengths)), self.file.weight)

    def tokens(self, max_seq_length: int) -> int:
        """Return the tokens per epoch with truncated rows; without measures, the upper bound."""
        if self.measures is None:
            return self.drawn * max_seq_length
        lengths = self.measures.percentiles[1:]
        kept = sum(min(tokens, max_seq_length) for tokens in lengths)
        share = 1.0 if self.is_cut else kept / max(sum(lengths), 1)
        return round(self.measures.tokens * share * self.drawn / max(self.rows, 1))


@dataclass(frozen=True)
class Inputs:
    """Training files of a job."""

    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()  # on the fit of grader and rows

    @property
    def rows(self) -> int:
        """Number of rows that an epoch draws."""
        return sum(part.drawn for part in self.parts)

    @property
    def longest(self) -> int | None:
        """Number of tokens in the longest row, or None if unknown."""
        lengths = [part.measures.longest for part in self.parts if part.measures]
        return max(lengths) if len(lengths) == len(self.parts) else None

    @property
    def data(self) -> Data:
        """Size of the training files, for resolving `auto`."""
        return Data(self.rows, self.longest, self._p95())

    @property
    def reasons(self) -> tuple[str, ...]:
        """Rows that an epoch draws from each of several files, and notes on the files."""
        if all(part.is_cut for part in self.parts):
            return (*self._drawn, _TEXTS_ALONE)
        return (*self._drawn, *self.notes)

    @property
    def _drawn(self) -> tuple[str, ...]:
        if len(self.parts) == 1:
            return ()
        drawn = ", ".join(
            f"{part.drawn:,} of {part.file.id} ({part.rows:,} rows, weight {part.file.weight:g})"
            for part in self.parts
        )
        return (f"mixture → {self.rows:,} rows per epoch: {drawn}",)

    def samples(self, max_seq_length: int) -> int:
        """Return the samples per epoch."""
        return sum(part.samples(max_seq_length) for part in self.parts)

    def tokens(self, max_seq_length: int) -> int:
        """Return the tokens per epoch with truncated rows; without measures, the upper bound."""
        return sum(part.tokens(max_seq_length) for part in self.parts)

    def _p95(self) -> int | None:
        """Return the 95th percentile of tokens per drawn row, or None if unknown."""
        if self.longest is None:
            return None
        # One value for each percent of a file's rows, weighted by the rows that are drawn.
        lengths = sorted(
            (tokens, part.drawn / 100)
            for part in self.parts
            if part.measures
            for tokens in part.measures.percentiles[1:]
        )
        reached = accumulate(rows for _, rows in lengths)
        return next(
            tokens
            for (tokens, _), rows in zip(lengths, reached, strict=True)
            if rows >= 0.95 * self.rows - 1e-6
        )
