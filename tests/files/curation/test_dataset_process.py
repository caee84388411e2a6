"""Tests of tasks in child processes: results, limits of memory and time, and failures."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from service.config import Settings
from service.core import ids
from service.core.leases import Leases
from service.datasets.contract.tasks import (
    CleanOptions,
    CleanSpec,
    ConvertSpec,
    Failed,
    Measures,
    MeasureSpec,
    Message,
    Progress,
    ProtocolError,
    ReportSpec,
    TaskSpec,
    ValidateSpec,
)
from service.files.curation.dataset_process import DatasetProcess, DatasetTaskFailed, failure
from service.files.curation.records import Task, TaskKind, Tasks, TaskState
from service.files.curation.task import RunFileTask
from service.files.records import FileRecord, FileStatus, Purpose
from tests.conftest import Api

FILE = FileRecord(
    id=ids.new(ids.FILE),
    project_id="proj_a",
    created_at=1,
    filename="chats.jsonl",
    purpose=Purpose.FINE_TUNE,
    bytes=1,
    sha256="0" * 64,
    status=FileStatus.PROCESSED,
)
TASK = Task(
    id="filemeasure-1",
    project_id=FILE.project_id,
    created_at=1,
    file_id=FILE.id,
    kind=TaskKind.MEASURE,
    options={},
)


class MistakenSpec(TaskSpec[Measures], frozen=True, kw_only=True, tag="validate"):
    """Asks for a validation, and takes the answer for measures."""

    @property
    def answer_type(self) -> type[Measures]:
        return Measures


@pytest.fixture
def path(tmp_path: Path, chats) -> Path:
    path = tmp_path / "data.jsonl"
    path.write_bytes(chats(20))
    return path


@pytest.fixture
def spec(path: Path) -> ValidateSpec:
    return ValidateSpec(path=path, result=path.with_name("result.json"))


@pytest.mark.slow
async def test_every_answer_comes_back_typed(spec, settings: Settings, tiny_model_path: Path):
    process, at = DatasetProcess(settings), {"path": spec.path, "result": spec.result}
    tokenizer = tiny_model_path / "tokenizer.json"
    report = await process.run(spec)
    assert (report.rows, report.valid_rows, report.errors) == (20, 20, 0)
    converted = await process.run(ConvertSpec(**at, out=spec.path.with_name("canonical")))
    assert (converted.facts.row_format, converted.rows) == ("chat", 20)
    measured = await process.run(MeasureSpec(**at, rows=20, tokenizer=tokenizer))
    assert 0 < measured.p95 <= measured.longest
    analysed = await process.run(
        ReportSpec(**at, tokenizers={"base": tokenizer}, context_lengths=(64,))
    )
    assert list(analysed.tokens[0].truncated_rows) == [64]
    cleaned = await process.run(
        CleanSpec(**at, out=spec.path.with_name("out"), options=CleanOptions(validation_share=0.5))
    )
    assert cleaned.validation is not None
    assert cleaned.train.rows + cleaned.validation.rows == 20


async def test_an_answer_that_breaks_the_contract_is_a_clear_error(spec, settings: Settings):
    mistaken = MistakenSpec(path=spec.path, result=spec.result)
    with pytest.raises(ProtocolError, match=r"MistakenSpec is not a Measures: .*`percentiles`"):
        await DatasetProcess(settings).run(mistaken)


async def test_an_answer_that_breaks_the_contract_fails_the_task_once(api: Api, path, caplog):
    state = api.app.state
    file = await state.files.register(FILE)
    task = await Tasks(state.redis).create(TASK)

    async def work(task: Task, file: FileRecord, folder: Path) -> None:
        await DatasetProcess(api.settings).run(
            MistakenSpec(path=path, result=folder / "result.json")
        )

    leases = Leases(state.redis, "me", lease_s=api.settings.lease_s)
    curate = RunFileTask(state.files, leases, api.settings, {TaskKind.MEASURE: work})
    await curate.run({}, file.project_id, task.subject, task.attempt)
    ended = await Tasks(state.redis).collection(file.id).get(file.project_id, task.id)
    assert ended is not None
    assert ended.state is TaskState.FAILED
    assert ended.error is not None
    assert ended.error.code == "internal_error"
    assert task.id in ended.error.message
    assert "ProtocolError" in caplog.text


async def test_a_child_that_takes_too_long_is_killed(spec, settings: Settings):
    hasty = settings.model_copy(update={"curation_timeout_s": 0.01})
    with pytest.raises(DatasetTaskFailed) as caught:
        await DatasetProcess(hasty).run(spec)
    assert caught.value.code == "timed_out"
    assert not caught.value.certain


@pytest.mark.parametrize("mebibytes", [120, 150, 300])
async def test_a_child_that_takes_too_much_memory_is_stopped(
    mebibytes: int, spec, settings: Settings
):
    """A library in Rust aborts, another is not loaded, or the Japanese dictionary has no room."""
    row = {
        "messages": [
            {"role": "user", "content": "注文の配送先を変更するにはどうすればよいですか。"},
            {"role": "assistant", "content": "田中太郎様、マイページから変更できます。"},
        ]
    }
    spec.path.write_bytes(msgspec.json.encode(row))
    small = settings.model_copy(update={"curation_memory_bytes": mebibytes * 2**20})
    with pytest.raises(DatasetTaskFailed) as caught:
        await DatasetProcess(small).run(ReportSpec(path=spec.path, result=spec.result))
    assert caught.value.code == "out_of_memory"
    assert "ran out of memory. Give the process more memory" in caught.value.message
    assert not caught.value.certain


@pytest.mark.parametrize("last", [Progress(1, 2), Failed("worker_died", "It died.", "Retry.")])
def test_an_abort_for_lack_of_memory_is_recognized(last: Message):
    """Neither the child process nor its worker can say so, but the library wrote why."""
    limit = "import resource as r; r.setrlimit(r.RLIMIT_AS, (8 << 30, 8 << 30)); import rensa; "
    code = limit + "rensa.RMinHash(num_perm=1 << 40, seed=1)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert ended.returncode == -signal.SIGABRT
    line = msgspec.json.encode(last)
    assert failure(line, ended.returncode, ended.stderr).code == "out_of_memory"
    assert failure(line, ended.returncode, b"").code in ("desk_died", "worker_died")


async def test_an_error_names_no_path_of_the_worker(spec, settings: Settings, tmp_path):
    gone = msgspec.structs.replace(spec, path=tmp_path / "gone")
    with pytest.raises(DatasetTaskFailed) as caught:
        await DatasetProcess(settings).run(gone)
    assert str(tmp_path) not in caught.value.message
