"""Commands and options for the routes and the JSON that messages of the service name."""

from __future__ import annotations

import json
import re
from typing import Any

_COMMANDS = (
    (r"POST /v1/fine_tuning/jobs/([\w-]+)/evaluation", r"`finetuned jobs verdict \1 --again`"),
    (r"DELETE /v1/aliases/([^\s`]+?)(?=[.,;]?(?:\s|$))", r"`finetuned aliases delete \1`"),
    (r"GET /v1/models\b", "`finetuned models list --json`"),
    (r"set the hyperparameter 'validation_share'", "pass `--holdout SHARE`"),
    (r"\b[Aa] cleaning", "`finetuned files clean FILE_ID`"),
)


_FORMAT = re.compile(r'\{"(?:columns|encoding|roles|shape|sheet)": (?:"[^"]*"|\{[^}]*\})\}')


def with_commands(text: str) -> str:
    """Return a message that names commands and options where the service names routes and JSON."""
    for route, command in _COMMANDS:
        text = re.sub(route, command, text)
    return _FORMAT.sub(lambda found: f"`{' '.join(_options(json.loads(found[0])))}`", text)


def _options(given: dict[str, Any]) -> list[str]:
    """Return format options of the API as those of the command line."""
    return [
        f"--format {name}.{key}={one}" if key else f"--format {name}={one}"
        for name, value in given.items()
        for key, one in (value.items() if isinstance(value, dict) else [("", value)])
    ]
