"""Tests of `doctor --kubernetes`, with a real Redis, networks, folders and processes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from service import __version__
from service.config import Settings
from service.core.redis import Client
from service.diagnostics.checks import Finding
from service.diagnostics.kubernetes import Expected, clock_skew, examine_pod
from service.fleet import workers
from service.fleet.capacity import own_gpus
from tests.egress.network import isolated, why_not

REDIS = Expected(redis=True)


def command(**expected: Any) -> list[str]:
    return [
        *(sys.executable, "-m", "service.cli", "doctor", "--json"),
        *("--kubernetes", json.dumps(expected)),
    ]


def findings(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    assert done.returncode in {0, 1}, done.stderr
    found = {f["what"]: f["level"] for f in json.loads(done.stdout)}
    assert (done.returncode == 1) == ("missing" in found.values())
    return found


def named(found: list[Finding], what: str) -> Finding:
    [only] = [finding for finding in found if finding.what == what]
    return only


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("maxmemory-policy", "allkeys-lru", "maxmemory-policy is allkeys-lru"),
        ("appendonly", "no", "appendonly is no"),
    ],
)
async def test_a_redis_that_can_lose_data_is_a_fault(settings, redis, setting, value, words):
    before = await redis.config_get("appendonly", setting)
    await redis.config_set("appendonly", "yes")
    try:
        assert named(await examine_pod(REDIS, settings), "Redis").level == "ok"
        await redis.config_set(setting, value)
        found = named(await examine_pod(REDIS, settings), "Redis")
    finally:
        for name, was in before.items():
            await redis.config_set(name, was)
    assert found.level == "missing"
    assert words in found.found
    assert found.how.startswith("Set '")


async def test_the_clock_and_an_unavailable_redis(settings, redis):
    assert named(await examine_pod(REDIS, settings), "clock").level == "ok"
    assert clock_skew(-1.9).level == "ok"
    assert "3600.0 s" in clock_skew(-3600).found
    assert clock_skew(-3600).level == "missing"
    gone = settings.model_copy(update={"redis_url": SecretStr("redis://:secret@127.0.0.1:1/0")})
    [found] = await examine_pod(REDIS, gone)
    assert (found.what, found.level) == ("Redis", "missing")
    assert "secret" not in str(found)


async def test_a_worker_without_its_gpus_and_none_at_all(settings, redis: Client):
    expected = Expected(redis=True, workers=True, gpus=1)
    assert named(await examine_pod(expected, settings), "gpu workers").level == "missing"
    has: dict[str, Any] = {"device": "cpu", "device_name": "x", "memory_bytes": 1}
    for name, gpus in (("plugin-missing", 0), ("well", 2)):
        worker = workers.Worker(name=name, queues=("cpu", "gpu"), gpus=gpus, **has)
        await workers.announce(redis, worker)
    found = await examine_pod(expected, settings)
    assert named(found, "GPUs of plugin-missing").level == "missing"
    assert "device plugin" in named(found, "GPUs of plugin-missing").how
    assert named(found, "GPUs of well").level == "ok"


async def test_the_gpus_of_this_pod():
    for wanted in (len(own_gpus()) + 1, len(own_gpus())):
        found = await examine_pod(Expected(gpus=wanted), Settings(), {})
        levels = [finding.level for finding in found]
        assert levels == (["missing"] if wanted > len(own_gpus()) else ["ok"] if wanted else [])


@pytest.mark.parametrize(("chart", "level"), [(__version__, "ok"), ("0.0.1", "missing")])
async def test_the_version_of_the_chart(chart, level):
    [found] = await examine_pod(Expected(chart=chart), Settings(), {})
    assert found.level == level


async def test_names_that_dns_knows_and_does_not_know():
    names = ("localhost", "nothing.invalid")
    known, unknown = await examine_pod(Expected(names=names), Settings(), {})
    assert (known.level, unknown.level) == ("ok", "missing")
    assert "networkPolicy.dns" in unknown.how


@pytest.fixture
def api_server() -> Iterator[dict[str, str]]:
    """A server on the address that the variables of a pod name."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        yield {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": port}


@pytest.mark.skipif(bool(why_not()), reason=str(why_not()))
def test_egress_is_denied_in_a_network_of_its_own_and_not_elsewhere(api_server):
    env = {**os.environ, **api_server}
    asked = command(is_egress_denied=True)
    outside = subprocess.run(asked, env=env, capture_output=True, text=True, check=False)
    assert findings(outside) == {"egress": "missing"}
    assert findings(isolated(asked, env=env)) == {"egress": "ok"}


def pods(*folders: Path, **more: Any) -> list[dict[str, str]]:
    """Run the check in a process per folder, at the same time, as the pods of the job."""
    running = [
        subprocess.Popen(
            command(shared=[str(folder)], pods=len(folders), **{"run": "r", **more}),
            env={**os.environ, "JOB_COMPLETION_INDEX": str(index)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index, folder in enumerate(folders)
    ]
    done = []
    for process in running:
        out, err = process.communicate(timeout=120)
        done.append(subprocess.CompletedProcess(process.args, process.returncode, out, err))
    return [findings(each) for each in done]


def test_a_volume_that_two_pods_share_and_volumes_that_they_do_not(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
    assert pods(one, one) == [{f"volume at {one}": "ok"}] * 2
    # A later run is not misled by what an earlier one left.
    apart = pods(one, other, run="later", patience_s=1)
    assert apart == [{f"volume at {one}": "missing"}, {f"volume at {other}": "missing"}]


async def test_a_folder_that_this_process_may_not_write(tmp_path):
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "below"
    [found] = await examine_pod(Expected(shared=(folder,)), Settings(), {})
    assert found.level == "missing"
    assert "cannot be written: Not a directory" in found.found


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_a_folder_of_another_user(tmp_path):
    tmp_path.chmod(0o755)
    program = (
        "import asyncio, os, sys\n"
        "from pathlib import Path\n"
        "from service.diagnostics.kubernetes import Expected, shared\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "[found] = asyncio.run(shared(Path(sys.argv[1]), 0, Expected()))\n"
        "print(found)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert "cannot be written: Permission denied" in done.stdout, done.stderr
