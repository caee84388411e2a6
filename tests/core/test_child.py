"""Tests of a child process: it leaves no zombies below process 1, and ignores SIGTERM."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.core.child import Child

# Simulates process 1: orphaned descendants become its children.
FIRST = """
import asyncio, ctypes, os, sys
from pathlib import Path
import psutil
from service.core.child import Child

PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
CHILD = (
    "import subprocess, sys; "
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
    "print('started', flush=True); "
    "{end}"
)

async def main(end: str) -> None:
    argv = [sys.executable, "-c", CHILD.format(end=end)]
    child = await Child.start(argv, env=os.environ, stderr=Path(os.devnull))
    async for _ in child.lines():
        break
    await asyncio.sleep(0.3)
    await child.kill()
    print([p.status() for p in psutil.Process().children(recursive=True)])

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives orphans to a parent")
@pytest.mark.parametrize("end", ["import time; time.sleep(60)", "sys.exit(3)"])
def test_no_zombie_process_is_left(end):
    argv = [sys.executable, "-c", FIRST, end]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"


async def test_a_child_ignores_sigterm(tmp_path: Path):
    """systemd sends SIGTERM to all processes of a service, also while a worker drains."""
    code = "import sys; print('ready', flush=True); print(sys.stdin.readline(), flush=True)"
    child = await Child.start(
        [sys.executable, "-c", code], env=os.environ, stderr=tmp_path / "child.log"
    )
    lines = child.lines()
    assert await anext(lines) == b"ready\n"
    os.kill(child.pid, signal.SIGTERM)
    await child.send(b"answered\n")
    assert await anext(lines) == b"answered\n"
    assert await child.wait() == 0
    await child.kill()
