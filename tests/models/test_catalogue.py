"""Tests of the catalog file: fields of earlier versions, and removed models."""

from __future__ import annotations

import re

import pytest

from service.models.catalogue import BaseModelEntry, Catalogue, CatalogueError
from tests.audit.test_operator import entries, run
from tests.conftest import BASE_MODEL, Api
from tests.jobs.test_jobs import JOBS, create, upload
from tests.models.aliases.conftest import register

NAME, OTHER = "ft:org/tiny:acme:voice:ab12cd", "ft:org/tiny:acme:tone:ab12cd"


@pytest.fixture
def catalogue(tmp_path):
    made = Catalogue(tmp_path / "models.yaml")
    for model in ("first", "org/tiny", "last"):
        made.add(BaseModelEntry(id=model, path=tmp_path, license="mit", context_length=64))
    return made


def test_what_earlier_versions_wrote_is_ignored(tmp_path):
    file = tmp_path / "models.yaml"
    file.write_text(
        "models:\n- {id: tiny, path: /m, license: mit, context_length: 64, merged: ['ft:x']}\n"
        "encoders:\n- {id: e5, path: /m, license: mit}\n"
    )
    catalogue = Catalogue(file)
    assert [entry.id for entry in catalogue.all()] == ["tiny"]
    catalogue.add(BaseModelEntry(id="base", path=tmp_path, license="mit", context_length=64))
    assert [entry.id for entry in Catalogue(file).all()] == ["tiny", "base"]
    assert "merged" not in file.read_text()


def test_a_folder_of_models_can_be_moved(tmp_path):
    """Also with a file of an earlier version, whose paths are absolute."""
    old, new, outside = (tmp_path / name for name in ("old", "new", "outside"))
    (old / "models" / "org--inside").mkdir(parents=True)
    outside.mkdir()
    made = Catalogue(old / "models.yaml")
    for name, path in (("inside", old / "models" / "org--inside"), ("outside", outside)):
        made.add(BaseModelEntry(id=name, path=path, license="mit", context_length=64))
    written = made.file.read_text("utf-8")
    assert "path: models/org--inside" in written
    assert f"path: {outside}" in written
    assert [m.path for m in made.all()] == [old / "models" / "org--inside", outside]
    old.rename(new)
    for text in (written, written.replace("path: models", f"path: {old}/models")):
        (new / "models.yaml").write_text(text)
        moved = Catalogue(new / "models.yaml")
        assert [m.path for m in moved.all()] == [new / "models" / "org--inside", outside]


@pytest.mark.parametrize("text", ["models: 3", "models: [{id: x}]", "a: [", "\xff"])
def test_an_invalid_catalog_is_a_clear_error(tmp_path, text):
    (tmp_path / "models.yaml").write_bytes(text.encode("latin-1"))
    with pytest.raises(CatalogueError, match=re.escape(f"{tmp_path}/models.yaml")) as refused:
        Catalogue(tmp_path / "models.yaml").all()
    assert "\n" not in str(refused.value)
    assert "pydantic" not in str(refused.value)


def test_a_catalog_that_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "models.yaml"):
        with pytest.raises(CatalogueError, match="cannot be read"):
            Catalogue(path).all()


@pytest.mark.slow
async def test_a_base_model_that_something_needs_is_not_removed(
    api: Api, http, chats, redis_url, monkeypatch
):
    monkeypatch.setenv("FINETUNED_MODELS_FILE", str(api.settings.models_file))
    monkeypatch.setenv("FINETUNED_REDIS_URL", redis_url)
    model = await register(api)
    job = await create(http, await upload(http, chats(12)))
    assert (await http.put("/v1/aliases/support", json={"model": BASE_MODEL})).status_code == 200
    refused = await run("models", "remove", BASE_MODEL, code=1)
    for needing in (f"the model {model}", f"the job {job['id']}", "the alias support of proj_"):
        assert needing in refused
    assert (await http.delete(f"/v1/models/{model}")).status_code == 200
    assert (await http.delete("/v1/aliases/support")).status_code == 200
    assert (await http.post(f"{JOBS}/{job['id']}/cancel")).status_code == 200
    folder = api.app.state.registry.catalogue.get(BASE_MODEL).path
    removed = await run("models", "remove", BASE_MODEL)
    assert f"Its files are still in {folder}" in removed
    assert BASE_MODEL not in await run("models", "list")
    assert "no model" in await run("models", "remove", BASE_MODEL, code=1)
    found = [
        entry for entry in await entries(api.app.state.redis) if entry.type == "base_model.removed"
    ]
    assert [entry.outcome for entry in found] == ["failed", "succeeded"]
    assert {entry.objects for entry in found} == {(BASE_MODEL,)}
