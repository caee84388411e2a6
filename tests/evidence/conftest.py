"""A model that a worker trained, and its evidence from a real API."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from finetuned.evidence import Findings, verify

from service.audit.sealing_loop import SealingLoop
from service.core import clock
from service.core.encryption.signing import InstallationKey, SigningKey
from service.jobs.checkpoints import write_passport
from service.jobs.records import NewEvent, Status
from service.models.adapters import sign_adapter
from service.models.records import ModelRecord, model_name
from service.projects.records import Role
from tests.adapters import adapter
from tests.conftest import BASE_MODEL, Api, checked
from tests.jobs.conftest import tiny
from tests.jobs.test_jobs import create, upload
from tests.jobs.test_methods import ended

SECRET = "Answer 17."
"""Text of the training data, which only evidence with text may have."""


__all__ = ["tiny"]  # a fixture


@dataclass
class Site:
    """An API with a trained model in project acme, and a key that may read its evidence."""

    api: Api
    admin: httpx.AsyncClient
    job: dict[str, Any]
    file_id: str
    key: SigningKey

    @property
    def model(self) -> str:
        name: str = self.job["fine_tuned_model"]
        return name

    async def seal(self) -> None:
        """Seal the audit log, as a worker does."""
        state = self.api.app.state
        sealer = SealingLoop(state.redis, state.storage, self.api.settings).sealer()
        await sealer.resume()
        await sealer.seal(now=True)

    async def evidence(self, model: str = "", **params: Any) -> bytes:
        """The archive of a model, by default that of the job."""
        found = await self.admin.get(f"/v1/models/{model or self.model}/evidence", params=params)
        assert found.status_code == 200, found.text
        return found.content

    def check(self, path: Path, **more: Any) -> Findings:
        """What a verification with the public key finds."""
        return verify(path, [self.key.public.pem.encode()], **more)


async def register_model(api: Api, http: httpx.AsyncClient, file_id: str, folder: Path) -> Any:
    """A job that has succeeded, as the API shows it: an adapter with a passport, and two steps."""
    created, state = await create(http, file_id), api.app.state
    project_id, job_id = created["organization_id"], created["id"]
    file = await state.files.records.get(project_id, file_id)
    folder.mkdir()
    for name, data in adapter().items():
        (folder / name).write_bytes(data)
    (folder / "spec").write_text('{"hyperparameters": {"n_epochs": 1}, "seed": 1}')
    rows = {"file": file_id, "sha256": file.sha256, "rows_sha256": file.canonical, "rows": 30}
    entry = state.registry.catalogue.get(BASE_MODEL)
    machine = {"device": "cpu", "device_name": "a machine", "image": None}
    write_passport(folder, entry=entry, spec_file=folder / "spec", data={"training": rows}, run={},
                   environment=machine)  # fmt: skip
    (folder / "spec").unlink()
    prefix = f"{project_id}/jobs/{job_id}/a1/adapter"
    manifest = await state.storage.put_folder(prefix, folder)
    name = model_name(BASE_MODEL, "acme", "", job_id.removeprefix("ftjob-")[:12])
    ended = {"status": Status.SUCCEEDED, "fine_tuned_model": name, "adapter": prefix}
    steps = [NewEvent(message="", type="metrics", data={"step": n, "train_loss": 2 / n})
             for n in (1, 2)]  # fmt: skip
    await state.jobs.change(
        project_id, job_id, lambda job: job.model_copy(update=ended), lambda _: steps
    )
    signer = InstallationKey(api.settings.signing_key).get()
    record = ModelRecord(
        id=name,
        project_id=project_id,
        created_at=clock.now_s(),
        base_model=BASE_MODEL,
        job_id=job_id,
        artifact=prefix,
        digest=manifest.digest,
        step=2,
        signature=sign_adapter(signer, name, BASE_MODEL, manifest.digest),
    )
    await state.registry.register(record)
    return (await http.get(f"/v1/fine_tuning/jobs/{job_id}")).json()


@pytest.fixture
async def site(tiny: str, api: Api, http: httpx.AsyncClient, work: Any, tmp_path: Path,
               chats: Callable[[int], bytes]) -> AsyncIterator[Site]:  # fmt: skip
    """A registered model, whose file a worker checked. The audit log is sealed."""
    file_id = await upload(http, chats(30))
    async with work("cpu"):
        await checked(http, file_id)
    job = await register_model(api, http, file_id, tmp_path / "registered")
    async with opened(api, http, job, file_id) as made:
        yield made


@contextlib.asynccontextmanager
async def opened(api: Api, http: httpx.AsyncClient, job: Any, file_id: str) -> AsyncIterator[Site]:
    """A site with the model of a job, an alias of it, and a sealed audit log."""
    alias = await http.put("/v1/aliases/support", json={"model": job["fine_tuned_model"]})
    assert alias.status_code == 200, alias.text
    key = InstallationKey(api.settings.signing_key).get()
    async with await api.client(role=Role.PROJECT_ADMIN) as admin:
        made = Site(api, admin, job, file_id, key)
        keys = f"/v1/organization/projects/{job['organization_id']}/api_keys"
        assert (await admin.post(keys, json={"name": "reader"})).status_code == 200
        await made.seal()
        yield made


@pytest.fixture
async def trained(tiny: str, api: Api, http: httpx.AsyncClient, work: Any,
                  chats: Callable[[int], bytes]) -> AsyncIterator[Site]:  # fmt: skip
    """A model that a worker trained."""
    file_id = await upload(http, chats(30))
    chosen = {"n_epochs": 1, "quantization": "none", "lora": {"r": 8}, "validation_share": 0.2}
    method = {"type": "supervised", "supervised": {"hyperparameters": chosen}}
    async with work("cpu", "gpu"):
        job, _ = await ended(http, (await create(http, file_id, method=method))["id"])
    assert job["status"] == "succeeded", job["error"]
    async with opened(api, http, job, file_id) as made:
        yield made
