"""Types and units that settings share."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator
from pydantic_settings import NoDecode


def _split_at_commas(value: Any) -> Any:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


CommaSeparated: TypeAlias = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_at_commas)]
"""A comma-separated list in a variable."""


def _level(value: Any) -> Any:
    return value.strip().upper() if isinstance(value, str) else value


LogLevel: TypeAlias = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_level)
]
"""A level of Python's logging, in any case."""

NAME = r"(?:[a-z0-9]([a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])"
HOST = rf"{NAME}(?::[0-9]{{1,5}})?"
"""A name or address, with or without a port."""


MIB = 1024 * 1024
GIB = 1024 * MIB
