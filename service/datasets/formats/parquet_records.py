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

_ROWS = 1_000
# A page is unpacked whole, and a group's columns lie side by side in memory.
_MAX_GROUP_BYTES = 1024**3


def read_parquet(path: Path, options: FormatOptions) -> Iterator[Record]:
    """Each row as an object; fields that are null are left out, at any depth.

    Raises DatasetError for a damaged file, and for one whose groups unpack too far.
    """
    try:
        # Memory-mapped and not buffered ahead: the file's size must not matter.
        with pq.ParquetFile(path, memory_map=True, pre_buffer=False) as file:
            _check_size(file, options)
            number = 0
            for batch in file.iter_batches(batch_size=_ROWS, use_threads=False):
                for value in batch.to_pylist():
                    number += 1
                    yield Record(number, _without_nulls(value))
    except DatasetError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise refuse("damaged_parquet") from error


def _check_size(file: pq.ParquetFile, options: FormatOptions) -> None:
    total = 0
    for index in range(file.metadata.num_row_groups):
        size = file.metadata.row_group(index).total_byte_size
        total += size
        if size > _MAX_GROUP_BYTES:
            raise refuse("row_group_too_large", limit=_MAX_GROUP_BYTES)
    if total > options.max_unpacked_bytes:
        raise refuse("unpacks_too_large", limit=options.max_unpacked_bytes)


def _without_nulls(value: Any) -> Any:
    """Structs of one column share their fields: what a row lacks is null in it."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
