"""Imports of adapters that were trained elsewhere."""

from __future__ import annotations

import tarfile
import tempfile
from os import PathLike
from pathlib import Path

from finetuned._flows import uploads
from finetuned._flows.common import Deadline, at, listed, wait_for_end
from finetuned._flows.files import once
from finetuned._http import Request, body_of
from finetuned._steps import Flow, Items, fetch, run
from finetuned.errors import BadRequest, ImportFailed
from finetuned.types import ModelImport

_CONFIG = "adapter_config.json"
# What the server reads of an adapter's folder.
_PACKED = (
    _CONFIG,
    "adapter_model.safetensors",
    "README.md",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)
_FILE = "file-"


def import_model(
    source: str | PathLike[str],
    *,
    base_model: str,
    suffix: str | None = None,
    on_progress: uploads.OnProgress | None = None,
    idempotency_key: str | None = None,
    timeout_s: float | None = None,
) -> Flow[ModelImport]:
    """Import a LoRA adapter that was trained elsewhere, and wait for the model.

    `source` is the folder that PEFT's `save_pretrained` wrote, a tar or zip archive of it, or the
    ID of an uploaded archive. Raises ImportFailed if the adapter is refused.
    """
    file_id = yield from _file_id(source, on_progress)
    body = body_of(file=file_id, base_model=base_model, suffix=suffix)
    request = Request("POST", at("models", "import"), json=body, headers=once(idempotency_key))
    found = yield from fetch(ModelImport, request)
    found = yield from wait_for_end(
        found,
        lambda: model_import(file_id, found.id),
        Deadline(timeout_s, f"The import {found.id}"),
    )
    if found.error is not None:
        raise ImportFailed(found.error.message, code=found.error.code)
    return found


def model_import(file_id: str, import_id: str) -> Flow[ModelImport]:
    """Retrieve an import of an archive: its status, and its model if it is completed."""
    return fetch(ModelImport, Request("GET", at("files", file_id, "imports", import_id)))


def model_imports(file_id: str, *, limit: int | None = None) -> Items[ModelImport]:
    """List the imports of an archive, newest first."""
    return listed(ModelImport, at("files", file_id, "imports"), limit=limit)


def _file_id(source: str | PathLike[str], on_progress: uploads.OnProgress | None) -> Flow[str]:
    path = Path(source).expanduser()
    if not path.exists() and isinstance(source, str) and source.startswith(_FILE):
        return source
    if not path.is_dir():
        file = yield from uploads.upload(path, purpose="model-import", on_progress=on_progress)
        return file.id
    with tempfile.TemporaryDirectory(prefix="finetuned-") as folder:
        packed = Path(folder) / f"{path.resolve().name}.tar"
        yield from run(lambda: _pack(path, packed))
        file = yield from uploads.upload(
            packed, purpose="model-import", on_progress=on_progress, resume=False
        )
    return file.id


def _pack(folder: Path, packed: Path) -> None:
    """Pack an adapter's files. Raises BadRequest if the folder has none."""
    if not (folder / _CONFIG).is_file():
        raise BadRequest(
            f"{folder} has no {_CONFIG}.",
            next_step="Pass the folder that PEFT's save_pretrained wrote.",
        )
    with tarfile.open(packed, "w", dereference=True) as tar:
        for name in _PACKED:
            if (folder / name).is_file():
                tar.add(folder / name, arcname=f"adapter/{name}")
