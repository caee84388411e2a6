"""`models add`: add a local folder or a GGUF file to the catalog as a base model."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from service.models.catalogue import BaseModelEntry, Catalogue, CatalogueError
from service.models.inspect import ModelRefused, inspect_folder
from service.models.weights import header


def add_model(
    source: Path,
    *,
    catalogue: Catalogue,
    models_dir: Path,
    model_id: str,
    license_id: str,
    languages: tuple[str, ...] = (),
    context_length: int | None = None,
) -> BaseModelEntry:
    """Validate a model and add it to the catalog.

    A Hugging Face folder is used in place; a GGUF file is dequantized once into
    `models_dir/<id>`. Raises ModelRefused or CatalogueError.
    """
    if catalogue.get(model_id) is not None:
        raise CatalogueError(f"the catalog already has a model '{model_id}'")
    if source.suffix.lower() == ".gguf":
        folder = _from_gguf(source, models_dir / model_id.replace("/", "--"))
    else:
        folder = source.resolve()
    facts = inspect_folder(folder)
    entry = BaseModelEntry(
        id=model_id,
        path=folder,
        license=license_id,
        context_length=min(context_length or facts.context_length, facts.context_length),
        languages=languages,
        parameters=count_parameters(folder),
        created_at=int(time.time()),
    )
    catalogue.add(entry)
    return entry


def count_parameters(folder: Path) -> int:
    """The number of parameters in a folder, read from its safetensors headers only."""
    total = 0
    for file in folder.glob("*.safetensors"):
        for tensor in header(file).values():
            size = 1
            for dimension in tensor.get("shape", ()):
                size *= dimension
            total += size
    if total <= 1:
        raise ModelRefused(f"the safetensors of {folder.name} hold no weights")
    return total


def _from_gguf(source: Path, target: Path) -> Path:
    """Dequantize in a separate process, which needs torch. The folder appears atomically."""
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
                "service.training.model.dequantise",
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
        _readable_as(source, part)
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


def _readable_as(source: Path, folder: Path) -> None:
    """Copy the source's read permissions to the folder, as engines may run as another user."""
    readers = source.stat().st_mode & 0o444
    for file in folder.iterdir():
        file.chmod(0o600 | readers)
    folder.chmod(0o700 | readers | readers >> 2)
