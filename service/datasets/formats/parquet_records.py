"""Records of a Parquet file, a row group's part at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from service.datasets.errors import DatasetError, refuse
from service.datasets.formats.options import FormatOptions
from service.datasets.formats.records import Record
from service.datasets.formats.unpack import unpacks_too_much

# Few enough that large values which the file holds once do not fill memory with copies.
_ROWS = 64
# A page is unpacked whole, and a group's columns lie side by side in memory.
_MAX_GROUP_BYTES = 1024**3
_MAX_BATCH_BYTES = 16 * 1024**2


def read_parquet(path: Path, options: FormatOptions) -> Iterator[Record]:
    """Each row as an object; fields that are null are left out, at any depth.

    Raises DatasetError for a damaged file, and for one whose groups unpack too far.
    """
    try:
        # Memory-mapped and not buffered ahead: the file's size must not matter.
        with pq.ParquetFile(path, memory_map=True, pre_buffer=False) as file:
            _check_size(file, options.limit_bytes(path.stat().st_size), options)
            number = 0
            for batch in file.iter_batches(batch_size=_ROWS, use_threads=False):
                for value in _values(batch):
                    number += 1
                    yield Record(number, _without_nulls(value))
    except (DatasetError, MemoryError):
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise refuse("damaged_parquet") from error


def _values(batch: pa.RecordBatch) -> Iterator[Any]:
    """The rows of a batch, one by one where they are large."""
    step = batch.num_rows if batch.nbytes <= _MAX_BATCH_BYTES else 1
    for start in range(0, batch.num_rows, step):
        yield from batch.slice(start, step).to_pylist()


def _check_size(file: pq.ParquetFile, limit: int, options: FormatOptions) -> None:
    total = 0
    for index in range(file.metadata.num_row_groups):
        size = file.metadata.row_group(index).total_byte_size
        total += size
        if size > _MAX_GROUP_BYTES:
            raise refuse("row_group_too_large", limit=_MAX_GROUP_BYTES)
    if total > limit:
        raise unpacks_too_much(limit, options)


def _without_nulls(value: Any) -> Any:
    """Structs of one column share their fields: what a row lacks is null in it."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
