"""Which files belong to a base model, and which paths are safe.

Only what transformers and vLLM read without running it is taken over: weights in safetensors form,
JSON, tokenizers, chat templates, and texts such as the license.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Final, NamedTuple

from service.config import MIB
from service.models.inspect import PICKLES, ModelRefused
from service.training.model.base_folder import SECOND_FORM

MANIFEST: Final = "bundle.json"
MAX_FILES: Final = 2000
MAX_TEXT_BYTES: Final = 512 * MIB
"""Maximum size of a file other than weights. The largest tokenizers have 35 MiB."""
WEIGHTS: Final = ".safetensors"
_SUFFIXES: Final = (WEIGHTS, ".json", ".jinja", ".txt", ".md", ".model", ".tiktoken")
_TEXTS: Final = ("license", "licence", "notice", "copying", "readme", "use_policy")
_TEMPLATES: Final = "additional_chat_templates"
_MAX_PATH_CHARS, _MAX_DEPTH = 512, 16


class Choice(NamedTuple):
    """The paths of a model's files, and of the files next to them that are not taken over."""

    taken: tuple[str, ...]
    left_out: tuple[str, ...]


def choose(paths: Iterable[str]) -> Choice:
    """Divide the files of a folder, both parts sorted."""
    known = {path: belongs(path) for path in sorted(paths) if path != MANIFEST}
    weights = [path for path, is_taken in known.items() if is_taken and path.endswith(WEIGHTS)]
    if any(not path.startswith(SECOND_FORM) for path in weights):
        known |= dict.fromkeys((w for w in weights if w.startswith(SECOND_FORM)), False)
    return Choice(
        tuple(path for path, is_taken in known.items() if is_taken),
        tuple(path for path, is_taken in known.items() if not is_taken),
    )


def belongs(path: str) -> bool:
    """Whether a path, relative to the model's folder, names a file of a model."""
    *folders, name = PurePosixPath(path).parts
    if folders:
        return folders == [_TEMPLATES] and name.endswith(".jinja")
    if name.startswith("."):
        return False
    lower = name.lower()
    return lower.endswith(_SUFFIXES) or ("." not in name and lower.startswith(_TEXTS))


def require_weights(where: str, choice: Choice) -> None:
    """Raise ModelRefused if the files have no weights in safetensors form."""
    if any(path.endswith(WEIGHTS) for path in choice.taken):
        return
    pickles = [path for path in choice.left_out if path.endswith(PICKLES)]
    hint = (
        f"; {pickles[0]} is a pickle, which can run code: convert it to safetensors first"
        if pickles
        else ""
    )
    raise ModelRefused(f"there are no weights in safetensors form in {where}{hint}")


def checked_path(name: str, where: str) -> PurePosixPath:
    """Return a path from outside. Raises ModelRefused unless it is plainly inside its folder."""
    path = PurePosixPath(name)
    is_plain = (
        bool(path.parts)
        and len(name) <= _MAX_PATH_CHARS
        and len(path.parts) <= _MAX_DEPTH
        and not path.is_absolute()
        and ".." not in path.parts
        and "\\" not in name
        and name.isprintable()
    )
    if not is_plain:
        raise ModelRefused(
            f"{where} contains the path {name[:100]!r}, which is not plainly inside its folder. "
            "Make it again from a source that you trust"
        )
    return path


def require_size(path: str, size: int, where: str) -> None:
    """Raise ModelRefused for a file that is too large to be what its name says."""
    if size > MAX_TEXT_BYTES and not path.endswith(WEIGHTS):
        raise ModelRefused(
            f"{path} in {where} has {size:,} bytes; the limit for files other than weights is "
            f"{MAX_TEXT_BYTES:,}"
        )
