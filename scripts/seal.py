"""Makes a Python environment ready for a read-only image.

    /path/to/environment/bin/python scripts/seal.py

Takes pip out, and writes bytecode that is never checked against its source: files' times do
not matter, and nothing tries to write it again.
"""

import compileall
import py_compile
import shutil
import subprocess
import sys
from pathlib import Path

PIP = [sys.executable, "-m", "pip", "uninstall", "--quiet", "--yes", "pip"]


def main() -> None:
    """Seal the environment of this interpreter."""
    subprocess.run(PIP, check=True)
    site = Path(sys.prefix) / "lib"
    for cache in list(site.rglob("__pycache__")):
        shutil.rmtree(cache)
    # Some packages carry templates that are no Python: their failure is no fault.
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(site, quiet=2, workers=0, invalidation_mode=mode)


if __name__ == "__main__":
    main()
