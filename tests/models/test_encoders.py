"""Tests of encoders in the catalog."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.models.catalogue import BaseModelEntry, Catalogue, CatalogueError
from service.models.encoders import add_encoder
from service.models.inspect import ModelRefused
from tests.datasets.encoders import static_encoder


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return Catalogue(tmp_path / "models.yaml")


def add(catalogue: Catalogue, folder: Path, name: str = "tiny"):
    return add_encoder(
        folder, catalogue=catalogue, encoder_id=name, license_id="mit", prompt="query: "
    )


def test_an_encoder_is_kept_beside_the_models(tmp_path, catalogue):
    model = BaseModelEntry(id="base", path=tmp_path, license="mit", context_length=64)
    catalogue.add(model)
    added = add(catalogue, static_encoder(tmp_path / "encoder"), "base")
    catalogue.set_merged("ft:base:acme:voice:ab12cd", True)
    read = Catalogue(catalogue.file)
    assert [entry.id for entry in read.all()] == ["base"]
    assert read.encoders() == [added]
    assert read.encoder("base") == added
    assert (added.prompt, added.path) == ("query: ", tmp_path / "encoder")
    assert read.encoder("other") is None


def test_an_id_is_taken_once(tmp_path, catalogue):
    folder = static_encoder(tmp_path / "encoder")
    add(catalogue, folder)
    with pytest.raises(CatalogueError, match="already has an encoder 'tiny'"):
        add(catalogue, folder)


def test_code_and_other_folders_are_refused(tmp_path, catalogue):
    with pytest.raises(ModelRefused, match="is not a folder"):
        add(catalogue, tmp_path / "none")
    folder = static_encoder(tmp_path / "encoder")
    (folder / "modeling.py").write_text("")
    with pytest.raises(ModelRefused, match="contains its own code"):
        add(catalogue, folder)
    (folder / "modeling.py").unlink()
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelRefused, match="it needs"):
        add(catalogue, folder)
    assert not catalogue.file.exists()
