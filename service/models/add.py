"""Adds a model on this machine to the catalog as a base model (`models add`)."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from service.models.catalogue import (
    BaseModelEntry,
    Catalogue,
    CatalogueError,
    ServingQuantization,
    check_id,
)
from service.models.hub_folder import read_card, verify_download
from service.models.model_folder import (
    ModelRefused,
    check_folder,
    folder_fault,
    read_header,
    serving_fault,
)
from service.training.model.base_folder import weight_files


def add_model(
    source: Path,
    *,
    catalogue: Catalogue,
    models_dir: Path,
    model_id: str,
    license_id: str | None = None,
    languages: tuple[str, ...] = (),
    context_length: int | None = None,
    report: Callable[[str], None] = lambda _: None,
    serving_quantization: ServingQuantization = "auto",
    serving_path: Path | None = None,
) -> BaseModelEntry:
    """Validate a model and add it to the catalog.

    A Hugging Face folder is used in place. A GGUF file is dequantized once into
    `models_dir/<id>`. License and languages default to those of the model card. Raises
    ModelRefused, CatalogueError, or ValueError for an invalid ID.
    """
    check_id(model_id)
    if catalogue.get(model_id) is not None:
        raise CatalogueError(f"the catalog already has a model '{model_id}'")
    catalogue.require_writable()
    target = models_dir / model_id.replace("/", "--")
    if source.suffix.lower() == ".gguf":
        if license_id is None:
            raise ModelRefused(f"{source.name} has no model card: add --license")
        source = _from_gguf(source, target)
    folder = _require_folder(source)
    length = _context_length(check_folder(folder), context_length)
    parameters = count_parameters(folder)
    if fault := folder_fault(folder):
        raise ModelRefused(fault.replace(str(folder), folder.name))
    card = read_card(folder)
    if (known_license := license_id or card.license) is None:
        raise ModelRefused(
            f"the license of {folder.name} is not known, because its model card (README.md) "
            "names none: read it, and add --license, such as --license apache-2.0"
        )
    verify_download(folder, report)
    entry = BaseModelEntry(
        id=model_id,
        path=folder,
        license=known_license,
        context_length=length,
        languages=languages or card.languages,
        parameters=parameters,
        created_at=int(time.time()),
        **_serving(serving_quantization, serving_path),
    )
    if fault := serving_fault(entry):
        raise ModelRefused(fault)
    catalogue.add(entry)
    return entry


def _require_folder(source: Path) -> Path:
    if not source.is_dir():
        raise ModelRefused(
            f"{source} is not a folder: unpack an archive first, and download a model on a machine "
            "with a network, with 'hf download ORG/NAME --local-dir FOLDER'"
        )
    if (source / "snapshots").is_dir():
        raise ModelRefused(f"{source} is a Hugging Face cache: name a folder in its snapshots")
    return source.resolve()


def _serving(quantization: ServingQuantization, path: Path | None) -> dict[str, Any]:
    """Return the serving fields that are set, so that others stay out of the file."""
    if path is not None and (fault := folder_fault(path)):
        raise ModelRefused(fault)
    if path is not None and quantization in ("fp8", "nf4"):
        raise ModelRefused(
            f"the weights in {path} are quantized already: leave out --serving-quantization"
        )
    given = {"serving_quantization": quantization} if quantization != "auto" else {}
    return given if path is None else {**given, "serving_path": path.resolve()}


def _context_length(found: int | None, requested: int | None) -> int:
    """Return the requested context length, limited to that of the model."""
    known = [length for length in (found, requested) if length is not None]
    if not known:
        raise ModelRefused(
            "config.json does not give the context length (max_position_embeddings): read the "
            "model card, and add --context-length"
        )
    return min(known)


def count_parameters(folder: Path) -> int:
    """The number of parameters in a folder, read from its safetensors headers only."""
    total = 0
    for file in weight_files(folder):
        for tensor in read_header(file).values():
            size = 1
            for dimension in tensor.get("shape", ()):
                size *= dimension
            total += size
    if total <= 1:
        raise ModelRefused(f"the safetensors of {folder.name} hold no weights")
    return total


def _from_gguf(source: Path, target: Path) -> Path:
    """Dequantize a GGUF file in a process that imports torch. Creates `target` atomically."""
    if not source.is_file():
        raise ModelRefused(f"{source} is not a file")
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "service.training.model.dequantize",
                str(source),
                str(part),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise ModelRefused(f"{source.name} could not be converted: {last[:300]}")
        _copy_read_permissions(source, part)
        _publish(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return target


def _publish(part: Path, target: Path) -> None:
    """Rename the finished folder to its target, unless another process did so first."""
    try:
        part.rename(target)
    except OSError:
        if not target.is_dir():
            raise


def _copy_read_permissions(source: Path, folder: Path) -> None:
    """Copy the source's read permissions to the folder: engines may run as another user."""
    readers = source.stat().st_mode & 0o444
    for file in folder.iterdir():
        file.chmod(0o600 | readers)
    folder.chmod(0o700 | readers | readers >> 2)
