"""Generates what the client takes from openapi.json, and its synchronous half: `make clients`.

python clients/python/scripts/generate.py [--check]
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import generate_resources
import generate_sync
import generate_types

CLIENT = Path(__file__).parent.parent
OPENAPI = CLIENT.parent.parent / "openapi.json"
PACKAGE = CLIENT / "src" / "finetuned"


def main() -> int:
    """Write the modules, or check whether they are up to date."""
    openapi = json.loads(OPENAPI.read_text("utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "finetuned"
        shutil.copytree(PACKAGE, built, ignore=shutil.ignore_patterns("resources", "_sync", "cli"))
        made = generate_types.generate(openapi)
        made |= generate_resources.Generator(openapi).modules()
        _write(built, made)
        _format(built, ["types.py", "params.py", "_async/resources"])
        _write(built, generate_sync.generate(built))
        _format(built, ["_sync"])
        places = ("types.py", "params.py", "_async/resources", "_sync")
        new, old = _read(built, places), _read(PACKAGE, places)
        if "--check" not in sys.argv[1:]:
            for stale in old.keys() - new.keys():
                (PACKAGE / stale).unlink()
            _write(PACKAGE, {PACKAGE / path: text for path, text in new.items()})
            return 0
    stale_paths = sorted(path for path in new.keys() | old.keys() if new.get(path) != old.get(path))
    for path in stale_paths:
        print(f"{path} is out of date: run `make clients`", file=sys.stderr)
    return 1 if stale_paths else 0


def _write(package: Path, sources: dict[Path, str]) -> None:
    for path, text in sources.items():
        target = package / path.relative_to(PACKAGE if path.is_relative_to(PACKAGE) else package)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")


def _format(package: Path, places: list[str]) -> None:
    targets = [str(package / place) for place in places]
    ruff = [sys.executable, "-m", "ruff"]
    config = f"--config={CLIENT / 'pyproject.toml'}"
    select = "--select=I,UP,F401,TC005"
    subprocess.run(
        [*ruff, "check", "--fix-only", "--quiet", "--no-cache", config, select, *targets],
        check=True,
    )
    subprocess.run([*ruff, "format", "--quiet", "--no-cache", config, *targets], check=True)


def _read(package: Path, places: tuple[str, ...]) -> dict[str, str]:
    """Return the modules at some places, by their paths in the package."""
    found = [
        module
        for place in places
        for module in (
            [package / place] if place.endswith(".py") else (package / place).rglob("*.py")
        )
        if module.exists()
    ]
    return {str(module.relative_to(package)): module.read_text("utf-8") for module in found}


if __name__ == "__main__":
    sys.exit(main())
