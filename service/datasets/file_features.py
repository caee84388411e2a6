"""Collects the features of all rows of a file from blocks that are processed in parallel."""

from __future__ import annotations

import contextlib
import gc
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from service.datasets.checks.issues import MAX_LISTED
from service.datasets.contract.tasks import ConvertResult
from service.datasets.duplicates.compare import RowTexts
from service.datasets.duplicates.groups import Lines
from service.datasets.duplicates.minhash import PERMUTATIONS, Signatures
from service.datasets.formats.convert import prepare
from service.datasets.formats.options import FormatOptions
from service.datasets.parallel import map_ordered
from service.datasets.personal_data.marks import Mark
from service.datasets.row_features import (
    FEATURES,
    TOKEN_KINDS,
    Block,
    Exchanges,
    FeatureArray,
    FeatureOptions,
    FindingPlace,
    read_block,
)
from service.datasets.rows.lines import line_ranges

# A smaller range takes up to a sixth less time than one of 1 MB: its texts fit the CPU's caches.
_RANGE_BYTES = 256 * 1024
_FIRST_ROWS_BYTES = 64 * 1024
# Tokenizers process a few MB/s per core. If there are more bytes than this to count, only a sample
# is counted: thousands of rows from the whole file.
_TOKEN_BYTES = 24 * 1024 * 1024
_SAMPLE_BYTES = 4 * 1024 * 1024
_PLACES = 1_000
_IN_MEMORY_BYTES = 64 * 1024 * 1024

ProgressCallback = Callable[[int, int], None]
"""Callback that receives the number of bytes processed and the total number of bytes."""


class Collected(NamedTuple):
    """Features of all rows of the canonical file `path`.

    `tokens` covers only `token_rows`, a sample or all rows. `marks` is a file with the positions of
    personal data in each row that has any, in order: `[row, [[pointer, start, end, kind], …]]`.
    """

    path: Path
    marks: Path

    features: FeatureArray
    signatures: Signatures
    languages: list[str]
    tokens: np.ndarray[Any, np.dtype[np.uint32]]
    token_rows: np.ndarray[Any, np.dtype[np.int64]]
    fit: dict[tuple[str, str], np.ndarray[Any, np.dtype[np.int64]]]
    personal: Counter[str]
    places: list[FindingPlace]
    exchanges: Exchanges

    def marked_rows(self) -> Iterator[tuple[int, tuple[Mark, ...]]]:
        """Yield the rows with personal data in order, each with its marks."""
        decode = msgspec.json.Decoder(tuple[int, tuple[Mark, ...]]).decode
        with self.marks.open("rb") as lines:
            yield from map(decode, lines)

    @contextlib.contextmanager
    def texts(self) -> Iterator[RowTexts]:
        """Open the file to read single rows inside the block."""
        offsets = np.zeros(len(self.features) + 1, dtype=np.int64)
        np.cumsum(self.features["bytes"], out=offsets[1:])
        with self.path.open("rb") as file:
            yield RowTexts(file, offsets)


def collect(
    path: Path,
    rows: int,
    work: Path,
    options: FeatureOptions,
    *,
    processes: int = 1,
    progress: ProgressCallback | None = None,
) -> Collected:
    """Read a canonical file with `rows` rows and collect its features.

    Memory use is about 120 bytes per row. Signatures take 512 bytes per row and are stored in
    a file in `work` if there are many.
    """
    ranges = list(line_ranges(path, start=0, range_bytes=_RANGE_BYTES))
    size = path.stat().st_size
    counted = size * len(options.tokenizers)
    if counted > _TOKEN_BYTES:
        options = msgspec.structs.replace(options, token_step=-(-counted // _SAMPLE_BYTES))
    collector = _BlockCollector(path, rows, work, options)
    if processes > 1 and len(ranges) > 1:
        _load_models(path, options)
    blocks = map_ordered(partial(_read, path, options), ranges, processes=processes)
    for (_, end), block in zip(ranges, blocks, strict=True):
        collector.add(block)
        if progress is not None:
            progress(end, size)
    return collector.result()


def _load_models(path: Path, options: FeatureOptions) -> None:
    """Load the models for the first rows before forking, so that the processes share them.

    The language model alone takes half a second to load.
    """
    start, end = next(line_ranges(path, start=0, range_bytes=_FIRST_ROWS_BYTES))
    read_block(path, start, end, options)


def _read(path: Path, options: FeatureOptions, span: tuple[int, int]) -> Block:
    gc.disable()  # a block has many objects and no cycles: 7% less time
    try:
        return read_block(path, *span, options)
    finally:
        gc.enable()


class _BlockCollector:
    """Concatenates blocks of features."""

    def __init__(self, path: Path, rows: int, work: Path, options: FeatureOptions) -> None:
        self._path = path
        self._done = 0
        self._features = np.zeros(rows, dtype=FEATURES)
        kept = rows if options.signatures else 0
        shape = (kept, PERMUTATIONS)
        if kept * PERMUTATIONS * 4 > _IN_MEMORY_BYTES:
            self._signatures: Signatures = np.memmap(
                work / "signatures", dtype=np.uint32, mode="w+", shape=shape
            )
        else:
            self._signatures = np.empty(shape, dtype=np.uint32)
        self._languages: dict[str, int] = {}
        models = len(options.tokenizers)
        self._tokens = [np.zeros((0, models, len(TOKEN_KINDS)), dtype=np.uint32)]
        self._token_rows = [np.zeros(0, dtype=np.int64)]
        self._fit: dict[tuple[str, str], np.ndarray[Any, np.dtype[np.int64]]] = {}
        self._personal: Counter[str] = Counter()
        self._places: list[FindingPlace] = []
        self._exchanges: list[Exchanges] = [np.zeros((0, 2), dtype=np.uint64)]
        self._marks = work / "marks"
        self._marks.write_bytes(b"")

    def add(self, block: Block) -> None:
        first, count = self._done, len(block.features)
        numbers = [self._languages.setdefault(n, len(self._languages)) for n in block.languages]
        if count:
            renumber = np.array(numbers, dtype=np.uint16)
            block.features["language"] = renumber[block.features["language"]]
        self._features[first : first + count] = block.features
        if len(self._signatures):
            self._signatures[first : first + count] = block.signatures
        self._tokens.append(block.tokens)
        self._token_rows.append(block.token_rows + first)
        for key, sums in block.fit.items():
            self._fit[key] = self._fit[key] + sums if key in self._fit else sums
        self._personal.update(block.personal)
        room = _PLACES - len(self._places)
        self._places += [p._replace(row=p.row + first) for p in block.places[: max(room, 0)]]
        self._exchanges.append(block.exchanges + np.array([first, 0], dtype=np.uint64))
        if block.marks:
            with self._marks.open("ab") as out:
                for row, marks in block.marks:
                    out.write(msgspec.json.encode((row + first, marks)) + b"\n")
        self._done += count

    def result(self) -> Collected:
        return Collected(
            self._path,
            self._marks,
            self._features[: self._done],
            self._signatures[: self._done],
            list(self._languages),
            np.concatenate(self._tokens),
            np.concatenate(self._token_rows),
            self._fit,
            self._personal,
            self._places,
            np.concatenate(self._exchanges),
        )


class FileRows(NamedTuple):
    """The valid rows of a file, with their lines and features, and the result of the conversion."""

    result: ConvertResult
    lines: Lines
    collected: Collected


def read_file(
    path: Path,
    folder: Path,
    file_format: FormatOptions,
    features: FeatureOptions,
    *,
    max_issues: int = MAX_LISTED,
    processes: int = 1,
    progress: ProgressCallback | None = None,
) -> FileRows:
    """Read a file of any format. Its canonical rows and temporary files go to `folder`."""
    folder.mkdir(exist_ok=True)
    canonical = folder / "canonical"
    prepared = prepare(path, canonical, file_format, processes=processes, max_issues=max_issues)
    collected = collect(
        canonical, prepared.result.rows, folder, features, processes=processes, progress=progress
    )
    return FileRows(prepared.result, np.array(prepared.lines, dtype=np.uint32), collected)
