"""Runs Redocly on openapi.json: `python -m tests.openapi.checks`, also `make proof NAME=openapi`.

Lints the description, and compares it with the last release in docs/openapi, which `make release`
writes: a breaking change requires a version that allows it. Nothing is sent anywhere.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from service import __version__
from tests.node import NODE, env, npm_ci
from tests.openapi.description import FILE, ROOT

HERE = Path(__file__).parent
RELEASED = ROOT / "docs" / "openapi"
_QUIET = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
Change = dict[str, Any]


def redocly(*words: str, tools: Path) -> subprocess.CompletedProcess[str]:
    """Run Redocly with our rules."""
    program = tools / "node_modules" / "@redocly" / "cli" / "bin" / "cli.js"
    return subprocess.run(
        [NODE, program, *words, "--config", HERE / "redocly.yaml"],
        env=env(**_QUIET),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def lint(file: Path, *, tools: Path) -> list[str]:
    """Return the errors in a description, each with its rule and location."""
    done = redocly("lint", str(file), "--format", "json", "--max-problems", "1000", tools=tools)
    if not done.stdout:
        raise RuntimeError(done.stderr)
    return [
        f"{problem['ruleId']}: {problem['message']} {problem['location'][0].get('pointer', '')}"
        for problem in json.loads(done.stdout)["problems"]
        if not problem.get("ignored")
    ]


def breaking(before: Path, after: Path, *, tools: Path) -> list[str]:
    """Return the changes that would break clients of the old description."""
    done = redocly("diff", str(before), str(after), "--format", "json", tools=tools)
    if not done.stdout:
        raise RuntimeError(done.stderr)
    changes: list[Change] = json.loads(done.stdout)["changes"]
    return sorted({_told(change) for change in changes if _breaks(change)})


def _breaks(change: Change) -> bool:
    if change["impact"] == "major":
        return True
    # Redocly reports a body as added if there was none before, required or not.
    body = change.get("revision", {}).get("value")
    added = change["kind"] == "added" and change["path"].endswith("/requestBody")
    return added and isinstance(body, dict) and body.get("required") is True


def _told(change: Change) -> str:
    place = change["path"].replace("~1", "/")
    said = [verdict["message"] for verdict in change["verdicts"] if "message" in verdict]
    return f"{place}: {'; '.join(said) or change['kind']}"


def released(folder: Path = RELEASED) -> Path | None:
    """Return the description of the last release, named after its version, if there is one."""
    return next(folder.glob("*.json"), None)


def may_break(before: str, after: str) -> bool:
    """Return whether the version allows breaking changes: major, or minor below 1.0."""
    old, new = _numbers(before), _numbers(after)
    return new[0] > old[0] or (new[0] == old[0] == 0 and new[1] > old[1])


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall("[0-9]+", version)[:3])


def changes_of(file: Path, version: str, *, tools: Path, since: Path | None) -> list[str]:
    """Return breaking changes since a release that the version does not allow."""
    if since is None or may_break(since.stem, version):
        return []
    return breaking(since, file, tools=tools)


def main() -> int:
    """Lint and compare. Returns 1 if there are problems."""
    tools = npm_ci(HERE)
    faults = lint(FILE, tools=tools)
    release = released()
    changes = changes_of(FILE, __version__, tools=tools, since=release)
    tell: Callable[[str], int] = sys.stdout.write
    for fault in faults:
        tell(f"{fault}\n")
    for change in changes:
        tell(f"breaks what was released as {release and release.stem}: {change}\n")
    if changes:
        tell("Undo this, or raise the version in service/__init__.py and pyproject.toml.\n")
    return 1 if faults or changes else 0


if __name__ == "__main__":
    sys.exit(main())
