"""Tests of replays of a real training of a tiny model: what was changed since is found."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from service.cli import replay as commands
from service.cli.app import app
from service.core import clock
from service.core.storage import Storage
from service.files.records import FileRecord, Files
from service.jobs.attempt.replay import Choice
from service.jobs.checkpoints import PASSPORT
from service.jobs.records import JobRecord, Jobs, ReplayRecord
from service.models.registry import ModelRegistry
from service.training.contract.adapter_config import WEIGHTS
from service.training.contract.replay import (
    REPLAY_FOLDER,
    STEPS_FILE,
    draw_windows,
    windows_of,
)
from tests.audit.test_operator import entries
from tests.conftest import Api
from tests.jobs.test_faults import rows
from tests.jobs.test_jobs import JOBS, create, upload
from tests.jobs.test_methods import ended
from tests.lazy import Lazy

safetensors = Lazy("safetensors.torch")

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tiny", "forked_trainers")]
# Of 12 rows: three steps read each of them once.
CHOSEN = {"n_epochs": 4, "batch_size": 4, "quantization": "none", "lora": {"r": 4, "dropout": 0.1}}
STATES = (4, 8, 9)
SEAL = "run.json"
ALL = Choice(99)


@dataclass
class Trained:
    """A job that succeeded, and what a forger with access to Redis and storage could change."""

    api: Api
    project_id: str
    job_id: str

    @property
    def jobs(self) -> Jobs:
        return Jobs(self.api.app.state.redis)

    @property
    def files(self) -> Files:
        files: Files = self.api.app.state.files
        return files

    @property
    def storage(self) -> Storage:
        return self.files.storage

    @property
    def registry(self) -> ModelRegistry:
        registry: ModelRegistry = self.api.app.state.registry
        return registry

    async def job(self) -> JobRecord:
        job = await self.jobs.get(self.project_id, self.job_id)
        assert job is not None
        return job

    async def change_job(self, **fields: Any) -> None:
        await self.jobs.change(
            self.project_id, self.job_id, lambda job: job.model_copy(update=fields)
        )

    async def file(self, file_id: str) -> FileRecord:
        file = await self.files.get(self.project_id, file_id, clock.now_s())
        assert file is not None
        return file

    async def artifact(self) -> str:
        return str((await self.job()).adapter)

    async def edit_object(self, key: str, edit: Callable[[bytes], bytes]) -> bytes:
        """Edit one stored object, and leave its digest."""
        edited = edit(await self.storage.get_bytes(key))
        await self.storage.put_bytes(key, edited)
        return edited

    async def edit_adapter(self, edit: Callable[[Path], object], folder: Path) -> None:
        """Edit the stored adapter, and write its digests again, also the registered one."""
        artifact = await self.artifact()
        shutil.rmtree(folder, ignore_errors=True)
        manifest = await self.storage.get_folder(artifact, folder)
        edit(folder)
        manifest = await self.storage.put_folder(artifact, folder, meta=manifest.meta)
        model = (await self.job()).fine_tuned_model
        assert model is not None
        await self.registry.models.update(
            self.project_id,
            model,
            lambda record: record.model_copy(update={"digest": manifest.digest}),
        )

    async def edit_passport(self, folder: Path, section: str, **fields: Any) -> None:
        def edit(adapter: Path) -> None:
            passport = json.loads((adapter / PASSPORT).read_text())
            passport[section] |= fields
            (adapter / PASSPORT).write_text(json.dumps(passport))

        await self.edit_adapter(edit, folder)

    @contextlib.asynccontextmanager
    async def restored(self) -> AsyncIterator[None]:
        """Undo all changes of records and objects in the block."""
        redis, stored = self.api.app.state.redis, self.api.settings.data_dir / "storage"
        backup = stored.with_name("unchanged")
        shutil.copytree(stored, backup)
        keys = [key async for key in redis.scan_iter() if await redis.type(key) == b"string"]
        found = zip(keys, await redis.mget(keys), strict=True)
        records = {key: value for key, value in found if value is not None}
        yield
        await redis.mset(records)
        shutil.rmtree(stored)
        backup.rename(stored)

    async def replay(self, choice: Choice = ALL) -> ReplayRecord:
        _, found = await commands.replay(None, self.job_id, choice, lambda _: None)
        return found

    async def reseal(self, folder: Path, **identity: Any) -> None:
        """Edit the run that the kept states belong to, and seal them again."""
        kept = f"{await self.artifact()}/{REPLAY_FOLDER}"
        for step in STATES:
            shutil.rmtree(folder, ignore_errors=True)
            await self.storage.get_folder(f"{kept}/{step}", folder)
            seal = json.loads((folder / SEAL).read_text())
            seal["run"] |= identity
            (folder / SEAL).write_text(json.dumps(seal))
            await self.storage.put_folder(f"{kept}/{step}", folder)

    async def command(self, *options: str) -> Result:
        """Run `finetuned-server replay`."""
        arguments = ["replay", self.job_id, *options]
        return await asyncio.to_thread(CliRunner().invoke, app, arguments)


@pytest.fixture
async def trained(api: Api, http, work, monkeypatch) -> Trained:
    settings = api.settings
    for name, value in {
        "REDIS_URL": settings.redis_url.get_secret_value(),
        "STORAGE_URL": settings.storage_url,
        "DATA_DIR": settings.data_dir,
        "MODELS_FILE": settings.models_file,
        "SIGNING_KEY_FILE": settings.signing_key_file,
    }.items():
        monkeypatch.setenv(f"FINETUNED_{name}", str(value))
    job = await create(http, await upload(http, rows(12)), hyperparameters=CHOSEN)
    async with work("cpu", "gpu"):
        job, events = await ended(http, job["id"])
    assert job["status"] == "succeeded", [event["message"] for event in events]
    project = await api.app.state.projects.by_name("acme")
    return Trained(api, project.id, job["id"])


def swap_rows(content: bytes) -> bytes:
    """Replace the answer of one row by another of its length."""
    return content.replace(b"Aye, well, well, 2.", b"Nay, none, none, 2.", 1)


def edit_weights(adapter: Path) -> None:
    tensors = safetensors.load_file(adapter / WEIGHTS)
    next(iter(tensors.values()))[0, 0] += 0.5
    safetensors.save_file(tensors, adapter / WEIGHTS)


def lower_loss(text: str) -> str:
    """Halve the training loss of step 2 in a CSV."""
    lines = text.splitlines(keepends=True)
    step, loss, *rest = lines[2].split(",")
    assert step == "2"
    return "".join([*lines[:2], ",".join([step, str(float(loss) / 2), *rest]), *lines[3:]])


def lower_loss_of_bytes(content: bytes) -> bytes:
    return lower_loss(content.decode()).encode()


async def test_a_replay_is_bit_equal_and_recorded(trained, http):
    lines: list[str] = []
    job, found = await commands.replay(None, trained.job_id, ALL, lines.append)
    assert (found.findings, found.outcome, found.is_same_machine) == ((), "equal", True)
    windows = [(w.first_step, w.last_step, w.weights_error) for w in found.windows]
    assert windows == [(1, 4, 0.0), (5, 8, 0.0), (9, 9, 0.0), (10, 12, 0.0)]
    assert "steps 10 to 12: losses bit-equal, gradient norms bit-equal, weights bit-equal" in lines
    assert job.replays == (await trained.job()).replays == (found,)
    events = (await http.get(f"{JOBS}/{trained.job_id}/events")).json()["data"]
    assert events[0]["message"] == "Replay: 12 steps are bit-equal to the training"
    entry = (await entries(trained.api.app.state.redis))[-1]
    assert (entry.type, entry.actor.kind) == ("fine_tuning.job.replayed", "operator")
    assert {trained.job_id, found.model} <= set(entry.objects)
    assert entry.counts == {"windows": 4, "findings": 0}


async def test_windows_are_random_and_can_be_repeated(trained):
    """The adapter's window is always among them."""
    printed = await trained.command("--json")
    first = json.loads(printed.stdout)
    assert (first["drawn"], first["total_windows"], first["is_repetition"]) == (1, 4, False)
    repeated = json.loads((await trained.command("--json", "--seed", first["seed"])).stdout)
    assert repeated["is_repetition"]
    assert repeated["windows"] == first["windows"]
    assert first["windows"][-1]["last_step"] == 12
    other = json.loads((await trained.command("--json", "--steps", "2", "--windows", "2")).stdout)
    assert other["seed"] != first["seed"]
    assert {w["last_step"] - w["first_step"] + 1 for w in other["windows"]} <= {1, 2}
    assert len(other["windows"]) == 3

    shown = (await trained.command("--windows", "2", "--seed", "x")).output
    assert "3 of 4 windows, drawn with the seed x: " in shown
    assert "A single changed window is found with a probability of 67%." in shown
    none = (await trained.command("--windows", "0")).output
    assert "A single changed window is found with a probability of 0%." in none


async def test_what_was_changed_is_found(trained, tmp_path):
    """Without the digests, which are recorded elsewhere, each is found before anything is run."""
    job = await trained.job()
    rows_key = (await trained.file(job.training_file)).canonical_key
    results = (await trained.file(job.result_files[0])).content_key
    artifact = await trained.artifact()
    twice = 2 * job.resolved.learning_rate
    rate = job.hyperparameters.model_copy(update={"learning_rate": twice})
    manipulations: dict[str, Callable[[], Awaitable[Any]]] = {
        "rows_changed": lambda: trained.edit_object(rows_key, swap_rows),
        "spec_changed: seed": lambda: trained.change_job(seed=job.seed + 1),
        "spec_changed: rate": lambda: trained.change_job(hyperparameters=rate),
        "adapter_changed": lambda: trained.edit_object(f"{artifact}/{WEIGHTS}", lambda b: b + b" "),
        "metrics_changed": lambda: trained.edit_object(results, lower_loss_of_bytes),
    }
    for expected, manipulate in manipulations.items():
        async with trained.restored():
            await manipulate()
            printed = await trained.command("--json")
        assert printed.exit_code == 5, expected
        found = json.loads(printed.stdout)
        assert found["findings"][0]["code"] == expected.partition(":")[0]


async def test_what_was_changed_with_all_its_digests_is_found(trained, tmp_path):
    """By the steps that are computed again, if their window is drawn, and by no others."""
    job = await trained.job()
    file = await trained.file(job.training_file)
    twice = 2 * job.resolved.learning_rate
    rate = job.hyperparameters.model_copy(update={"learning_rate": twice})
    folder, state = tmp_path / "adapter", tmp_path / "state"

    async def swap_a_row() -> None:
        edited = await trained.edit_object(file.canonical_key, swap_rows)
        digest = hashlib.sha256(edited).hexdigest()
        await trained.files.records.update(
            job.project_id, file.id, lambda f: f.model_copy(update={"canonical": digest})
        )
        provenance = {"file": file.id, "sha256": file.sha256, "rows": 12, "rows_sha256": digest}
        await trained.edit_passport(folder, "data", training=provenance)
        refusal = (await trained.replay()).findings[-1].message
        assert "differs in data" in refusal

    async def claim_another_seed() -> None:
        await trained.change_job(seed=job.seed + 1)
        await trained.edit_passport(folder, "spec", seed=job.seed + 1)
        await trained.reseal(state, seed=job.seed + 1)

    async def claim_another_rate() -> None:
        await trained.change_job(hyperparameters=rate)
        await trained.edit_passport(folder, "spec", learning_rate=twice)
        await trained.reseal(state, learning_rate=twice)

    async def lower_a_loss() -> None:
        await trained.jobs.remove_metrics(job.project_id, job.id)  # as some days later
        results = await trained.file(job.result_files[0])
        await trained.edit_object(results.content_key, lower_loss_of_bytes)

        def edit(adapter: Path) -> None:
            steps = adapter / STEPS_FILE
            steps.write_text(lower_loss(steps.read_text()))

        await trained.edit_adapter(edit, folder)

    async def edit_a_state() -> None:
        """Train step 5 to 8 from other weights than those that steps 1 to 4 lead to."""
        kept = f"{await trained.artifact()}/{REPLAY_FOLDER}/4"
        await trained.storage.get_folder(kept, state)
        edit_weights(state)
        seal = json.loads((state / SEAL).read_text())
        seal["files"][WEIGHTS] = hashlib.sha256((state / WEIGHTS).read_bytes()).hexdigest()
        (state / SEAL).write_text(json.dumps(seal))
        await trained.storage.put_folder(kept, state)

    async def rename_a_state() -> None:
        """So that step 5 to 7 are not computed, but read from the state of step 8."""
        kept = f"{await trained.artifact()}/{REPLAY_FOLDER}"
        await trained.storage.get_folder(f"{kept}/8", state)
        await trained.storage.put_folder(f"{kept}/7", state)
        await trained.storage.delete_prefix(f"{kept}/8")

    everywhere = {"step_differs", "checkpoint_differs"}
    manipulations: dict[Callable[[], Awaitable[None]], tuple[set[str], int, int | None]] = {
        # What a replay of all windows finds, the end of one that finds it, and of one that does not
        swap_a_row: ({*everywhere, "state_refused"}, 4, None),
        claim_another_seed: (everywhere, 9, None),
        claim_another_rate: ({*everywhere, "state_refused"}, 8, None),
        lambda: trained.edit_adapter(edit_weights, folder): ({"checkpoint_differs"}, 12, None),
        lower_a_loss: ({"step_differs"}, 4, 8),
        edit_a_state: (everywhere, 8, 9),
        rename_a_state: ({"checkpoint_differs", "state_refused"}, 9, None),
    }
    for manipulate, (codes, finding, clean) in manipulations.items():
        async with trained.restored():
            await manipulate()
            found = await trained.replay()
            assert {one.code for one in found.findings} == codes, found
            if manipulate is not rename_a_state:  # which changes the windows
                assert (await trained.replay(drawing(finding))).findings
            if clean is not None:
                assert (await trained.replay(drawing(clean))).outcome == "equal"
    assert (await trained.replay()).outcome == "equal"


def drawing(end: int) -> Choice:
    """Choose the window with this end besides that of the adapter, which ends at 12."""
    if end == 12:
        return Choice(0)
    others = windows_of(STATES, 12)[:-1]
    seeds = (f"{n}" for n in itertools.count())
    return next(Choice(1, s) for s in seeds if draw_windows(others, 1, s)[0].end == end)


async def test_rows_that_were_erased_are_named(trained, http):
    file_id = (await trained.job()).training_file
    await http.delete(f"/v1/files/{file_id}")
    printed = await trained.command()
    assert printed.exit_code == 0
    assert f"files were deleted since the training: {file_id}. It took" in printed.output
    (found,) = (await trained.job()).replays
    assert (found.outcome, found.gone_files, found.windows) == ("rows_gone", (file_id,), ())


async def test_a_job_without_a_model_is_refused(trained, http):
    job = await trained.job()
    await http.delete(f"/v1/models/{job.fine_tuned_model}")
    assert await trained.storage.keys(str(job.adapter)) == []  # the kept states, too
    printed = await trained.command()
    assert printed.exit_code == 1
    assert f"finetuned-server: the model {job.fine_tuned_model} was deleted" in printed.output
