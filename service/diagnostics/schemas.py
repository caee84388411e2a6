"""Wire types of workers, engines and diagnostics."""

from __future__ import annotations

from typing import Final, Literal, Self

from pydantic import BaseModel, Field

from service.core import queue
from service.diagnostics.checks import OF, Finding
from service.diagnostics.engine_metrics import EngineMetrics
from service.fleet.workers import Worker
from service.inference.upstreams import Replica, ReplicaState

CheckStatus = Literal["ok", "warning", "failed"]
_STATUS: Final[dict[str, CheckStatus]] = {"ok": "ok", "note": "warning", "missing": "failed"}


class WorkerTask(BaseModel):
    """A task that a worker is doing."""

    type: str = Field(description="Type of the task.", examples=["train"])
    object_id: str = Field(
        description="ID of the object that the task works on; of an eval run, with the IDs of its "
        "parents before it.",
        examples=["ftjob-abc123"],
    )
    attempt: int = Field(description="Number of the attempt, starting at 1.")

    @classmethod
    def from_task(cls, task: str) -> Self:
        """Build the API object from the ID of a task."""
        parts = queue.parse_task_id(task)
        return cls(type=parts.function, object_id=parts.subject_id, attempt=parts.attempt)


class WorkerObject(BaseModel):
    """A worker process that is running."""

    object: Literal["organization.worker"] = "organization.worker"
    id: str = Field(description="Name of the worker.", examples=["gpu-node-1"])
    status: Literal["idle", "busy"] = Field(
        description="Status of the worker: `busy` while it has tasks, while it shuts down, and "
        "while it has a fault."
    )
    queues: list[str] = Field(
        description="Queues whose tasks the worker takes. Workers of `cpu` also take those of "
        "`evals` and `batches`.",
        examples=[["gpu"]],
    )
    tasks: list[WorkerTask] = Field(description="Tasks in progress.")
    version: str | None = Field(
        description="Version of the worker. Null for versions before 0.3.", examples=["0.3.0"]
    )
    last_heartbeat_at: int | None = Field(
        description="Time of the last sign of life, in Unix seconds. Workers that have sent none "
        "for 20 seconds are not listed. Null for versions before 0.3."
    )
    device: Literal["cuda", "cpu"] = Field(description="Device that trainings use.")
    device_name: str = Field(
        description="Name of the GPU, or of the processor.", examples=["NVIDIA L4"]
    )
    gpus: int = Field(description="Number of GPUs that the worker may use.")
    memory_bytes: int | None = Field(
        description="Memory of one GPU; without a GPU, of the machine or container. Null if "
        "unknown."
    )
    memory_used_bytes: list[int] | None = Field(
        description="Memory in use on each GPU, by any process. Null without a GPU, and if its "
        "driver does not report it."
    )
    makes_gguf: bool = Field(description="Whether the worker can make exports in the format GGUF.")
    fault: str | None = Field(
        description="Why the worker's GPUs cannot be used, so that it takes no trainings. Null if "
        "nothing is known to be wrong."
    )

    @classmethod
    def from_worker(cls, worker: Worker) -> Self:
        """Build the API object of a worker."""
        tasks = worker.tasks or ((worker.task,) if worker.task else ())
        used = worker.memory_used_bytes
        return cls(
            id=worker.name,
            status="busy" if tasks or worker.busy else "idle",
            queues=list(worker.queues),
            tasks=[WorkerTask.from_task(task) for task in tasks],
            version=worker.version,
            last_heartbeat_at=worker.announced_at,
            device=worker.device,
            device_name=worker.device_name,
            gpus=worker.gpus,
            memory_bytes=worker.memory_bytes,
            memory_used_bytes=None if used is None else list(used),
            makes_gguf=worker.makes_gguf,
            fault=worker.fault,
        )


class QueueObject(BaseModel):
    """A queue of tasks for workers."""

    object: Literal["organization.queue"] = "organization.queue"
    id: str = Field(description="Name of the queue.", examples=["gpu"])
    workers: int = Field(description="Number of running workers that take its tasks.")
    waiting: int = Field(description="Number of tasks that no worker has taken.")
    oldest_waiting_at: int | None = Field(
        description="Time at which the oldest of these tasks was due, in Unix seconds. Null if "
        "none waits."
    )


class EngineObject(BaseModel):
    """A server that runs models: one replica of vLLM."""

    object: Literal["organization.engine"] = "organization.engine"
    id: str = Field(
        description="Address of the engine, as the API sends requests to it.",
        examples=["http://engine-1:8001"],
    )
    model: str = Field(description="ID of the base model that the engine serves.")
    status: ReplicaState = Field(
        description="Status of the engine. `starting`: no sign of life yet. `warming`: its share "
        "of the requests grows. `serving`. `ejected`: it failed and gets no requests for now. "
        "`leaving`: it is no longer in DNS and finishes its last requests."
    )
    version: str | None = Field(
        description="Version of this service on the engine. Null if the engine does not answer."
    )
    requests_sent: int = Field(
        description="Requests that this API process has sent and that have no complete answer yet."
    )
    requests_running: int | None = Field(
        description="Requests of all API processes that the engine computes. Null if it does not "
        "answer."
    )
    requests_waiting: int | None = Field(
        description="Requests that wait inside the engine. Null if it does not answer."
    )
    cache_usage: float | None = Field(
        description="Used share of the memory for the tokens of requests, from 0 to 1. Null if the "
        "engine does not answer."
    )
    adapters_loaded: int | None = Field(
        description="Number of adapters in the memory of the engine. Null if unknown."
    )
    adapters_on_disk: int | None = Field(
        description="Number of adapters on the disk of the engine. Null if unknown."
    )
    adapters_running: list[str] = Field(
        description="Models whose requests the engine computes with an adapter."
    )
    adapters_waiting: list[str] = Field(
        description="Models whose requests wait for their adapter or for a free slot."
    )

    @classmethod
    def from_replica(
        cls, model: str, replica: Replica, state: ReplicaState, found: EngineMetrics
    ) -> Self:
        """Build the API object of a replica."""
        scheme, _, place = replica.url.partition("://")
        return cls(
            id=f"{scheme}://{place.rpartition('@')[2]}",  # without credentials
            model=model,
            status=state,
            version=found.version,
            requests_sent=replica.in_flight,
            requests_running=found.running,
            requests_waiting=found.waiting,
            cache_usage=found.cache_usage,
            adapters_loaded=found.adapters_loaded,
            adapters_on_disk=found.adapters_on_disk,
            adapters_running=list(found.running_adapters),
            adapters_waiting=list(found.waiting_adapters),
        )


class CheckObject(BaseModel):
    """A check of the installation."""

    name: str = Field(description="Subject of the check.", examples=["Redis memory"])
    code: str = Field(default="", description="Code of the subject.", examples=["redis_memory"])
    subject: str | None = Field(
        default=None, description="Name of what is checked, such as a base model. Null if none."
    )
    status: CheckStatus = Field(
        description="Status of the check. `warning`: it works, but something should be changed. "
        "`failed`: a part of the service does not work."
    )
    message: str = Field(description="Result of the check, in words.", examples=["32% of 512 MiB"])
    fix: str | None = Field(description="Suggested fix. Null if there is nothing to do.")

    @classmethod
    def from_finding(cls, finding: Finding) -> Self:
        """Build the API object of a check."""
        return cls(
            name=finding.what,
            code=finding.subject_code,
            subject=finding.what.partition(OF)[2] or None,
            status=_STATUS[finding.level],
            message=finding.found,
            fix=finding.how or None,
        )


class DiagnosticsObject(BaseModel):
    """Checks of the installation, as `finetuned-server doctor` makes them on a machine."""

    object: Literal["organization.diagnostics"] = "organization.diagnostics"
    status: CheckStatus = Field(description="The worst status of the checks.")
    checked_at: int = Field(description="Time of the checks, in Unix seconds.")
    version: str = Field(description="Version of the API process.", examples=["0.3.0"])
    checks: list[CheckObject] = Field(description="Result of each check.")

    @classmethod
    def from_findings(cls, findings: list[Finding], *, now_s: int, version: str) -> Self:
        """Build the API object of all checks."""
        checks = [CheckObject.from_finding(finding) for finding in findings]
        found = {check.status for check in checks}
        worst: CheckStatus = (
            "failed" if "failed" in found else "warning" if "warning" in found else "ok"
        )
        return cls(status=worst, checked_at=now_s, version=version, checks=checks)
