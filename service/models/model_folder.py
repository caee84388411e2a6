"""Checks a base model's folder without loading it: weights, configuration, code, and chat template.

Only safetensors weights are accepted: loading a pickle can run code, and so can a folder that
contains its own Python files. Does not import torch.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from service.datasets.chat_templates import is_bounded
from service.datasets.personal_data.model_findings import kind_of_label
from service.models.catalogue import BaseModelEntry
from service.training.model.base_folder import (
    MISTRAL_PREFIX,
    has_mistral_format,
    read_config,
    stored_format,
    unknown_architecture,
    weight_files,
)

_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".h5", ".msgpack")
# Of models whose config.json leaves out what equals the default of their class in transformers.
_IMPLIED_LENGTHS = {"gemma3_text": 131_072}
# By `architectures` in config.json. tests/models/test_served_architectures.py finds new ones.
WITHOUT_ADAPTERS: Final = frozenset(
    {
        *("AriaForConditionalGeneration", "BloomForCausalLM", "Cohere2MoeForCausalLM"),
        *("Cohere2VisionForConditionalGeneration", "Cosmos3EdgeForConditionalGeneration"),
        *("DbrxForCausalLM", "DiffusionGemmaForBlockDiffusion", "FalconForCausalLM"),
        *("FalconMambaForCausalLM", "GPT2LMHeadModel", "GPTJForCausalLM", "Gemma3nForCausalLM"),
        *("Gemma3nForConditionalGeneration", "HrmTextForCausalLM", "KimiLinearForCausalLM"),
        *("LlavaOnevisionForConditionalGeneration", "Mamba2ForCausalLM", "MambaForCausalLM"),
        *("MiMoV2FlashForCausalLM", "MiniMaxM3SparseForConditionalGeneration"),
        *("PaddleOCRVLForConditionalGeneration", "StableLmForCausalLM"),
        *("Step3p7ForConditionalGeneration", "Zamba2ForCausalLM"),
    }
)
"""Architectures on which vLLM takes no adapters."""
# By `model_type` in config.json.
UNTRAINABLE: Final = {
    **dict.fromkeys(
        ("deepseek_v32", "glm_moe_dsa", "glm5_next"),
        "vLLM has its sparse attention for GPUs only, where no adapter on it was tried: use "
        "another base model",
    ),
    "falcon_h1": "its Mamba layers were not tried in engines: use another base model",
    "mistral4": "vLLM serves it only from Mistral's own format, in which its layers have other "
    "names than in a training: use Ministral 3",
    "deepseek_v4": "its files and the trainer divide its layers differently, so that no engine "
    "would serve what was trained: use another base model",
}
_CONFIGS = ("config.json", "tokenizer_config.json", "processor_config.json")


class ModelRefused(Exception):
    """The folder cannot be used as a base model; the message says why and how to fix it."""


def check_folder(folder: Path) -> int | None:
    """Return the context length in a Hugging Face folder's config.json, or None if it has none.

    Raises ModelRefused if the folder is unsuitable.
    """
    files = [p for p in folder.rglob("*") if p.is_file()]
    config = _require_config(folder)
    _refuse_architecture(folder, config)
    _refuse_code(folder, files)
    kind = config.get("model_type")
    if isinstance(kind, str) and (why := unknown_architecture(kind)):
        raise ModelRefused(f"{folder.name} ({kind[:40]}) cannot be trained here: {why}")
    pickles = [p.name for p in files if p.suffix in _PICKLES and p.name != "training_args.bin"]
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
    return _context_length(config)


def _require_config(folder: Path) -> dict[str, Any]:
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
        if why := UNTRAINABLE.get(str(kind)):
            raise ModelRefused(f"{folder.name} ({kind}) cannot be trained here: {why}")
    unserved = WITHOUT_ADAPTERS.intersection(map(str, config.get("architectures") or ()))
    if unserved:
        raise ModelRefused(
            f"{folder.name} cannot be trained here: vLLM takes no adapters on "
            f"{next(iter(unserved))}, so use another base model"
        )


def _refuse_code(folder: Path, files: Sequence[Path]) -> None:
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


_MAX_HEADER_BYTES = 100 * 1024 * 1024  # safetensors' own limit
_LENGTH_BYTES = 8
INDEX = "model.safetensors.index.json"
# An adapter that was trained on one of two folders fits the other only if these are equal.
_DIMENSIONS: Final = (
    "model_type",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "vocab_size",
)
_TEMPLATE_FILES = ("chat_template.jinja", "tokenizer_config.json")


def read_header(file: Path) -> dict[str, dict[str, Any]]:
    """Read the tensor entries of a safetensors file's header, by name. Raises ModelRefused."""
    try:
        with file.open("rb") as source:
            (length,) = struct.unpack("<Q", source.read(_LENGTH_BYTES))
            if length > _MAX_HEADER_BYTES:
                raise ModelRefused(f"{file.name} is not a safetensors file")
            found = msgspec.json.decode(source.read(length))
    except (struct.error, msgspec.DecodeError) as e:
        raise ModelRefused(f"{file.name} is not a safetensors file") from e
    if not isinstance(found, dict):
        raise ModelRefused(f"{file.name} is not a safetensors file")
    found.pop("__metadata__", None)
    return found


def folder_fault(folder: Path) -> str | None:
    """Return why an engine cannot load the folder, without loading it; None if it can.

    Less strict than `check_folder`, which guards additions to the catalog, because the operator
    may have written the catalog by hand.
    """
    try:
        return _fault(folder)
    except (ModelRefused, OSError) as e:
        return str(e)


def classifier_fault(folder: Path) -> str | None:
    """Return why a folder is no token classifier for names or addresses; None if it is one."""
    config = _config(folder)
    if "ForTokenClassification" not in str(config.get("architectures")):
        return f"{folder} has no config.json of a token classifier"
    for needed in ("*.safetensors", "tokenizer.json"):  # pickles can run code
        if not any(folder.glob(needed)):
            return f"{folder} has no {needed}: save the model again with a current transformers"
    known = any(map(kind_of_label, config.get("id2label", {}).values()))
    return None if known else f"no label in config.json of {folder} means a person or an address"


def _fault(folder: Path) -> str | None:
    if not folder.is_dir():
        return f"there is no folder {folder}"
    if not (folder / "config.json").is_file():
        return f"{folder} has no config.json"
    files = weight_files(folder)
    if missing := sorted(_indexed(folder) - {file.name for file in files}):
        return f"{folder} lacks {missing[0]}"
    if not files:
        return f"there are no weights in safetensors form in {folder}"
    cut = [file.name for file in files if file.stat().st_size < _complete_size(file)]
    return f"{cut[0]} in {folder} is cut off: copy it again" if cut else None


def _indexed(folder: Path) -> set[str]:
    """The files named in the index of a sharded model."""
    try:
        return set(json.loads((folder / INDEX).read_text("utf-8"))["weight_map"].values())
    except FileNotFoundError:
        return set()
    except (ValueError, KeyError, AttributeError, TypeError) as e:
        raise ModelRefused(f"{INDEX} in {folder} is not an index of weights") from e


def _complete_size(file: Path) -> int:
    """The length of a complete file in bytes, according to its header."""
    with file.open("rb") as source:
        raw = source.read(_LENGTH_BYTES)
    try:
        ends = [int(tensor["data_offsets"][1]) for tensor in read_header(file).values()]
    except (LookupError, TypeError, ValueError) as e:
        raise ModelRefused(f"{file.name} is not a safetensors file") from e
    return _LENGTH_BYTES + int.from_bytes(raw, "little") + max(ends, default=0)


def serving_fault(entry: BaseModelEntry) -> str | None:
    """Return why engines cannot serve the weights as the catalog entry says; None if they can.

    An unreadable folder is not a fault here.
    """
    for folder in (entry.path, entry.served_path):
        if has_mistral_format(folder) and not (folder / INDEX).is_file():
            # Engines would load both.
            return (
                f"{folder} contains its weights twice, also in Mistral's own form: remove the "
                f"files {MISTRAL_PREFIX}*.safetensors"
            )
    stored = _config(entry.path)
    if entry.serving_quantization in ("fp8", "nf4") and (method := stored_format(stored)):
        return (
            f"serving_quantization is '{entry.serving_quantization}', but its weights are stored "
            f"in a quantized form ({method[:40]}) already: remove it from the catalog"
        )
    if entry.serving_path is None or not (served := _config(entry.serving_path)):
        return None
    if stored_format(served) is None:
        return (
            f"the weights in serving_path ({entry.serving_path}) are not quantized: remove it from "
            "the catalog, or set serving_quantization in its place"
        )
    if different := [name for name in _DIMENSIONS if _of(stored, name) != _of(served, name)]:
        return (
            f"serving_path ({entry.serving_path}) is a different model from path: its config.json "
            f"differs in {', '.join(different)}"
        )
    return None


def _config(folder: Path) -> dict[str, Any]:
    return read_config(folder) or {}


def _of(config: Mapping[str, Any], name: str) -> object:
    text = config.get("text_config")
    return (text if isinstance(text, Mapping) and name in text else config).get(name)


def template_digest(folder: Path) -> str | None:
    """The SHA-256 digest of the folder's chat template; None if none can be read."""
    try:
        text = next(filter(None, (_read_template(folder / name) for name in _TEMPLATE_FILES)), None)
    except (OSError, ValueError):
        return None
    return None if text is None else hashlib.sha256(text.encode()).hexdigest()


def _read_template(file: Path) -> str | None:
    if not file.is_file():
        return None
    text = file.read_text("utf-8")
    if file.suffix != ".json":
        return text
    template = json.loads(text).get("chat_template")
    return None if template is None else json.dumps(template)
