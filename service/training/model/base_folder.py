"""Checks which base models can be trained, by their folder, without torch.

A training loads the weights in 16 bits and quantizes them to NF4 itself, if asked to. Weights that
someone else quantized can be served, but no gradients pass through their kernels, and they cannot
be quantized again. The experts of gpt-oss are the exception, because OpenAI published no other
weights: they are converted to BF16 when they are loaded, which is exact.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from service.training.contract.failures import TrainingFailure
from service.training.contract.hyperparameters import Quantization
from service.training.contract.spec import TrainSpec

MISTRAL_PREFIX: Final = "consolidated"
"""The beginning of the names of files in Mistral's own format."""
CONVERTED: Final = "mxfp4"
FORMATS: Final = (
    (CONVERTED, "MXFP4"),
    ("fp8", "FP8"),
    ("fbgemm_fp8", "FP8 (FBGEMM)"),
    ("compressed-tensors", "compressed-tensors (FP8, INT4 and others)"),
    ("modelopt", "ModelOpt (FP8, NVFP4)"),
    ("awq", "AWQ"),
    ("gptq", "GPTQ"),
    ("bitsandbytes", "bitsandbytes (INT8, NF4)"),
)
"""Common values of `quant_method`, and what people call them."""

# The first versions of transformers that know these values of `model_type`.
SINCE: Final = {
    **dict.fromkeys(("kolibri1", "molmo2", "muse_spark"), "5.20"),
    **dict.fromkeys(("beam", "flint"), "5.21"),
    "mistral_large4": "5.22",
    **dict.fromkeys(("dots3_note", "inkling2", "internlm3", "iquestcoder", "lfm3"), "5.23"),
    **dict.fromkeys(("apertus1p5", "dory", "exaone", "sarvam_mla", "sarvam_moe"), "5.24"),
}


def has_mistral_format(folder: Path) -> bool:
    """Whether a folder has its weights in Mistral's own format too."""
    return len(weight_files(folder)) < len(list(folder.glob("*.safetensors")))


def weight_files(folder: Path) -> list[Path]:
    """Return the files of a model's weights, without a second copy in Mistral's own format."""
    files = sorted(folder.glob("*.safetensors"))
    return [file for file in files if not file.name.startswith(MISTRAL_PREFIX)] or files


def read_config(folder: Path) -> dict[str, Any] | None:
    """Return the config.json of a model's folder; None if it cannot be read."""
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError):
        return None
    return config if isinstance(config, dict) else None


def stored_format(config: Mapping[str, Any]) -> str | None:
    """Return the quantization of the stored weights, by a model's config.json; None if plain.

    "unknown" if the file does not name it.
    """
    for part in (config, config.get("text_config")):
        if not isinstance(part, Mapping):
            continue
        found = part.get("quantization_config") or part.get("compression_config")
        if isinstance(found, Mapping):
            return str(found.get("quant_method") or "unknown").lower()
    return None


def is_converted(config: Mapping[str, Any]) -> bool:
    """Whether the weights are converted to BF16 when a training loads them."""
    return stored_format(config) == CONVERTED and config.get("model_type") == "gpt_oss"


def unknown_architecture(model_type: str) -> str | None:
    """Return why transformers cannot load models of this type, and what to do; None if it can.

    None too if transformers is not installed: nothing is trained there.
    """
    if importlib.util.find_spec("transformers") is None:
        return None
    from transformers import __version__
    from transformers.models.auto.auto_mappings import CONFIG_MAPPING_NAMES  # without torch

    if model_type in CONFIG_MAPPING_NAMES:
        return None
    since = SINCE.get(model_type)
    return f"transformers {__version__} does not know this architecture: " + (
        f"it needs {since} or newer"
        if since
        else "which version does is not known here, so use another base model"
    )


def untrainable(config: Mapping[str, Any]) -> str | None:
    """Return why no training can use these weights, and what to do; None if one can."""
    method = stored_format(config)
    if method is None or is_converted(config):
        return None
    name = dict(FORMATS).get(method, f"a quantized form ({method[:40]})")
    return (
        f"its weights are stored in {name}, and a training needs weights in 16 bits, which it "
        "quantizes to NF4 itself. Add the model's variant in BF16 as another base model, and train "
        "on that one"
    )


def unquantizable(config: Mapping[str, Any], quantization: Quantization) -> str | None:
    """Return why this quantization cannot be applied to the weights; None if it can."""
    if quantization == "none" or not is_converted(config):
        return None
    return (
        "its experts are stored in MXFP4 and are converted to BF16 for a training, so it cannot be "
        'quantized again. Set the hyperparameter quantization to "none"'
    )


_SMALL_FILES: Final = (
    *("config.json", "tokenizer.json"),
    *("tokenizer_config.json", "generation_config.json"),
)
_HEAD_BYTES: Final = 1024 * 1024


def base_digest(folder: Path) -> str:
    """Return a SHA-256 of the base model: its small files, and each weight file's name, size, head.

    The head of a safetensors file lists every tensor with its shape and offset. Reading a whole
    16 GB model for each job would take longer than many jobs do.
    """
    digest = hashlib.sha256()
    for name in _SMALL_FILES:
        if (folder / name).is_file():
            digest.update(name.encode() + b"\0" + (folder / name).read_bytes())
    for weights in sorted(folder.glob("*.safetensors")):
        with weights.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        digest.update(f"{weights.name}\0{weights.stat().st_size}\0".encode() + head)
    return digest.hexdigest()


def check_folder(spec: TrainSpec) -> None:
    """Reject a folder that cannot be a model, brings its own code, or cannot be trained.

    Raises `TrainingFailure` (invalid_model).
    """
    folder = spec.base_model_path
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except OSError:
        raise invalid_model(spec, "its folder has no readable config.json") from None
    except ValueError:
        raise invalid_model(spec, "its config.json is not JSON") from None
    if not isinstance(config, dict):
        raise invalid_model(spec, "its config.json is not an object")
    if "auto_map" in config:
        raise invalid_model(spec, "it needs its own code, which is never run")
    if not any(folder.glob("*.safetensors")):
        raise invalid_model(spec, "its folder has no .safetensors file")
    quantization = spec.hyperparameters.quantization
    if why := untrainable(config) or unquantizable(config, quantization):
        raise invalid_model(spec, why)


def invalid_model(spec: TrainSpec, why: str) -> TrainingFailure:
    """Return the failure for an unusable base model, which it names by id, not by path."""
    return TrainingFailure(
        "invalid_model",
        f"Base model '{spec.base_model}' cannot be trained: {why}.",
        param="model",
    )
