"""Filters of JSON output: `--jq EXPRESSION`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from finetuned_cli.failures import WrongUsage
from finetuned_cli.output import filter_json


class JqFilter:
    """A compiled jq expression. Raises WrongUsage if it is invalid or jq is not installed."""

    def __init__(self, expression: str) -> None:
        try:
            import jq
        except ModuleNotFoundError as e:
            raise WrongUsage(
                "--jq needs the package jq.",
                next_step="Run `pip install 'finetuned-cli[jq]'`, or pipe --json to jq.",
            ) from e
        try:
            self._program = jq.compile(expression)
        except ValueError as e:
            raise WrongUsage(f"--jq is not a valid jq expression: {_first_line(e)}") from e

    def lines(self, value: Any) -> Iterator[str]:
        """Yield each result on a line: text as it is, and everything else as JSON."""
        try:
            for result in self._program.input_value(value):
                yield result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
        except ValueError as e:
            raise WrongUsage(f"--jq does not fit the result: {_first_line(e)}") from e


def choose(expression: str | None) -> None:
    """Filter the JSON of this command. None means that it is printed as it is."""
    filter_json(None if expression is None else JqFilter(expression).lines)


def _first_line(error: ValueError) -> str:
    return str(error).strip().partition("\n")[0]
