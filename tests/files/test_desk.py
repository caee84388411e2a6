"""The data desk as a child process: it answers, it is limited, and it is not waited for."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.datasets import ValidationReport
from service.datasets.spec import TaskSpec
from service.files import desk


@pytest.fixture
def spec(tmp_path: Path, chats) -> TaskSpec:
    path = tmp_path / "data.jsonl"
    path.write_bytes(chats(20))
    return TaskSpec(action="validate", path=path, result=tmp_path / "report.json")


async def test_report_comes_back_typed(spec):
    report = await desk.run(spec, ValidationReport, timeout_s=60)
    assert (report.rows, report.valid_rows, report.errors) == (20, 20, 0)


async def test_child_that_takes_too_long_is_killed_and_said_so(spec):
    with pytest.raises(desk.DeskFailed) as caught:
        await desk.run(spec, ValidationReport, timeout_s=0.01)
    assert caught.value.code == "check_timed_out"


async def test_missing_file_ends_in_a_clear_error(spec, tmp_path):
    import msgspec

    gone = msgspec.structs.replace(spec, path=tmp_path / "gone")
    with pytest.raises(desk.DeskFailed) as caught:
        await desk.run(gone, ValidationReport, timeout_s=60)
    assert str(tmp_path) not in caught.value.message
