"""A server that receives webhooks, and jobs that end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from service.config import Settings
from service.core import clock
from service.jobs import lifecycle
from service.jobs.records import JobFailure, JobRecord, Jobs, Status
from tests.conftest import Api, running
from tests.jobs.running import running_job

DONE_S = 60
OPERATIONS = [
    "advice",
    "dataset.report",
    "dataset.preview",
    "dataset.cleaning",
    "dataset.diff",
    "dataset.merge",
    "dataset.generation",
    "model.import",
    "model.export",
    "alias.check",
    "organization.erasure",
]
EVENT_TYPES = [
    "fine_tuning.job.succeeded",
    "fine_tuning.job.failed",
    "fine_tuning.job.cancelled",
    "eval.run.succeeded",
    "eval.run.failed",
    "eval.run.canceled",
    "batch.completed",
    "batch.failed",
    "batch.expired",
    "batch.cancelled",
    "alias.worsened",
    *(f"{one}.{status}" for one in OPERATIONS for status in ("completed", "failed", "cancelled")),
    "export.succeeded",
    "export.failed",
    "export.cancelled",
]


@dataclass(frozen=True)
class Request:
    """A request that the receiver got."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """A server that answers with the given statuses, and repeats the last one."""

    url: str = ""
    statuses: list[int] = field(default_factory=lambda: [200])
    requests: list[Request] = field(default_factory=list)
    held: asyncio.Event | None = None  # requests to /slow wait for it

    @property
    def host(self) -> str:
        """Host and port, as in the setting."""
        return self.url.removeprefix("http://")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await _lifespan(receive, send)
            return
        body = (await receive())["body"]
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.requests.append(Request(scope["path"], headers, body))
        if scope["path"] == "/slow" and self.held is not None:
            await self.held.wait()
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        location = [(b"location", f"{self.url}/elsewhere".encode())] if status == 302 else []
        await send({"type": "http.response.start", "status": status, "headers": location})
        await send({"type": "http.response.body", "body": b"x" * 100_000})


async def _lifespan(receive: Receive, send: Send) -> None:
    while (message := await receive())["type"] == "lifespan.startup":
        await send({"type": f"{message['type']}.complete"})
    await send({"type": "lifespan.shutdown.complete"})


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver that answers 200."""
    receiver = Receiver()
    async with running(receiver) as url:
        receiver.url = url
        yield receiver


@pytest.fixture
def settings(settings: Settings, receiver: Receiver) -> Settings:
    """Settings that allow the receiver, with immediate retries."""
    return settings.model_copy(
        update={"webhook_allowed_hosts": (receiver.host,), "webhook_retry_base_s": 0.01}
    )


async def until(is_so: Callable[[], object]) -> None:
    """Wait until a condition is true."""
    async with asyncio.timeout(DONE_S):
        while not is_so():
            await asyncio.sleep(0.02)


async def create(http: httpx.AsyncClient, url: str, **fields: Any) -> dict[str, Any]:
    """Create a webhook endpoint, by default for all event types."""
    body = {"name": "Deploy", "url": url, "event_types": EVENT_TYPES, **fields}
    answer = await http.post("/v1/webhook_endpoints", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def logged(http: httpx.AsyncClient, webhook_id: str, attempts: int) -> list[dict[str, Any]]:
    """Wait until the delivery log has this many attempts. Returns them, newest first."""
    async with asyncio.timeout(DONE_S):
        while True:
            answer = await http.get(f"/v1/webhook_endpoints/{webhook_id}/deliveries")
            assert answer.status_code == 200, answer.text
            found = answer.json()["data"]
            if len(found) >= attempts:
                return found
            await asyncio.sleep(0.05)


@dataclass
class Maker:
    """Creates jobs of project acme that end."""

    jobs: Jobs
    project_id: str

    async def running(self) -> JobRecord:
        """Create a job that a worker has taken."""
        return await self.jobs.create(running_job(self.project_id))

    async def ended(self, status: Status) -> JobRecord:
        """Create a job that has reached a final status."""
        job = await self.running()
        now_s = clock.now_s()
        ends = {
            Status.SUCCEEDED: lambda j: lifecycle.succeed(
                j, j, model="m", result_files=(), trained_tokens=1, now_s=now_s
            ),
            Status.FAILED: lambda j: lifecycle.fail(
                j, j, JobFailure(code="c", message="a secret of a row"), now_s
            ),
            Status.CANCELLED: lambda j: lifecycle.cancel(j, now_s),
        }
        return await self.jobs.change(job.project_id, job.id, ends[status])


@pytest.fixture
async def maker(api: Api, http: httpx.AsyncClient) -> Maker:
    """Creates jobs of project acme."""
    project = await api.app.state.projects.by_name("acme")
    return Maker(api.app.state.jobs, project.id)
