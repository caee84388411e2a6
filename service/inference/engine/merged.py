"""Engines that each serve one trained model, with its weights merged into the base model's.

Meant for a model that gets most of the requests: it costs the same as the base model, without
adapter work in every layer. The merged weights are a copy in the engine's own folder, created at
its first start. A name always refers to the same weights, so a restart reuses the folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
import signal
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import msgspec

from service.config import Settings
from service.core.local_disk import sync_tree
from service.core.redis import REDIS_ERRORS, connect
from service.core.storage import Storage, StorageError
from service.models.adapter_check import AdapterMismatch, BaseLayout, check_adapter
from service.models.adapters import load_verifying_key, signature_fault
from service.models.catalogue import BaseModelEntry, Catalogue
from service.models.registry import ModelRegistry, ServableModel
from service.training.contract.hyperparameters import RANKS

log = logging.getLogger(__name__)

_PREFIX = "merged-"
_MODEL, _PART, _ADAPTER = "model", "part", "adapter"  # folders of an engine
_NOTE = "finetuned-merged.json"
_STORE_PATIENCE_S = 2.0


class MergeFailed(Exception):
    """No merged weights are available. The message says why and how to fix it."""


class ModelGone(MergeFailed):
    """The model does not exist and never will, because names are not reused."""


@dataclass(frozen=True)
class MergedModel:
    """A trained model in its own folder."""

    name: str
    path: Path


class _Note(msgspec.Struct, frozen=True):
    """The inputs that a merged folder was built from."""

    name: str
    digest: str
    base: str


def folder_name(model: str) -> str:
    """Return the common prefix of the folders of a model's engines, below the adapter cache."""
    return f"{_PREFIX}{hashlib.sha256(model.encode()).hexdigest()[:16]}"


async def prepare(settings: Settings, entry: BaseModelEntry, name: str, home: Path) -> MergedModel:
    """Return the merged weights of a trained model of `entry`, in `home`, creating them if missing.

    This process must have claimed `home`. Raises MergeFailed.
    """
    merged = MergedModel(name, home / _MODEL)
    note = _note_of(merged.path)
    try:
        model = await _look_up(settings, name)
    except REDIS_ERRORS as e:
        if note is not None and (note.name, note.base) == (name, str(entry.path)):
            return merged
        raise MergeFailed(
            "Redis is unavailable, and the model is not merged yet: start again"
        ) from e
    if model is None or model.artifact is None or model.digest is None:
        await asyncio.to_thread(discard, home)
        raise ModelGone(
            f"there is no model '{name}': it was deleted, or never trained here. Remove it with "
            "'finetuned-server models unmerge'"
        )
    key = load_verifying_key(settings.adapter_key_file)
    if key is not None and (
        wrong := signature_fault(key, name, model.base_model, model.digest, model.signature)
    ):
        raise MergeFailed(f"'{name}' cannot be served: {wrong}")
    expected = _Note(name, model.digest, str(entry.path))
    if note != expected:
        await asyncio.to_thread(discard, home)
        try:
            await _make(settings, entry, model.artifact, home, expected)
        except ImportError as e:
            raise MergeFailed("merging needs torch: run it where engines run") from e
        except AdapterMismatch as e:
            raise MergeFailed(f"'{name}' cannot be merged: {e}") from e
        except (StorageError, OSError) as e:
            raise MergeFailed(f"'{name}' could not be merged: {e}") from e
        finally:
            for left in (_PART, _ADAPTER):
                await asyncio.to_thread(shutil.rmtree, home / left, ignore_errors=True)
    return merged


def discard(home: Path) -> None:
    """Remove the weights in an engine's folder."""
    shutil.rmtree(home, ignore_errors=True)


def sweep(root: Path, keep: Collection[str]) -> None:
    """Remove folders below `root` of models that are not in `keep` and that no engine uses."""
    kept = {folder_name(model) for model in keep}
    for home in root.glob(f"{_PREFIX}*-*"):
        if not home.is_dir() or home.name.rpartition("-")[0] in kept:
            continue
        # Skips folders that are in use or belong to another user.
        with contextlib.suppress(OSError), home.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            discard(home)


async def until_deleted(
    registry: ModelRegistry, name: str, home: Path, pause: Callable[[], Awaitable[object]]
) -> None:
    """Check after each pause that the model still exists, and stop this engine if it does not."""
    while True:
        await pause()
        try:
            known = await registry.resolve_adapter(name) is not None
        except REDIS_ERRORS:
            continue
        if not known:
            log.warning("model %s was deleted: its engine stops and its files are removed", name)
            await asyncio.to_thread(discard, home)
            os.kill(os.getpid(), signal.SIGTERM)
            return


async def _look_up(settings: Settings, name: str) -> ServableModel | None:
    url = settings.redis_url.get_secret_value()
    redis = connect(url, retries=0, timeout_s=_STORE_PATIENCE_S)
    try:
        return await ModelRegistry(
            redis, Catalogue(settings.models_file), cache_s=0.0
        ).resolve_adapter(name)
    finally:
        await redis.aclose(close_connection_pool=True)


async def _make(
    settings: Settings, entry: BaseModelEntry, artifact: str, home: Path, note: _Note
) -> None:
    from service.exporting.merge import MergeRefused, merge  # imports torch

    adapter, part = home / _ADAPTER, home / _PART
    storage = Storage.from_url(
        settings.storage_url,
        master_key=settings.master_key(),
        only_encrypted=settings.encryption_required,
    )
    manifest = await storage.get_folder(artifact, adapter)
    if manifest.digest != note.digest:
        raise AdapterMismatch("the artifact in storage does not match the registered one")

    def work() -> None:
        check_adapter(adapter, BaseLayout.read(entry.path), max_rank=RANKS[-1])
        try:
            merge(entry.path, adapter, part)
        except MergeRefused as e:
            raise AdapterMismatch(str(e)) from e
        _copy_rest(entry.path, part)
        (part / _NOTE).write_bytes(msgspec.json.encode(note))
        sync_tree(part)
        part.rename(home / _MODEL)

    await asyncio.to_thread(work)


def _copy_rest(base: Path, target: Path) -> None:
    """Copy the base model's other files, such as its tokenizer and chat template."""
    for file in base.iterdir():
        is_weights = file.suffix == ".safetensors"
        is_missing = not (target / file.name).exists()
        if file.is_file() and is_missing and not is_weights and not file.name.startswith("."):
            shutil.copyfile(file, target / file.name)


def _note_of(folder: Path) -> _Note | None:
    try:
        return msgspec.json.decode((folder / _NOTE).read_bytes(), type=_Note)
    except (OSError, msgspec.DecodeError):
        return None
