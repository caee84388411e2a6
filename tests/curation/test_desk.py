"""The data desk as a child process: it answers, it is limited, and it is not waited for."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from service.config import Settings
from service.curation.child_runner import Desk, DeskFailed
from service.datasets import ValidationReport
from service.datasets.contract import TaskSpec


@pytest.fixture
def spec(tmp_path: Path, chats) -> TaskSpec:
    path = tmp_path / "data.jsonl"
    path.write_bytes(chats(20))
    return TaskSpec(action="validate", path=path, result=tmp_path / "report.json")


async def test_report_comes_back_typed(spec, settings: Settings):
    report = await Desk(settings).run(spec, ValidationReport)
    assert (report.rows, report.valid_rows, report.errors) == (20, 20, 0)


async def test_child_that_takes_too_long_is_killed_and_said_so(spec, settings: Settings):
    hasty = settings.model_copy(update={"curation_timeout_s": 0.01})
    with pytest.raises(DeskFailed) as caught:
        await Desk(hasty).run(spec, ValidationReport)
    assert caught.value.code == "timed_out"
    assert not caught.value.certain


async def test_child_that_takes_too_much_memory_is_stopped_and_said_so(
    spec, settings: Settings, tmp_path
):
    """The report's libraries alone need more than this."""
    small = settings.model_copy(update={"curation_memory_bytes": 300 * 1024 * 1024})
    wanted = msgspec.structs.replace(spec, action="report")
    with pytest.raises(DeskFailed) as caught:
        await Desk(small).run(wanted, msgspec.Raw)
    assert caught.value.code in ("out_of_memory", "desk_died")
    assert not caught.value.certain


async def test_missing_file_ends_in_a_clear_error(spec, settings: Settings, tmp_path):
    gone = msgspec.structs.replace(spec, path=tmp_path / "gone")
    with pytest.raises(DeskFailed) as caught:
        await Desk(settings).run(gone, ValidationReport)
    assert str(tmp_path) not in caught.value.message
