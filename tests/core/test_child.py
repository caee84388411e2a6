"""Tests of what a child process leaves behind if process 1 of a container started it."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
def test_no_dead_process_is_left(end):
    argv = [sys.executable, "-c", FIRST, end]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"
