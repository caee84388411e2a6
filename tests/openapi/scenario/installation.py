"""Scenario of what administrators see of the installation."""

from __future__ import annotations

from typing import Any

from tests.openapi.world import World

_GIB = 2**30


async def look(world: World) -> None:
    """List workers, queues and engines, and check the installation, while a worker runs."""
    for operation, cut in (
        ("listWorkers", _of_a_machine),
        ("listQueues", _without_tasks),
        ("listEngines", _one_engine),
        ("getDiagnostics", _some_checks),
    ):
        await world.call(operation, "now", key="admin", cut=cut)


def _of_a_machine(shown: Any) -> Any:
    """Show a worker with a GPU that trains."""
    shown["data"] = shown["data"][:1]
    for worker in shown["data"]:
        worker |= {"status": "busy", "queues": ["gpu"], "gpus": 1, "memory_bytes": 24 * _GIB}
        worker |= {"device": "cuda", "device_name": "NVIDIA L4", "memory_used_bytes": [9 * _GIB]}
        worker |= {"version": "0.3.0", "makes_gguf": True}
        task = {"type": "train", "object_id": "ftjob-0f3k9x2m7q1w8e5r4t6y0u2i", "attempt": 1}
        worker["tasks"] = [task]
    return shown


def _without_tasks(shown: Any) -> Any:
    """Show what waits when nothing does."""
    for one in shown["data"]:
        one |= {"waiting": 0, "oldest_waiting_at": None}
    return shown


def _one_engine(shown: Any) -> Any:
    """Show one engine that serves two adapters."""
    shown["data"] = shown["data"][:1]
    for engine in shown["data"]:
        names = ["ft:smollm2-135m-instruct:acme:bookshop:0f3k9x2m7q1w"]
        engine |= {"id": "http://engine-1:8001", "status": "serving", "version": "0.3.0"}
        engine |= {"requests_sent": 2, "requests_running": 2, "requests_waiting": 0}
        engine |= {"cache_usage": 0.03, "adapters_loaded": 2, "adapters_on_disk": 5}
        engine |= {"adapters_running": names, "adapters_waiting": []}
    shown["first_id"] = shown["last_id"] = "http://engine-1:8001"
    return shown


def _some_checks(shown: Any) -> Any:
    """Show the checks whose messages are the same on every machine."""
    kept = ("cpu workers", "gpu workers", "audit log")
    shown["checks"] = [check for check in shown["checks"] if check["name"] in kept]
    shown |= {"version": "0.3.0", "status": "failed"}
    return shown
