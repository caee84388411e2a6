"""`models add-encoder`: add a folder to the catalog as a text encoder."""

from __future__ import annotations

from pathlib import Path

from service.datasets.errors import DatasetError
from service.models.catalogue import Catalogue, EncoderEntry
from service.models.inspect import ModelRefused, refuse_code


def add_encoder(
    source: Path, *, catalogue: Catalogue, encoder_id: str, license_id: str, prompt: str = ""
) -> EncoderEntry:
    """Validate an encoder by encoding a text, and add it to the catalog.

    The folder is used in place. Raises ModelRefused or CatalogueError.
    """
    folder = source.resolve()
    if not folder.is_dir():
        raise ModelRefused(f"{folder} is not a folder")
    refuse_code(folder, [path for path in folder.rglob("*") if path.is_file()])
    entry = EncoderEntry(id=encoder_id, path=folder, license=license_id, prompt=prompt)
    _try(entry)
    catalogue.add_encoder(entry)
    return entry


def _try(entry: EncoderEntry) -> None:
    from service.datasets.meaning.encoder import open_encoder, unit_vectors

    try:
        vectors = unit_vectors(open_encoder(entry.path), [f"{entry.prompt}When do you open?"])
    except DatasetError as e:
        raise ModelRefused(str(e)) from e
    if not vectors.any():
        raise ModelRefused(f"{entry.path.name} gives no vector for a question in English")
