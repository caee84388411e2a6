"""Validate a base model folder before it is added to the catalog. Does not import torch.

Only safetensors weights are accepted: loading a pickle can run code, and so can a folder that
contains its own Python files.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.datasets.chat_templates import is_bounded

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".h5", ".msgpack")
# Of models whose config.json leaves out what equals the default of their class in transformers.
_IMPLIED_LENGTHS = {"gemma3_text": 131_072}
_MAMBA = "PEFT does not adapt the Mamba layers of this architecture: use another base model"
_GEMMA3N = (
    "some of its layers take no part in a training, and its need for memory is not known: use "
    "Gemma 3 or Gemma 4"
)
# By model_type in config.json.
_UNTRAINABLE = {
    **dict.fromkeys(("falcon_h1", "falcon_mamba", "mamba", "mamba2", "nemotron_h"), _MAMBA),
    "ernie4_5_moe": "an engine's scores differ from those of the trainer: use another base model",
    **dict.fromkeys(("gemma3n", "gemma3n_text"), _GEMMA3N),
    "deepseek_v4": "its files and the trainer divide its layers differently, so that no engine "
    "would serve what was trained: use another base model",
}
_CONFIGS = ("config.json", "tokenizer_config.json", "processor_config.json")


class ModelRefused(Exception):
    """The folder cannot be used as a base model; the message says why and how to fix it."""


@dataclass(frozen=True)
class ModelFacts:
    """Facts about a model, read from its folder. None if its config.json does not give them."""

    architecture: str
    context_length: int | None


def inspect_folder(folder: Path, files: Sequence[Path] | None = None) -> ModelFacts:
    """Inspect a Hugging Face model folder. Raises ModelRefused if it is unsuitable.

    `files` are those that will be used, if not all of them.
    """
    if not folder.is_dir():
        raise ModelRefused(f"{folder} is not a folder")
    if files is None:
        files = [p for p in folder.rglob("*") if p.is_file()]
    config = _config(folder)
    _refuse_architecture(folder, config)
    refuse_code(folder, files)
    pickles = [p.name for p in files if p.suffix in PICKLES and p.name != "training_args.bin"]
    if not any(p.suffix == ".safetensors" for p in files):
        hint = (
            f"; {pickles[0]} is a pickle, which can run code: convert it to safetensors first"
            if pickles
            else ""
        )
        raise ModelRefused(f"there are no weights in safetensors form in {folder.name}{hint}")
    if pickles:
        raise ModelRefused(
            f"{folder.name} contains {', '.join(sorted(pickles)[:3])}, which can run code when "
            f"loaded: remove them and keep the safetensors"
        )
    if not (folder / "tokenizer.json").is_file():
        raise ModelRefused(f"{folder.name} has no tokenizer.json (a fast tokenizer)")
    if not _has_chat_template(folder):
        raise ModelRefused(
            f"{folder.name} has no chat template (chat_template.jinja, or chat_template in "
            "tokenizer_config.json): use the model's instruct or chat variant"
        )
    if not is_bounded(folder):
        raise ModelRefused(
            f"the chat template of {folder.name} needs more than 3 s or 512 MiB to write a short "
            "conversation, and would stop trainings and engines: use the one of the model's author"
        )
    architectures = config.get("architectures") or ["?"]
    return ModelFacts(architectures[0], _context_length(config))


def _config(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / "config.json").read_text("utf-8"))
    except FileNotFoundError:
        raise ModelRefused(f"{folder.name} has no config.json: is it a model folder?") from None
    except ValueError as e:
        raise ModelRefused(f"config.json of {folder.name} is not JSON") from e
    if not isinstance(content, dict):
        raise ModelRefused(f"config.json of {folder.name} is not a JSON object")
    return content


def _refuse_architecture(folder: Path, config: dict[str, Any]) -> None:
    for part in (config, config.get("text_config")):
        kind = part.get("model_type") if isinstance(part, dict) else None
        if why := _UNTRAINABLE.get(str(kind)):
            raise ModelRefused(f"{folder.name} ({kind}) cannot be trained here: {why}")


def refuse_code(folder: Path, files: Sequence[Path]) -> None:
    """Raise ModelRefused if a folder contains code or asks for some."""
    scripts = [p.name for p in files if p.suffix in (".py", ".so", ".pyc")]
    if scripts:
        raise ModelRefused(
            f"{folder.name} contains its own code ({scripts[0]}), which is never run here"
        )
    for name in _CONFIGS:
        path = folder / name
        if path.is_file() and '"auto_map"' in path.read_text("utf-8"):
            raise ModelRefused(
                f"{name} of {folder.name} asks for custom code (auto_map), which is never run "
                "here: if transformers knows the architecture, copy the folder and remove that "
                "entry"
            )


def _has_chat_template(folder: Path) -> bool:
    if (folder / "chat_template.jinja").is_file():
        return True
    path = folder / "tokenizer_config.json"
    return path.is_file() and "chat_template" in json.loads(path.read_text("utf-8"))


def _context_length(config: dict[str, Any]) -> int | None:
    for source in (config, config.get("text_config") or {}):
        for name in ("max_position_embeddings", "n_positions", "seq_length"):
            if isinstance(source.get(name), int):
                return int(source[name])
        if (implied := _IMPLIED_LENGTHS.get(str(source.get("model_type")))) is not None:
            return implied
    return None
