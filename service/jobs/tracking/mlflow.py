"""Client of MLflow's REST API (`/api/2.0/mlflow`), for the calls that a run needs.

It follows no redirects, keeps no cookies and ignores proxy variables in the environment, so it
connects only to the server that it is given.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import aiohttp
from yarl import URL

from service import __version__
from service.config import Settings
from service.jobs.records import EventRecord, JobRecord, Status
from service.jobs.tracking.records import MlflowRun

JOB_TAG = "finetuned.job_id"
_MAX_VALUE = 500  # characters; older servers reject longer values of parameters
_NOT_METRICS = frozenset({"step", "total_steps"})
_OUTCOMES = {Status.SUCCEEDED: "FINISHED", Status.FAILED: "FAILED", Status.CANCELLED: "KILLED"}
_TIMEOUT_S = 30.0
_MAX_ANSWER_BYTES = 1024 * 1024
_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
_CODE = re.compile(r"[A-Z_]{1,64}")
_NOT_FOUND, _EXISTS = "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"


def tags_of(job: JobRecord, run: MlflowRun) -> list[dict[str, str]]:
    """Return the tags of a new run: the user's, and those that lead back to the job."""
    return _pairs(
        {
            **run.tags,
            "mlflow.source.name": "finetuned",
            "mlflow.source.type": "JOB",
            "mlflow.user": job.project_name,
            JOB_TAG: job.id,
            "finetuned.base_model": job.model,
        }
    )


def parameters_of(job: JobRecord) -> list[dict[str, str]]:
    """Return the job's hyperparameters, seed, and the IDs of its files, as parameters."""
    chosen = job.hyperparameters.model_dump(mode="json", exclude_none=True)
    facts = {
        "base_model": job.model,
        "method": job.method,
        "seed": job.seed,
        "training_file": job.training_file,
        "validation_file": job.validation_file,
    }
    for place, mixed in enumerate(job.mixed_files):
        facts |= {f"mixed_files.{place}.{name}": value for name, value in mixed}
    given = {name: value for name, value in facts.items() if value is not None}
    return _pairs(dict(_flat({**given, **chosen})))


def metrics_of(events: Iterable[EventRecord]) -> list[dict[str, Any]]:
    """Return the numbers in the metrics events, as MLflow's metrics."""
    return [
        {"key": name, "value": value, "timestamp": event.created_at * 1000, "step": step}
        for event in events
        if event.type == "metrics" and isinstance(step := event.data.get("step"), int)
        for name, value in event.data.items()
        if name not in _NOT_METRICS and _is_number(value)
    ]


def outcome_of(job: JobRecord) -> dict[str, Any]:
    """Return the final status and time of a job that has ended, as an update of its run."""
    return {"status": _OUTCOMES[job.status], "end_time": (job.finished_at or 0) * 1000}


def final_tags_of(job: JobRecord) -> list[dict[str, str]]:
    """Return the tags that are known when the job has ended."""
    tags = {"finetuned.fine_tuned_model": job.fine_tuned_model} if job.fine_tuned_model else {}
    if job.error is not None:
        tags["finetuned.error_code"] = job.error.code
    return _pairs(tags)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _pairs(values: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"key": name, "value": _text(value)} for name, value in values.items()]


def _text(value: Any) -> str:
    listed = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return listed[:_MAX_VALUE]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


class MlflowFailed(Exception):
    """A call failed. `problem` is its kind, and `detail` contains no text of the server."""

    def __init__(self, problem: str, detail: str, code: str = "") -> None:
        super().__init__(f"{problem}: {detail}")
        self.problem = problem
        self.detail = detail
        self.code = code


class Mlflow:
    """An MLflow server, with the operator's credentials."""

    def __init__(self, tracking_uri: str, settings: Settings) -> None:
        self._base = URL(tracking_uri)
        self._headers = {"user-agent": f"finetuned/{__version__}", **_authorization(settings)}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S),
            headers=self._headers,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def experiment_id(self, name: str) -> str:
        """Return the ID of the experiment, which is created if it does not exist."""
        try:
            return await self._get_experiment(name)
        except MlflowFailed as e:
            if e.code != _NOT_FOUND:
                raise
        try:
            return _id(await self._post("experiments/create", name=name), "experiment_id")
        except MlflowFailed as e:
            if e.code != _EXISTS:
                raise
        return await self._get_experiment(name)  # another job has just created it

    async def find_run(self, experiment_id: str, job_id: str) -> str | None:
        """Return the ID of the job's run, if it exists already."""
        found = await self._post(
            "runs/search",
            experiment_ids=[experiment_id],
            filter=f"tags.`{JOB_TAG}` = '{job_id}'",
            max_results=1,
        )
        runs = found.get("runs") or []
        return _id(runs[0], "info", "run_id") if runs else None

    async def create_run(
        self, experiment_id: str, name: str, start_time: int, tags: Sequence[Mapping[str, str]]
    ) -> str:
        """Create a run that starts at `start_time` (Unix milliseconds), and return its ID."""
        made = await self._post(
            "runs/create",
            experiment_id=experiment_id,
            run_name=name,
            start_time=start_time,
            tags=tags,
        )
        return _id(made, "run", "info", "run_id")

    async def log(self, run_id: str, **batch: Sequence[Mapping[str, Any]]) -> None:
        """Add `metrics` (up to 1000), `params` (up to 100) or `tags` (up to 100) to a run."""
        await self._post("runs/log-batch", run_id=run_id, **batch)

    async def update_run(self, run_id: str, **fields: Any) -> None:
        """Set the status and the end time of a run."""
        await self._post("runs/update", run_id=run_id, **fields)

    async def _get_experiment(self, name: str) -> str:
        path = "experiments/get-by-name"
        found = await self._call("GET", path, params={"experiment_name": name})
        return _id(found, "experiment", "experiment_id")

    async def _post(self, path: str, **body: Any) -> dict[str, Any]:
        return await self._call("POST", path, json=body)

    async def _call(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        if self._session is None:
            raise RuntimeError("the client is not open")
        url = self._base / "api/2.0/mlflow" / path
        try:
            async with self._session.request(
                method, url, allow_redirects=False, **content
            ) as response:
                answer = _parse(await _read(response))
        except (aiohttp.ClientError, OSError) as e:  # TimeoutError is an OSError
            raise MlflowFailed("unreachable", type(e).__name__) from e
        if response.status == 200 and answer is not None:
            return answer
        raise _failure(response.status, answer)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > _MAX_ANSWER_BYTES:
            raise MlflowFailed("not_mlflow", f"more than {_MAX_ANSWER_BYTES} bytes")
    return bytes(body)


def _parse(body: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(body)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _failure(status: int, answer: dict[str, Any] | None) -> MlflowFailed:
    code = str((answer or {}).get("error_code", ""))
    code = code if _CODE.fullmatch(code) else ""
    detail = f"HTTP {status}, {code}" if code else f"HTTP {status}"
    if status in (401, 403):
        return MlflowFailed("unauthorized", detail, code)
    if status == 429 or status >= 500:
        return MlflowFailed("unavailable", detail, code)
    return MlflowFailed("rejected" if code else "not_mlflow", detail, code)


def _id(answer: Any, *path: str) -> str:
    """Return an ID in an answer. It is stored and shown, so it is checked."""
    for name in path:
        answer = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(answer, str) or not _ID.fullmatch(answer):
        raise MlflowFailed("not_mlflow", "an answer without an ID")
    return answer


def _authorization(settings: Settings) -> dict[str, str]:
    if settings.mlflow_tracking_token is not None:
        return {"authorization": f"Bearer {settings.mlflow_tracking_token.get_secret_value()}"}
    if settings.mlflow_tracking_username is not None:
        password = settings.mlflow_tracking_password
        word = "" if password is None else password.get_secret_value()
        login = f"{settings.mlflow_tracking_username}:{word}".encode()
        return {"authorization": f"Basic {base64.b64encode(login).decode()}"}
    return {}
