"""`/v1/model_imports`: an adapter that was trained elsewhere becomes a model."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.files.curation.outputs import NOTED
from service.models.adapter_check import BaseLayout, check_adapter
from service.models.adapters import highest_recorded_rank
from service.models.registry import ModelRegistry
from tests.adapters import PAIR, Q, adapter, base_folder, tar_of
from tests.conftest import BASE_MODEL, Api, upload

pytestmark = pytest.mark.slow

IMPORTS = "/v1/model_imports"
Import = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture(autouse=True)
def base(tmp_path: Path) -> Path:
    """The folder of the base model in the catalog."""
    return base_folder(tmp_path / "base")


async def sent(http: httpx.AsyncClient, data: bytes) -> str:
    """Upload an archive, and return its ID."""
    answer = await upload(http, data, "model-import", name="voice.tar")
    assert answer.json()["status"] == "processed", answer.text
    return answer.json()["id"]


async def ended(http: httpx.AsyncClient, started: dict[str, Any]) -> dict[str, Any]:
    """Wait for the end of an import."""
    async with asyncio.timeout(60):
        while True:
            answer = await http.get(f"{IMPORTS}/{started['id']}", params={"wait": 30})
            if (found := answer.json())["status"] not in ("queued", "in_progress"):
                return dict(found)


async def begun(http: httpx.AsyncClient, data: bytes, **body: str) -> dict[str, Any]:
    """Upload and begin to import an archive."""
    body = {"file_id": await sent(http, data), "base_model": BASE_MODEL, **body}
    answer = await http.post(IMPORTS, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def stored(api: Api) -> list[str]:
    """The names of all files of adapters in storage."""
    root = Path(api.settings.storage_url.removeprefix("file://"))
    return sorted(path.name for path in root.glob("*/adapters/*/*"))


async def test_an_imported_adapter_is_a_model(api: Api, http, work, tmp_path):
    data = tar_of({**adapter(), "README.md": b"# Voice", "tokenizer.json": b'{"model": {}}'})
    async with work("cpu"):
        done = await ended(http, await begun(http, data, suffix="Captain Ahoy"))
    assert done["status"] == "completed", done["error"]
    result = done["result"]
    name = result["model"]
    assert name.startswith(f"ft:{BASE_MODEL}:acme:captain-ahoy:")
    assert result["base_model_name_or_path"] == "elsewhere/Tiny-Base"
    codes = [finding["code"] for finding in result["findings"]]
    assert codes == ["tokenizer_differs", "template_not_compared"]
    assert [m["id"] for m in (await http.get("/v1/models")).json()["data"]] == [BASE_MODEL, name]
    model = (await http.get(f"/v1/models/{name}")).json()
    assert model["base_model"] == BASE_MODEL
    assert model["fine_tuning_job"] is None
    own = await http.post(f"/v1/models/{name}/approvals", json={})
    assert (own.status_code, own.json()["error"]["code"]) == (403, "own_model")
    assert model["origin"] == {
        "kind": "imported",
        "import_id": done["id"],
        "archive_sha256": hashlib.sha256(data).hexdigest(),
        "base_model_name_or_path": "elsewhere/Tiny-Base",
        "parity": "unchecked",
    }
    registry: ModelRegistry = api.app.state.registry
    servable = await registry.resolve_adapter(name)
    assert servable is not None
    assert servable.artifact is not None
    manifest = await api.app.state.storage.get_folder(servable.artifact, tmp_path / "served")
    assert manifest.digest == servable.digest
    check_adapter(tmp_path / "served", BaseLayout.read(tmp_path / "base"), max_rank=8)
    assert stored(api) == [
        "README.md", "adapter_config.json", "adapter_model.safetensors", "manifest.json",
    ]  # fmt: skip
    assert await highest_recorded_rank(registry.redis, BASE_MODEL) == 8
    assert not await registry.redis.exists(NOTED)

    assert (await http.delete(f"/v1/files/{done['file_id']}")).status_code == 200
    assert (await http.get(f"/v1/models/{name}")).status_code == 200
    assert (await http.delete(f"/v1/models/{name}")).status_code == 200
    assert stored(api) == []


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"no archive", "not_an_archive", "Pack the adapter's folder as .tar"),
        (tar_of(adapter(r=512)), "adapter_mismatch", "its rank is 512"),
        (
            tar_of(adapter(dict.fromkeys(PAIR, (8, 8)))),
            "adapter_mismatch",
            f"cannot be served with {BASE_MODEL}: {Q} fits a layer of 8x8",
        ),
    ],
)
async def test_a_refused_adapter_leaves_nothing(api: Api, http, work, data, code, words):
    """tests/models/test_adapter_check.py and tests/datasets/test_adapters.py have all reasons."""
    async with work("cpu"):
        done = await ended(http, await begun(http, data))
    assert done["status"] == "failed"
    assert done["result"] is None
    assert done["error"]["code"] == code
    assert words in done["error"]["message"]
    assert stored(api) == []
    assert [m["id"] for m in (await http.get("/v1/models")).json()["data"]] == [BASE_MODEL]
    assert not list((api.settings.data_dir / "scratch").glob("*"))


async def test_a_base_model_that_the_worker_lacks_is_the_operators_fault(api, http, work, base):
    (base / "model.safetensors").unlink()
    async with work("cpu"):
        done = await ended(http, await begun(http, tar_of(adapter())))
    assert done["error"]["code"] == "base_model_unavailable"
    assert str(base) not in done["error"]["message"]


@pytest.mark.parametrize(
    ("body", "status", "param", "code"),
    [
        ({"base_model": "gpt-4o"}, 404, "base_model", "model_not_found"),
        ({"file_id": "file-none"}, 404, "file_id", "file_not_found"),
        ({"suffix": "--"}, 400, "suffix", "invalid_value"),
    ],
)
async def test_a_wrong_request_is_refused_at_once(http, body, status, param, code):
    given = {"file_id": await sent(http, b"x"), "base_model": BASE_MODEL, **body}
    answer = await http.post(IMPORTS, json=given)
    assert answer.status_code == status
    assert answer.json()["error"]["param"] == param
    assert answer.json()["error"]["code"] == code


async def test_a_training_file_is_no_archive(http, chats):
    file = (await upload(http, chats(10))).json()["id"]
    answer = await http.post(IMPORTS, json={"file_id": file, "base_model": BASE_MODEL})
    assert answer.json()["error"]["code"] == "invalid_file_purpose"


async def test_a_repeated_request_imports_once_and_imports_are_limited(api: Api, http):
    body = {"file_id": await sent(http, b"x"), "base_model": BASE_MODEL}
    key = {"idempotency-key": "one"}
    first = await http.post(IMPORTS, json=body, headers=key)
    assert (await http.post(IMPORTS, json=body, headers=key)).json() == first.json()
    listed = (await http.get(IMPORTS, params={"file_id": body["file_id"]})).json()["data"]
    assert listed == [first.json()]
    for _ in range(api.settings.max_file_tasks_per_project - 1):
        assert (await http.post(IMPORTS, json=body)).status_code == 200
    answer = await http.post(IMPORTS, json=body)
    assert answer.json()["error"]["code"] == "limit_reached"
