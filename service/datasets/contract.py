"""The JSON task specification read by `python -m service.datasets`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from service.datasets.errors import refuse
from service.datasets.formats.options import FormatOptions

Action = Literal["validate", "report", "clean", "convert", "measure", "check_eval_items"]


class TaskSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One task on one file. Paths are local to this machine.

    `result` is the path for the JSON result. `measure` reads a canonical file of `rows` rows
    with the single tokenizer in `tokenizers`. `check_eval_items` checks a file with the purpose
    `evals`. `out` is a folder for `clean` and a file for
    `convert`. `report` accepts `tokenizers` (tokenizer.json paths by model),
    `context_lengths`, a `validation` file to compare with (read using `validation_format`),
    and `html` and `markdown` paths for the readable versions. `clean` holds the fields of
    CleanOptions, except format and processes. `memory_bytes` limits the address space of
    each process, and `processes` is the number of processes.
    """

    action: Action
    path: Path
    result: Path
    format: FormatOptions = FormatOptions()
    out: Path | None = None
    rows: int = 0
    validation: Path | None = None
    validation_format: FormatOptions = FormatOptions()
    tokenizers: dict[str, Path] = msgspec.field(default_factory=dict)
    context_lengths: tuple[int, ...] = ()
    html: Path | None = None
    markdown: Path | None = None
    title: str = "Data set report"
    clean: dict[str, Any] = msgspec.field(default_factory=dict)
    max_issues: int = 1_000
    near_threshold: float = 0.8
    processes: int = 1
    memory_bytes: int | None = None


def read_spec(path: Path) -> TaskSpec:
    """Read a task spec from a JSON file. Raises DatasetError if it is invalid."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=TaskSpec, dec_hook=_made)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise refuse("invalid_spec", reason=str(error)) from error
    except OSError as error:
        raise refuse("invalid_spec", reason=error.strerror or "it cannot be read") from error


def _made(kind: type, value: object) -> object:
    """Convert a JSON value to a type that JSON cannot represent (a path)."""
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError
