"""Tools of the tests: the peak memory of a task in its own process, and rows in canonical form."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from service.datasets.formats.options import RowFormat
from service.datasets.rows.canonical import canonical_block

# Runs a spec and then prints its own peak resident set and that of its children. Its
# own comes from VmHWM, because ru_maxrss starts at the size of the parent, here pytest.
_PROGRAM = """
import pathlib, re, resource, sys
from service.datasets.__main__ import main

code = main(sys.argv[1:])
status = pathlib.Path("/proc/self/status").read_text()
own = int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1])
print(1024 * max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code)
"""


def run_measured(spec: dict[str, Any], folder: Path) -> tuple[dict[str, Any], int]:
    """Run a task with two processes. Returns its answer and the peak memory in bytes."""
    given, result = folder / "spec.json", folder / "result.json"
    given.write_text(json.dumps({"result": str(result), "processes": 2, **spec}))
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(given)], capture_output=True, check=True
    )
    return json.loads(result.read_bytes()), int(done.stdout.split()[-1])


def canonical_form(path: Path, row_format: RowFormat = "chat") -> bytes:
    """Return the canonical rows of a JSON Lines file."""
    return b"".join(canonical_block(path, row_format, (0, path.stat().st_size)).rows)
