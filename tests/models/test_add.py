"""Tests of which folders can become a base model."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path

import pytest

from service.models.add import _copy_read_permissions, _publish, add_model, count_parameters
from service.models.catalogue import BaseModelEntry, Catalogue, CatalogueError
from service.models.model_folder import ModelRefused, check_folder
from tests.models.folders import model_folder
from tests.small_disk import small_disk

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return model_folder(tmp_path)


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return Catalogue(tmp_path / "models.yaml")


def add(folder: Path, catalogue: Catalogue, **fields) -> BaseModelEntry:
    options = {"model_id": "my/model", "license_id": "mit"} | fields
    return add_model(folder, catalogue=catalogue, models_dir=folder.parent / "models", **options)


def test_a_valid_folder_is_added_with_its_figures(folder, catalogue):
    entry = add(folder, catalogue, languages=("th", "en"))
    assert entry.context_length == 4096
    assert entry.parameters == 200
    assert Catalogue(catalogue.file).all() == [entry]


def test_context_length_can_be_less_but_not_more(folder, catalogue):
    assert add(folder, catalogue, context_length=1024).context_length == 1024
    assert add(folder, catalogue, model_id="b", context_length=9999).context_length == 4096


def test_a_context_length_that_config_json_leaves_out_is_known_or_asked_for(folder, catalogue):
    (folder / "config.json").write_text('{"text_config": {"model_type": "gemma3_text"}}')
    assert add(folder, catalogue).context_length == 131_072
    (folder / "config.json").write_text("{}")
    assert add(folder, catalogue, model_id="b", context_length=1024).context_length == 1024


def test_a_license_that_no_card_names_has_to_be_given(folder, catalogue):
    with pytest.raises(ModelRefused, match="add --license"):
        add(folder, catalogue, license_id=None)


def test_the_same_id_is_refused(folder, catalogue):
    add(folder, catalogue)
    with pytest.raises(CatalogueError, match="already"):
        add(folder, catalogue)


def test_a_catalog_that_a_cluster_mounts_names_the_chart(folder, tmp_path):
    with small_disk(tmp_path / "etc", "1m,ro") as mounted:
        models = Catalogue(mounted / "models.yaml")
        for change in (lambda: add(folder, models), lambda: models.remove("x")):
            with pytest.raises(CatalogueError, match="'models' in the values of the chart"):
                change()


@pytest.mark.parametrize("name", ["ft:x", "../x", "a/b/c", "", "a b", "-x", "x" * 129])
def test_bad_ids_are_refused(folder, catalogue, name):
    with pytest.raises(ValueError):
        add(folder, catalogue, model_id=name)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: (f / "pytorch_model.bin").write_bytes(b"x"), "can run code"),
        (lambda f: (f / "weights.pkl").write_bytes(b"x"), "can run code"),
        (lambda f: (f / "modeling.py").write_text("x"), "its own code"),
        (lambda f: (f / "config.json").write_text('{"auto_map": {}}'), "auto_map"),
        (lambda f: (f / "tokenizer_config.json").write_text('{"auto_map": {}}'), "auto_map"),
        (lambda f: (f / "config.json").write_text("{"), "not JSON"),
        (lambda f: (f / "config.json").unlink(), "config.json"),
        (lambda f: (f / "config.json").write_text("{}"), "context length"),
        (lambda f: (f / "model.safetensors").unlink(), "safetensors"),
        (lambda f: (f / "model.safetensors").write_bytes(b"nothing"), "safetensors"),
        (lambda f: (f / "tokenizer.json").unlink(), "tokenizer.json"),
        (lambda f: (f / "chat_template.jinja").unlink(), "chat template"),
        (
            lambda f: (f / "chat_template.jinja").write_text("{{ 'a' * 10**10 }}"),
            "needs more than 3 s or 512 MiB",
        ),
        *(
            (
                lambda f, kind=kind: (f / "config.json").write_text(json.dumps(kind)),
                "cannot be trained here",
            )
            for kind in (
                {"model_type": "falcon_h1"},
                {"model_type": "mistral3", "text_config": {"model_type": "mistral4"}},
                {"architectures": ["Gemma3nForConditionalGeneration"]},
                {"model_type": "deepseek_v4"},
                {"model_type": "glm_moe_dsa"},  # GLM-5
            )
        ),
        (
            lambda f: (f / "config.json").write_text('{"model_type": "lfm3"}'),
            r"transformers 5\.\S+ does not know this architecture: it needs 5\.23 or newer",
        ),
        (
            lambda f: (f / "config.json").write_text('{"model_type": "phi9"}'),
            "which version does is not known here",
        ),
        (
            lambda f: shutil.copy(f / "model.safetensors", f / "consolidated.safetensors"),
            "contains its weights twice",
        ),
    ],
)
def test_bad_folders_are_refused_with_the_reason(folder, catalogue, change, words):
    change(folder)
    with pytest.raises(ModelRefused, match=words):
        add(folder, catalogue)
    assert catalogue.all() == []


def test_weights_in_two_forms_count_once(folder, catalogue):
    """As in the folders of Mistral's models, as downloaded."""
    shutil.copy(folder / "model.safetensors", folder / "consolidated.safetensors")
    index = {"weight_map": {"w": "model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert add(folder, catalogue).parameters == 200


def test_an_invalid_gguf_is_refused_and_leaves_nothing(tmp_path, catalogue):
    fake = tmp_path / "x.gguf"
    fake.write_bytes(b"not a model")
    with pytest.raises(ModelRefused, match="could not be converted"):
        add(fake, catalogue)
    assert list((tmp_path / "models").iterdir()) == []


def test_the_second_of_two_conversions_leaves_the_first_one_in_place(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(name)
        _publish(tmp_path / name, tmp_path / "model")
    assert (tmp_path / "model" / "config.json").read_text() == "first"
    with pytest.raises(FileNotFoundError):
        _publish(tmp_path / "none", tmp_path / "other")


def test_catalogue_is_read_again_when_it_changes(folder, catalogue):
    other = Catalogue(catalogue.file)
    assert other.all() == []
    add(folder, catalogue)
    assert [m.id for m in other.all()] == ["my/model"]


@pytest.mark.parametrize(
    "text", ["models: 3", "- x", "models: [{id: a}]", "a: [", "models:\n- id: 'ft:x'"]
)
def test_broken_catalogue_is_a_clear_error(catalogue, text):
    catalogue.file.write_text(text)
    with pytest.raises(CatalogueError, match=r"models\.yaml"):
        catalogue.all()


def test_the_demo_model_is_complete(demo_model_path):
    """The folder that `up` creates from the wheel's GGUF file."""
    assert (check_folder(demo_model_path) or 0) >= 2048
    assert 130e6 < count_parameters(demo_model_path) < 170e6


@pytest.mark.parametrize(
    ("source_mode", "file_mode", "folder_mode"),
    [
        (0o644, 0o644, 0o755),
        (0o640, 0o640, 0o750),
        (0o600, 0o600, 0o700),
    ],
)
def test_a_conversion_keeps_the_read_permissions_of_its_source(
    tmp_path, source_mode, file_mode, folder_mode
):
    source, folder = tmp_path / "x.gguf", tmp_path / "made"
    source.touch()
    source.chmod(source_mode)
    folder.mkdir(mode=0o700)
    (folder / "model.safetensors").touch(0o600)
    _copy_read_permissions(source, folder)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder / "model.safetensors", folder)]
    assert modes == [file_mode, folder_mode]
