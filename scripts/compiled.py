"""Copies this checkout and compiles the gateway there, as in the image of the API.

    python -m scripts.compiled FOLDER

The copy has the files that git knows, and extension modules next to their sources, which Python
imports instead. Put the folder first in PYTHONPATH to run it. This needs a C compiler.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Final

from scripts.dependencies import mypyc_hook

ROOT: Final = Path(__file__).parent.parent


def missing() -> str | None:
    """Return what this machine lacks to compile; None if nothing is missing."""
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    headers = Path(sysconfig.get_path("include"), "Python.h")
    if shutil.which(compiler) is None:
        return f"no C compiler: {compiler}"
    return None if headers.is_file() else "Python was installed without its C headers"


def modules() -> list[str]:
    """Return the names of the modules that are compiled, from pyproject.toml."""
    return [file.removesuffix(".py").replace("/", ".") for file in mypyc_hook()["include"]]


def compile_to(folder: Path, *, optimize: bool = True) -> None:
    """Copy the checkout to an empty or missing folder and compile it there.

    Without `optimize`, compiling takes half the time. Raises CalledProcessError, after printing
    what the compiler says.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        source, copy = ROOT / name, folder / name
        if source.is_file():  # deleted files are listed until they are committed
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
    if not optimize:
        project = folder / "pyproject.toml"
        text = project.read_text("utf-8")
        project.write_text(text.replace('opt_level = "2"', 'opt_level = "0"'), "utf-8")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel"],
        cwd=folder,
        env=os.environ | {"HATCH_BUILD_HOOKS_ENABLE": "1"},
        check=True,
    )


def environment(folder: Path) -> dict[str, str]:
    """Return an environment in which Python imports the compiled copy."""
    return os.environ | {"PYTHONPATH": f"{folder}:{folder / 'clients/python/src'}"}


if __name__ == "__main__":
    if why := missing():
        raise SystemExit(why)
    compile_to(Path(sys.argv[1]).absolute())
