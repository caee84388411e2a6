"""Copies a base model from object storage to a local folder (`models fetch`)."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path, PurePosixPath

import obstore

from service.core.storage import Storage
from service.models.model_folder import ModelRefused, folder_fault


async def fetch_model(url: str, target: Path) -> bool:
    """Copy the files below `url` (`s3://…`), and return False if the folder is already there.

    The folder appears complete or not at all, so that several callers may copy it. Raises
    ModelRefused, StorageRefused and other errors of the storage.
    """
    if target.exists():
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    storage = Storage.from_url(url)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as part:
        folder = Path(part, "model")
        folder.mkdir()
        async for found in obstore.list(storage.store):
            for meta in found:
                await _copy(storage, meta["path"], folder)
        if fault := folder_fault(folder):
            raise ModelRefused(f"{url} is not a model: {fault}".replace(str(folder), url))
        try:
            folder.rename(target)
        except OSError:
            if not target.is_dir():
                raise
            shutil.rmtree(folder)  # another caller was faster
            return False
    return True


async def _copy(storage: Storage, key: str, folder: Path) -> None:
    local = folder / PurePosixPath(key)
    if folder.resolve() not in local.resolve().parents:
        raise ModelRefused(f"the storage has an object with the name '{key[:200]}'")
    local.parent.mkdir(parents=True, exist_ok=True)
    await storage.get_file(key, local)
