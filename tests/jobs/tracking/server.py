"""The part of MLflow's REST API that runs need, with every request that it gets.

`test_mlflow.py` asks a real server the same, so that both agree.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.http_server import http_server

_API = "/api/2.0/mlflow/"


class _Refused(Exception):
    """A request that MLflow refuses."""

    def __init__(self, status: int, code: str) -> None:
        self.status = status
        self.code = code


@dataclass
class MlflowServer:
    """A server that keeps runs in memory."""

    url: str = ""
    requests: list[tuple[str, str]] = field(default_factory=list)
    """Path and body of each."""
    authorizations: list[str | None] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    """Statuses of the next answers. The request is carried out before its answer is lost."""
    moved_to: str = ""
    experiments: dict[str, str] = field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def sent(self) -> str:
        """Everything that the server got."""
        return json.dumps(self.requests)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a request."""
        body = await request.text()
        self.requests.append((request.path_qs, body))
        self.authorizations.append(request.headers.get("authorization"))
        if self.moved_to:
            raise web.HTTPTemporaryRedirect(self.moved_to)
        try:
            content = self._answer(request, json.loads(body) if body else {})
        except _Refused as e:
            refusal = {"error_code": e.code, "message": "a secret of the server"}
            return web.json_response(refusal, status=e.status)
        if self.statuses:
            return web.Response(status=self.statuses.pop(0))
        return web.json_response(content)

    def _answer(self, request: web.Request, body: dict[str, Any]) -> dict[str, Any]:
        path = request.path.removeprefix(_API)
        match path:
            case "experiments/get-by-name":
                name = request.query["experiment_name"]
                if name not in self.experiments:
                    raise _Refused(404, "RESOURCE_DOES_NOT_EXIST")
                return {"experiment": {"experiment_id": self.experiments[name], "name": name}}
            case "experiments/create":
                return {"experiment_id": self._create_experiment(body["name"])}
            case "runs/search":
                return {"runs": self._search(body)}
            case "runs/create":
                return {"run": self._create_run(body)}
            case "runs/log-batch":
                self._log(body)
                return {}
            case "runs/update":
                self.runs[body.pop("run_id")]["info"] |= body
                return {}
            case "runs/get":
                return {"run": self.runs[request.query["run_id"]]}
        raise _Refused(404, "ENDPOINT_NOT_FOUND")

    def _create_experiment(self, name: str) -> str:
        if name in self.experiments:
            raise _Refused(400, "RESOURCE_ALREADY_EXISTS")
        self.experiments[name] = str(len(self.experiments) + 1)
        return self.experiments[name]

    def _search(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            run
            for run in self.runs.values()
            if run["info"]["experiment_id"] in body["experiment_ids"]
            and any(
                body["filter"] == f"tags.`{tag['key']}` = '{tag['value']}'"
                for tag in run["data"]["tags"]
            )
        ]

    def _create_run(self, body: dict[str, Any]) -> dict[str, Any]:
        run_id = f"{len(self.runs):032x}"
        data = {"tags": body.pop("tags"), "params": [], "metrics": []}
        self.runs[run_id] = {"info": {**body, "run_id": run_id, "status": "RUNNING"}, "data": data}
        return self.runs[run_id]

    def _log(self, body: dict[str, Any]) -> None:
        data = self.runs[body["run_id"]]["data"]
        for kind in ("metrics", "params", "tags"):
            data[kind] += [one for one in body.get(kind, []) if one not in data[kind]]


@asynccontextmanager
async def mlflow_server() -> AsyncIterator[MlflowServer]:
    """Serve the API on a free port."""
    server = MlflowServer()
    async with http_server(server.answer) as url:
        server.url = url
        yield server
