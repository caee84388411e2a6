"""Generates files of the chart: its README, the users of its Valkey, and the names of all settings.

Run `make helm-readme`.

The README has the text of README.md.in and a table of values.yaml, in which a line `# -- meaning`
describes the value on the next line. The users are those of service/core/redis/acl.py; the shell
that starts Valkey inserts their passwords.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

from service.config import Settings
from service.core.redis.acl import USERS

CHART = Path(__file__).parent.parent / "helm" / "finetuned"
VALKEY_USERS = CHART / "files" / "valkey-users.conf"
SETTINGS = CHART / "files" / "settings.txt"
_MEANING = re.compile(r"^( *)# -- (.+)$")
_KEY = re.compile(r"^( *)([A-Za-z]\w*):")
_INDENT = 2


class Undocumented(Exception):
    """Raised for a description without a value, or a value without a description."""


def meanings(text: str) -> dict[str, str]:
    """Map the path of each documented value to its description."""
    found: dict[str, str] = {}
    path: list[str] = []
    meaning: str | None = None
    for line in text.splitlines():
        if match := _MEANING.match(line):
            meaning = match[2]
        elif key := _KEY.match(line):
            path = [*path[: len(key[1]) // _INDENT], key[2]]
            if meaning is not None:
                found[".".join(path)] = meaning
            meaning = None
        elif meaning is not None:
            raise Undocumented(f"no value follows the description: {meaning}")
    return found


def undocumented(values: Any, known: dict[str, str], path: str = "") -> list[str]:
    """Return the paths of values without a description of their own or of a parent."""
    if path in known:
        return []
    if isinstance(values, dict) and values:
        return [
            name
            for key, value in values.items()
            for name in undocumented(value, known, f"{path}.{key}".lstrip("."))
        ]
    return [path]


def table(text: str) -> str:
    """Return the table of all values. Raises Undocumented if a description is missing."""
    values, known = yaml.safe_load(text), meanings(text)
    if missing := undocumented(values, known):
        raise Undocumented(f"no description for: {', '.join(missing)}")
    rows = ["| value | default | meaning |", "|---|---|---|"]
    for path, meaning in known.items():
        default: Any = values
        for key in path.split("."):
            default = default[key]
        rows.append(f"| `{path}` | `{json.dumps(default)}` | {meaning} |")
    return "\n".join(rows)


def readme(chart: Path = CHART) -> str:
    """Return the complete page."""
    text = (chart / "README.md.in").read_text("utf-8")
    return text.replace("@VALUES@", table((chart / "values.yaml").read_text("utf-8")))


def valkey_users() -> str:
    """Return the lines of Valkey's configuration, with a variable for each password."""
    return "".join(
        f"user {name} on >${name.upper()}_PASSWORD {user.rules()}\n" for name, user in USERS.items()
    )


def settings() -> str:
    """Return the names of all settings, one a line."""
    return "".join(f"{name.upper()}\n" for name in sorted(Settings.model_fields))


if __name__ == "__main__":
    (CHART / "README.md").write_text(readme(), "utf-8")
    VALKEY_USERS.write_text(valkey_users(), "utf-8")
    SETTINGS.write_text(settings(), "utf-8")
    sys.stdout.write(f"wrote {CHART / 'README.md'}, {VALKEY_USERS} and {SETTINGS}\n")
