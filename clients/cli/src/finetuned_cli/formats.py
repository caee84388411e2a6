"""Format options of files as `--format NAME=VALUE`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import typer

from finetuned_cli.failures import WrongUsage
from finetuned_cli.session import pairs

FormatOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        metavar="NAME=VALUE",
        help="Format option, such as header_row=3, sheet=Data or columns.prompt=Frage; repeatable.",
    ),
]
_NUMBERS = frozenset({"header_row"})


def format_of(given: Iterable[str] | None) -> dict[str, Any]:
    """Parse format options. `columns.prompt=Frage` is an entry of the option `columns`."""
    options: dict[str, Any] = {}
    for name, value in pairs(given or (), "--format").items():
        option, dot, key = name.partition(".")
        if dot:
            options[option] = {**options.get(option, {}), key: value}
        elif option in _NUMBERS:
            options[option] = _number(option, value)
        else:
            options[option] = value.replace("\\t", "\t") if option == "delimiter" else value
    return options


def _number(option: str, value: str) -> int:
    try:
        return int(value)
    except ValueError as e:
        raise WrongUsage(f"--format {option} takes a number, not '{value}'.") from e
