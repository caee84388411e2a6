"""Prepares a Python environment for a read-only image.

    /path/to/environment/bin/python scripts/seal.py

Removes pip, and compiles bytecode that is never checked against its source, so that file timestamps
do not matter and nothing rewrites it. Tests of packages, which are never run, are not compiled.
"""

import compileall
import py_compile
import re
import shutil
import subprocess
import sys
from pathlib import Path

TESTS = re.compile(r"/tests?/")
PIP = [sys.executable, "-m", "pip", "uninstall", "--quiet", "--yes", "pip"]


def main() -> None:
    """Seal the environment of the current interpreter."""
    subprocess.run(PIP, check=True)
    site = Path(sys.prefix) / "lib"
    for cache in list(site.rglob("__pycache__")):
        shutil.rmtree(cache)
    # Some packages contain templates that are not valid Python, so ignore compile errors.
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(site, quiet=2, workers=0, invalidation_mode=mode, rx=TESTS)


if __name__ == "__main__":
    main()
