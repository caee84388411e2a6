"""Read a trainer's YAML, and recognize whose it is."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from finetuned.errors import BadRequest

from finetuned_migrate.configs import axolotl, llama_factory, unsloth
from finetuned_migrate.configs.mapping import ImportedConfig


class _Kind(NamedTuple):
    """The name of a trainer, how its fields are recognized, and how they are read."""

    name: str
    recognizes: Callable[[Mapping[str, Any]], bool]
    read: Callable[[Mapping[str, Any]], ImportedConfig]


_KINDS: tuple[_Kind, ...] = (
    _Kind(llama_factory.KIND, llama_factory.recognizes, llama_factory.read),
    _Kind(axolotl.KIND, axolotl.recognizes, axolotl.read),
    _Kind(unsloth.KIND, unsloth.recognizes, unsloth.read),
)
_MAX_BYTES = 1024 * 1024


def read_config(path: str | os.PathLike[str]) -> ImportedConfig:
    """Return the job request that a configuration of another trainer corresponds to.

    The file is a YAML of LLaMA-Factory, Axolotl or Unsloth. Raises BadRequest if it is none of
    them, or if no job can do what it asks for.
    """
    fields = _fields(Path(path))
    for kind in _KINDS:
        if kind.recognizes(fields):
            try:
                return kind.read(fields)
            except (TypeError, ValueError) as e:
                raise BadRequest(
                    f"{path} has a value of the wrong type: {e}.", next_step="Correct the file."
                ) from e
    names = ", ".join(kind.name for kind in _KINDS)
    raise BadRequest(
        f"{path} is not a configuration of any of these trainers: {names}.",
        next_step="Pass the YAML that you gave to the trainer, with its model and its settings.",
    )


def _fields(path: Path) -> dict[str, Any]:
    import yaml  # a dependency of the command line

    try:
        if path.stat().st_size > _MAX_BYTES:
            raise BadRequest(f"{path} has more than {_MAX_BYTES} bytes: too large for settings.")
        content = yaml.safe_load(path.read_text("utf-8-sig"))
    except OSError as e:
        raise BadRequest(
            f"{path} cannot be read: {e.strerror}.", next_step="Check the path."
        ) from e
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as e:
        raise BadRequest(f"{path} is not YAML: {str(e)[:200]}.") from e
    if not isinstance(content, dict):
        raise BadRequest(f"{path} has no fields.", next_step="Pass a YAML file of a trainer.")
    return {str(name): value for name, value in content.items()}
