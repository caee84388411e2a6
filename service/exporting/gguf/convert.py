"""Conversion of a model or an adapter to GGUF with llama.cpp's own converters, offline."""

from __future__ import annotations

import errno
import re
import shutil
from pathlib import Path
from typing import Final

from safetensors import safe_open

from service.exporting.contract import ExportFailure, FailureCode
from service.exporting.gguf.converter_process import run_converter
from service.exporting.gguf.converters import converter
from service.garbage_collection import quick_imports
from service.training.contract.adapter_config import (
    CONFIG,
    WEIGHTS,
    AdapterConfig,
    InvalidAdapterConfig,
)

_UNKNOWN_PRE_TOKENIZER: Final = "pre-tokenizer was not recognized"
_UNKNOWN_MODEL: Final = "is not supported"
_MODULE_END: Final = re.compile(r"\.(?:lora_|base_layer|modules_to_save|weight)")


def convert_model(folder: Path, target: Path) -> None:
    """Convert a Hugging Face folder to 16 bits. Raises ExportFailure, and OSError for no space."""
    _run(
        "convert_hf_to_gguf.py",
        [str(folder), "--outfile", str(target), "--outtype", "f16"],
        code="unsupported_model",
        what="The model",
    )


def scale_for_llama(adapter: Path, target: Path) -> None:
    """Copy an adapter, with B scaled for llama.cpp: it multiplies each B·A by `lora_alpha` / rank.

    This is the scale of a plain adapter. rsLoRA and patterns have others.
    """
    with quick_imports():
        from safetensors.torch import load_file, save_file

    try:
        config = AdapterConfig.read(adapter)
        tensors = load_file(adapter / WEIGHTS)
        for name, tensor in tensors.items():
            module, is_b, _ = name.removeprefix("base_model.model.").partition(".lora_B.")
            if is_b:
                plain = config.fields["lora_alpha"] / tensor.shape[1]
                tensors[name] = tensor.float() * (config.scale_of(module) / plain)
    except InvalidAdapterConfig as e:
        raise ExportFailure(
            "invalid_adapter", f"The adapter cannot be converted: {e}. {e.fix}"
        ) from e
    target.mkdir(parents=True)
    save_file(tensors, target / WEIGHTS)
    shutil.copyfile(adapter / CONFIG, target / CONFIG)


def convert_adapter(adapter: Path, base: Path, target: Path) -> None:
    """Convert a PEFT adapter to 16 bits. Raises ExportFailure, and OSError for no space."""
    if modules := _outside_layers(adapter):
        # llama.cpp aborts its process when it applies such an adapter.
        raise ExportFailure(
            "unsupported_adapter",
            f"The adapter changes {', '.join(modules)}, and llama.cpp applies adapters to layers "
            "alone. Export the merged model instead (format gguf or ollama).",
        )
    _run(
        "convert_lora_to_gguf.py",
        [str(adapter), "--base", str(base), "--outfile", str(target), "--outtype", "f16"],
        code="unsupported_adapter",
        what="The adapter",
    )


def _outside_layers(adapter: Path) -> list[str]:
    """Return the modules that an adapter changes besides the layers, such as the embeddings."""
    with safe_open(adapter / WEIGHTS, "numpy") as file:
        outside = [name for name in file.keys() if ".layers." not in name]  # noqa: SIM118
    return sorted({_MODULE_END.split(name)[0].rpartition(".")[2] for name in outside})


def _run(name: str, arguments: list[str], *, code: FailureCode, what: str) -> None:
    done = run_converter(converter(name), arguments)
    if done.exit_code == 0:
        return
    if "No space left" in done.log:
        raise OSError(errno.ENOSPC, "No space left on device")
    raise ExportFailure(code, f"{what} cannot be converted to GGUF: {_reason(done.log)}.")


def _reason(log: str) -> str:
    if _UNKNOWN_PRE_TOKENIZER in log:
        return "llama.cpp does not know its pre-tokenizer, and would split text differently"
    last = log.strip().rpartition("\n")[2]
    if _UNKNOWN_MODEL in last:
        return "llama.cpp does not support its architecture"
    return f"the converter ended with {last.partition(':')[0][:100] or 'no message'}"
