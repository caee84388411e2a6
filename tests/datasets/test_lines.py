"""Tests of reading lines in batches and ranges: nothing is lost, and memory is bounded."""

from __future__ import annotations

import io
import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.datasets.checks.issues import DatasetError, refuse
from service.datasets.parallel import map_ordered
from service.datasets.rows.lines import Batch, FileSlice, LongLine, line_ranges, read_batches

_data = st.lists(st.sampled_from([b"\n", b"a", b"bc", b"\r\n", b"d" * 20, b" "])).map(b"".join)


def expected(data: bytes, limit: int) -> list[tuple[int, bytes | None]]:
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return [(n, line if len(line) <= limit else None) for n, line in enumerate(lines, 1)]


def unrolled(batches: list[Batch | LongLine]) -> list[tuple[int, bytes | None]]:
    found: list[tuple[int, bytes | None]] = []
    for batch in batches:
        if isinstance(batch, LongLine):
            found.append((batch.line, None))
        else:
            assert all(line in batch.data for line in batch.lines[1:])
            assert batch.last_line == batch.first_line + len(batch.lines) - 1
            found += enumerate(batch.lines, batch.first_line)
    return found


@given(data=_data, more=st.integers(0, 30), size=st.integers(1, 40))
def test_batches_hold_each_line_once(data: bytes, more: int, size: int) -> None:
    limit = size + more
    batches = list(read_batches(io.BytesIO(data), max_line_bytes=limit, batch_bytes=size))
    assert unrolled(batches) == expected(data, limit)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=_data, size=st.integers(1, 40), start=st.integers(0, 3))
def test_ranges_meet_at_line_ends(tmp_path: Path, data: bytes, size: int, start: int) -> None:
    path = tmp_path / "data"
    path.write_bytes(data)
    parts = []
    for begin, end in line_ranges(path, start=start, range_bytes=size):
        with FileSlice(path, begin, end) as stream:
            parts.append(stream.read(10**6))
    assert b"".join(parts) == data[start:]
    assert all(part.endswith(b"\n") for part in parts[:-1])


def _double(number: int) -> int:
    if number == 7:
        raise refuse("empty_file")
    return number * 2


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_results_come_in_order(processes: int) -> None:
    tasks = [1, 2, 3, 4, 5, 6, 8]
    assert list(map_ordered(_double, tasks, processes=processes)) == [2, 4, 6, 8, 10, 12, 16]


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_comes_out_as_itself(processes: int) -> None:
    with pytest.raises(DatasetError) as caught:
        list(map_ordered(_double, [1, 7, 2], processes=processes))
    assert caught.value.issue.code == "empty_file"


def _die(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_dies_is_an_error() -> None:
    """Its second task waits in the pipe, so that reading the result of the first one fails."""
    with pytest.raises(DatasetError) as caught:
        list(map_ordered(_die, [1, 2, 3, 4, 5, 6], processes=2))
    assert caught.value.issue.code == "worker_died"
