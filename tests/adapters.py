"""Archives of adapters that were trained elsewhere, for tests of imports."""

from __future__ import annotations

import io
import json
import math
import struct
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Q = "model.layers.0.self_attn.q_proj"
_WIDTHS = {"F32": 4, "F16": 2, "BF16": 2, "I8": 1}
CONFIG = {
    "peft_type": "LORA",
    "r": 8,
    "lora_alpha": 16,
    "target_modules": ["q_proj"],
    "base_model_name_or_path": "elsewhere/Tiny-Base",
}
PAIR = {
    f"base_model.model.{Q}.lora_A.weight": (8, 16),
    f"base_model.model.{Q}.lora_B.weight": (32, 8),
}


def safetensors(shapes: Mapping[str, Sequence[int]], dtype: str = "F32") -> bytes:
    """Return a safetensors file of zeros."""
    header, offset = {}, 0
    for name, shape in shapes.items():
        end = offset + _WIDTHS[dtype] * math.prod(shape)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    raw = json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + b"\0" * offset


def adapter(shapes: Mapping[str, Sequence[int]] = PAIR, **config: Any) -> dict[str, bytes]:
    """Return the files of an adapter for `base_folder`."""
    return {
        "adapter_config.json": json.dumps({**CONFIG, **config}).encode(),
        "adapter_model.safetensors": safetensors(shapes),
    }


def base_folder(folder: Path) -> Path:
    """Write a base model that the adapter fits."""
    folder.mkdir(parents=True, exist_ok=True)
    shapes = {f"{Q}.weight": (32, 16), "model.embed_tokens.weight": (100, 16)}
    (folder / "model.safetensors").write_bytes(safetensors(shapes))
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_text('{"model": {"vocab": {"a": 0}, "merges": ["a b"]}}')
    (folder / "chat_template.jinja").write_text("{{ messages }}\n")
    return folder


def tar_of(
    files: Mapping[str, bytes], *others: tarfile.TarInfo, mode: str = "w", folder: str = "voice"
) -> bytes:
    """Return a tar of a folder, and of other entries after its files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as tar:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for info in others:
            tar.addfile(info, io.BytesIO(b"\0" * info.size))
    return packed.getvalue()


def zip_of(files: Mapping[str, bytes], *others: zipfile.ZipInfo) -> bytes:
    """Return a zip of a folder, and of other entries after its files."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(f"voice/{name}", content)
        for info in others:
            archive.writestr(info, b"/etc/passwd")
    return packed.getvalue()
