"""Commands in place of the API's routes, which messages of the service name."""

from __future__ import annotations

import re

_COMMANDS = (
    (r"POST /v1/fine_tuning/jobs/([\w-]+)/evaluation", r"`finetuned jobs verdict \1 --again`"),
    (r"DELETE /v1/aliases/([^\s`]+?)(?=[.,;]?(?:\s|$))", r"`finetuned aliases delete \1`"),
    (r"GET /v1/models\b", "`finetuned models list --json`"),
    (r"set the hyperparameter 'validation_share'", "pass `--holdout SHARE`"),
    (r"\b[Aa] cleaning", "`finetuned files clean FILE_ID`"),
)


def with_commands(text: str) -> str:
    """Return a message that names commands where the service names routes."""
    for route, command in _COMMANDS:
        text = re.sub(route, command, text)
    return text
