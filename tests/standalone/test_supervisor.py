"""Tests that child processes are restarted and that none is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from redis.exceptions import RedisError, ResponseError

from service.core.redis import REDIS_ERRORS, Client, connect
from service.standalone import services
from service.standalone.layout import AlreadyRunning, DataLayout
from service.standalone.services import Ports, free_port
from service.standalone.supervisor import Service, StartFailed, Stop, Supervisor, crash_reason
from tests.small_disk import fill, small_disk

# A parent that ignores SIGTERM and has a child.
STUBBORN = (
    "import signal, subprocess, sys, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    "print(child.pid, flush=True)\n"
    "time.sleep(600)\n"
)


@pytest.fixture
async def supervisor(tmp_path: Path) -> AsyncIterator[Supervisor]:
    one = Supervisor(tmp_path / "run", tmp_path / "logs")
    yield one
    await one.stop()


def service(code: str, name: str = "s", ready: bool = True) -> Service:
    async def probe() -> bool:
        return ready

    return Service(
        name=name,
        argv=[sys.executable, "-c", code],
        env=os.environ,
        ready=probe,
        where="",
        stop_s=0.5,
    )


async def grandchild(tmp_path: Path) -> int:
    log = tmp_path / "logs" / "s.log"
    async with asyncio.timeout(60):
        while not (log.exists() and log.read_text().strip()):
            await asyncio.sleep(0.05)
    return int(log.read_text().split()[-1])


def pid(of: Service) -> int:
    assert of.process is not None
    return of.process.pid


def runs(process_id: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(process_id).status() != psutil.STATUS_ZOMBIE
    return False


async def until(condition, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.05)


async def test_a_dead_child_is_restarted(supervisor, tmp_path):
    one = service("import time; time.sleep(600)")
    await supervisor.start(one)
    first = pid(one)
    os.kill(first, signal.SIGKILL)
    await until(lambda: pid(one) != first and runs(pid(one)))
    assert one.restarts == 1


async def test_stop_ends_a_stubborn_child_and_its_children(supervisor, tmp_path):
    one = service(STUBBORN)
    await supervisor.start(one)
    below = await grandchild(tmp_path)
    await supervisor.stop()
    await until(lambda: not runs(pid(one)) and not runs(below))
    assert list((tmp_path / "run").iterdir()) == []


async def test_orphans_of_a_dead_child_are_killed_before_its_restart(supervisor, tmp_path):
    one = service(STUBBORN)
    await supervisor.start(one)
    below = await grandchild(tmp_path)
    os.kill(pid(one), signal.SIGKILL)
    await until(lambda: not runs(below))


async def test_leftovers_of_a_killed_run_are_cleared(tmp_path):
    """A process group that survived its supervisor, as after `kill -9` of `up`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "import time; time.sleep(600)", start_new_session=True
    )
    run = tmp_path / "run"
    next_run = Supervisor(run, tmp_path / "logs")
    started = psutil.Process(process.pid).create_time()
    (run / "s.group").write_text(f"{process.pid} {started}")
    next_run.clear_leftovers()
    assert await process.wait() == -signal.SIGKILL
    assert list(run.iterdir()) == []


async def test_a_reused_process_id_is_not_killed(tmp_path):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "import time; time.sleep(600)", start_new_session=True
    )
    run = tmp_path / "run"
    next_run = Supervisor(run, tmp_path / "logs")
    (run / "s.group").write_text(f"{process.pid} 123.0")
    next_run.clear_leftovers()
    assert runs(process.pid)
    process.kill()
    await process.wait()


async def test_a_service_that_never_becomes_ready_names_its_log(supervisor):
    one = service("import time; time.sleep(600)", ready=False)
    await supervisor.start(one)
    with pytest.raises(StartFailed, match=r"s\.log"):
        await supervisor.until_ready(one, 0.5)


def test_only_one_up_runs_on_a_folder(tmp_path):
    layout = DataLayout(tmp_path)
    with layout.lock() as lock:
        lock.write("pid 1")
        lock.flush()
        with pytest.raises(AlreadyRunning, match="pid 1"):
            layout.lock()
    layout.lock().close()


def test_secrets_are_generated_once_and_private(tmp_path):
    layout = DataLayout(tmp_path)
    assert layout.secret("x") == layout.secret("x") != layout.secret("y")
    assert (tmp_path / ".x").stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
async def test_a_service_that_keeps_dying_gives_a_reason_and_others_keep_running(
    supervisor, tmp_path
):
    """One base model that cannot be loaded, and one that can."""
    well = service("import time; time.sleep(600)", name="well")
    flag = tmp_path / "mended"
    broken = service(
        "import os, sys, time\n"
        f"if os.path.exists({str(flag)!r}): time.sleep(600)\n"
        "raise ValueError('the weights are cut off')",
        name="broken",
    )

    async def probe() -> bool:
        return flag.exists()

    broken.ready = probe
    await supervisor.start(well)
    await supervisor.start(broken)
    with pytest.raises(StartFailed, match=r"broken keeps dying: the weights are cut off; see .*"):
        await supervisor.until_ready(broken, 120)
    await supervisor.until_ready(well, 60)
    assert (well.restarts, runs(pid(well))) == (0, True)
    fault = DataLayout(tmp_path).fault("broken")
    assert "the weights are cut off" in fault.read_text("utf-8")

    ready = asyncio.Event()
    supervisor.when_ready(broken, ready.set)
    flag.touch()  # the operator fixes it, and no other command is needed
    await asyncio.wait_for(ready.wait(), 60)
    assert not fault.exists()


async def test_fault_files_are_removed_at_the_end_and_at_the_next_start(supervisor, tmp_path):
    one = service("raise SystemExit(1)", ready=False)
    await supervisor.start(one)
    with pytest.raises(StartFailed):
        await supervisor.until_ready(one, 0.1)
    fault = DataLayout(tmp_path).fault("s")
    assert fault.exists()
    await supervisor.stop()
    assert not fault.exists()
    fault.write_text("left behind by kill -9", "utf-8")
    Supervisor(tmp_path / "run", tmp_path / "logs").clear_leftovers()
    assert not fault.exists()


async def test_the_store_stops_last_and_ignores_sigterm(supervisor, tmp_path):
    """systemd sends SIGTERM to all processes of a service, and `up` stops them in its order."""
    order = tmp_path / "order"
    code = (
        "import signal, sys, time\n"
        "def end(*_):\n"
        f"    open({str(order)!r}, 'a').write(sys.argv[1])\n"
        "    raise SystemExit\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "signal.signal(signal.SIGINT, end)\n"
        "print('waiting', flush=True)\n"
        "time.sleep(600)\n"
    )
    services = {}
    for name, stop in (("store", Stop.LAST), ("engine", Stop.AFTER_CALLERS), ("api", Stop.FIRST)):
        services[name] = service(code, name)
        services[name].argv = [*services[name].argv, name]
        services[name].stop, services[name].stop_s = stop, 60
        await supervisor.start(services[name])
        await until((tmp_path / "logs" / f"{name}.log").read_text, 60)
    os.kill(pid(services["store"]), signal.SIGTERM)
    await supervisor.stop()
    assert order.read_text() == "apienginestore"


async def test_the_crash_reason_contains_no_secret(supervisor, caplog):
    one = service("raise ValueError('no redis://me:pass-word@host, nor my-long-key')")
    one.env = {**os.environ, "FINETUNED_UPSTREAM_API_KEY": "my-long-key"}
    await supervisor.start(one)
    await until(lambda: caplog.messages, 60)
    assert re.fullmatch(
        r"s ended with 1 and restarts in 0\.5 s: no redis://host, nor \*\*\*", caplog.messages[0]
    )


async def test_a_service_survives_a_full_log_disk(tmp_path):
    with small_disk(tmp_path / "disk", "64k") as disk:
        supervisor = Supervisor(disk / "run", disk / "logs")
        fill(disk / "of-others")
        one = service("import time; time.sleep(600)")
        await supervisor.start(one)
        first = pid(one)
        os.kill(first, signal.SIGKILL)
        await until(lambda: pid(one) != first and runs(pid(one)), 60)
        await supervisor.stop()


@pytest.mark.slow
async def test_a_store_without_space_refuses_writes_until_there_is_space(tmp_path):
    with small_disk(tmp_path / "disk", "8m") as disk:
        layout = DataLayout(disk)
        with layout.open(""):
            supervisor = Supervisor(layout.run, layout.logs)
            store = services.valkey(layout, Ports(api=0, valkey=free_port(), worker=0))
            await supervisor.start(store)
            await supervisor.until_ready(store, 60)
            supervisor.run_alongside(services.follow_disk(layout))
            redis = connect(services.running_store(disk) or "", retries=0)

            async def sync_is(mode: str) -> bool:
                with contextlib.suppress(*REDIS_ERRORS):
                    return (await redis.config_get("appendfsync"))["appendfsync"] == mode
                return False

            assert await sync_is("always")
            await redis.set("kept", 1)
            fill(disk / "of-others")  # at once, so that Valkey may exit once
            async with asyncio.timeout(60):
                while not await refuses_writes(redis):
                    await asyncio.sleep(0.05)
            running = pid(store)
            for _ in range(20):
                assert await refuses_writes(redis)
                assert await redis.get("kept") == b"1"
                await asyncio.sleep(0.1)
            assert (pid(store), store.restarts <= 1) == (running, True)
            (disk / "of-others").unlink()
            async with asyncio.timeout(60):
                while not await sync_is("always") or await refuses_writes(redis):
                    await asyncio.sleep(0.05)
            assert pid(store) == running
            await redis.aclose(close_connection_pool=True)
            await supervisor.stop()


async def refuses_writes(redis: Client) -> bool:
    try:
        await redis.set("big", "x" * 5000)
    except ResponseError as e:
        return str(e).startswith("MISCONF")
    except (RedisError, OSError):
        return False  # it restarts
    return False


VLLM = """INFO [utils.py:9] no more than `OSError: too many open files`: see ulimit
(EngineCore_0 pid=9) ERROR [core.py:700] Traceback (most recent call last):
(EngineCore_0 pid=9) ERROR [core.py:700]   File "weights.py", line 1, in load
(EngineCore_0 pid=9) ERROR [core.py:700] safetensors_rust.SafetensorError: header too large
(EngineCore_0 pid=9) Process EngineCore_0:
(APIServer pid=8) RuntimeError: Engine core initialization failed. See root cause above.
"""
VLLM_JSON = """{"level": "ERROR", "logger": "vllm.engine", "message": "failed", "exc_info":\
 "Traceback (most recent call last):\\nsafetensors_rust.SafetensorError: header too large"}
(EngineCore_0 pid=9) Process EngineCore_0:
RuntimeError: Engine core initialization failed. See root cause above.
"""
PYDANTIC = """Traceback (most recent call last):
pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig
  Value error, Model architectures ['X'] are not supported for now. [type=value_error]
"""


LOGGED = """{"level": "ERROR", "message": "an engine is away"}
{"level": "ERROR", "message": "Traceback (most recent calls)\\na.PortTaken: 9101 is taken.\\n"}
{"level": "ERROR", "message": "Application startup failed. Exiting."}
{"level": "INFO", "message": "the end"}
"""


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("", ""),
        ("\n \n", ""),
        ("one\ntwo\n\n", "two"),
        ("finetuned-server: the base model 'x' is broken\n", "the base model 'x' is broken"),
        ("ModuleNotFoundError: No module named 'vllm'\n", "No module named 'vllm'"),
        (VLLM, "header too large"),
        (VLLM_JSON, "header too large"),
        (PYDANTIC, "Value error, Model architectures ['X'] are not supported for now."),
        (LOGGED, "9101 is taken."),
        ('{"level": "ERROR", "message": "no more"}\n{}\n[1]\n', "no more"),
        ("ValueError: " + "x" * 1000, "x" * 300),
    ],
)
def test_the_crash_reason_is_the_first_error_or_the_last_line(tmp_path, log, reason):
    file = tmp_path / "s.log"
    file.write_text(log, "utf-8")
    assert crash_reason(file, 0).startswith(reason)
    assert len(crash_reason(file, 0)) <= 300


def test_output_of_an_earlier_process_is_ignored(tmp_path):
    file = tmp_path / "s.log"
    file.write_text("ValueError: old\nValueError: new\n", "utf-8")
    assert crash_reason(file, len("ValueError: old\n")) == "new"
    assert crash_reason(tmp_path / "none.log", 0) == ""


async def test_the_log_of_a_running_process_is_rotated(tmp_path: Path):
    code = "import sys, time\nfor n in range(10**6): print(n, flush=True); time.sleep(0.05)"
    supervisor = Supervisor(tmp_path / "run", tmp_path / "logs", look_at_logs_every_s=0.1)
    log = tmp_path / "logs" / "s.log"
    await supervisor.start(service(code))
    try:
        with log.open("ab") as file:
            file.write(b"x" * (50 * 2**20) + b"\n")
        async with asyncio.timeout(60):
            while not (log.with_suffix(".log.1").exists() and 0 < log.stat().st_size < 2**20):
                await asyncio.sleep(0.05)
    finally:
        await supervisor.stop()
    assert log.with_suffix(".log.1").stat().st_size > 50 * 2**20
    assert not log.read_bytes().startswith(b"\0")
