"""Reads Parquet files in small batches of rows. Arrow files become Parquet first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from service.datasets.checks.issues import DatasetError, refuse
from service.datasets.formats.decompression import unpacks_too_much
from service.datasets.formats.options import FormatOptions, Record

# Few, because a value that the file stores once can be copied into each row.
_ROWS = 64
# Pages are decompressed whole, and all columns of a row group are in memory at once.
_MAX_GROUP_BYTES = 1024**3
_MAX_BATCH_BYTES = 16 * 1024**2


def read_parquet(path: Path, options: FormatOptions) -> Iterator[Record]:
    """Yield each row as an object. Null fields are omitted at any depth.

    Raises DatasetError if the file is damaged or if its row groups unpack to too many bytes.
    """
    try:
        # Memory-mapped, without pre-buffering, so that memory use is independent of file size.
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


def convert_arrow(path: Path, target: Path) -> None:
    """Write the rows of an Arrow file or stream as Parquet.

    Raises DatasetError if it is damaged.
    """
    try:
        with pa.memory_map(str(path)) as source:
            is_file = source.read(6) == b"ARROW1"
            source.seek(0)
            reader = pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)
            count = range(reader.num_record_batches) if is_file else ()
            with pq.ParquetWriter(target, reader.schema) as writer:
                for batch in map(reader.get_batch, count) if is_file else reader:
                    writer.write_batch(batch)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise refuse("damaged_parquet") from error


def _values(batch: pa.RecordBatch) -> Iterator[Any]:
    """Yield the rows of a batch, converted one at a time if they are large."""
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
    """Remove null fields: structs of a column share all fields, so missing ones are null."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
