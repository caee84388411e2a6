"""Runs the TypeScript client's own checks, and its tests against a real api."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path

import pytest

from service import __version__
from service.config import Settings
from service.projects.records import Role
from service.standalone.services import free_port
from service.standalone.up import DEMO_MODEL
from tests.adapters import adapter, base_folder
from tests.cached import ROOT
from tests.conftest import Api
from tests.exports.conftest import MODEL, register, succeeded
from tests.jobs.evaluation.conftest import ScriptedEngine, engine  # noqa: F401 - a fixture
from tests.node import NODE, NPM, built, env, installed

CLIENT = ROOT / "clients" / "typescript"
NODES = ROOT / "tests" / "clients" / "nodes"
TINY_MODEL = "tiny-base"  # its tensors are those of `tests.adapters`
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def client() -> Path:
    """The client's folder, with its dependencies installed, and built."""
    return built(CLIENT)


@pytest.fixture
def page_port() -> int:
    """Port of a web page with another origin."""
    return free_port()


@pytest.fixture
def settings(
    settings: Settings,
    demo_model_path: Path,
    tmp_path: Path,
    page_port: int,
    engine: ScriptedEngine,  # noqa: F811
) -> Settings:
    """Settings with three base models, one of them served, and one allowed page origin."""
    models = {
        DEMO_MODEL: demo_model_path,
        "other-base": demo_model_path,
        TINY_MODEL: base_folder(tmp_path / "tiny"),
    }
    entries = "".join(
        f"- {{id: {model_id}, path: {path}, license: apache-2.0, "
        "context_length: 2048, parameters: 135000000}\n"
        for model_id, path in models.items()
    )
    settings.models_file.write_text(f"models:\n{entries}", "utf-8")
    origin = f"http://127.0.0.1:{page_port}"
    served = {DEMO_MODEL: engine.url}
    return settings.model_copy(update={"cors_origins": (origin,), "upstreams": served})


async def npm(*words: str, **more: str) -> str:
    """Run npm in the client's folder in a thread, because the api runs in this event loop."""
    process = await asyncio.create_subprocess_exec(
        NODE,
        NPM,
        *words,
        cwd=CLIENT,
        env=env(**more),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told = (await process.communicate())[0].decode()
    assert process.returncode == 0, told
    return told


async def known(api: Api) -> dict[str, str]:
    """Facts about the api that the tests need."""
    key = await api.key()
    return {"FINETUNED_BASE_URL": api.base_url, "FINETUNED_API_KEY": key, "NO_COLOR": "1"}


async def exported(api: Api) -> dict[str, str]:
    """A trained model without an adapter in storage, and two exports of it, one of them damaged."""
    await register(api)
    ready = await succeeded(api, os.urandom(300_000))
    damaged = await succeeded(api, b"damaged", sha256="0" * 64)
    return {
        "FINETUNED_TEST_TUNED_MODEL": MODEL,
        "FINETUNED_TEST_EXPORT": ready.id,
        "FINETUNED_TEST_DAMAGED_EXPORT": damaged.id,
    }


def importable(folder: Path) -> dict[str, str]:
    """The folder of an adapter, as a trainer leaves it, and the base model that it fits."""
    folder.mkdir()
    for name, content in adapter().items():
        (folder / name).write_bytes(content)
    return {"FINETUNED_TEST_TINY_MODEL": TINY_MODEL, "FINETUNED_TEST_ADAPTER": str(folder)}


def chromium() -> str:
    """Path of Chromium, or an empty string."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = (shutil.which(name) for name in names)
    return os.environ.get("FINETUNED_CHROMIUM") or next(filter(None, found), "")


async def test_style_and_types(client: Path):
    await npm("run", "style")
    await npm("run", "types")


async def test_generated_code_is_that_of_openapi_json(client: Path):
    await npm("run", "stale")


def test_version_is_the_services():
    assert json.loads((CLIENT / "package.json").read_text("utf-8"))["version"] == __version__


async def test_client_against_the_api(client: Path, api: Api, work, tmp_path: Path):
    key = await known(api)
    admin = {"FINETUNED_TEST_ADMIN_KEY": await api.key("root", Role.ADMIN)}
    facts = {**key, **admin, **await exported(api), **importable(tmp_path / "voice")}
    async with work("cpu"):
        print(await npm("test", **facts))


def node_of(version: str) -> Path:
    """Path of a version of Node. Skips the test if it does not exist for this machine."""
    if version == "wheel":
        return NODE
    node = installed(NODES) / "node_modules" / f"node-{version}" / "bin" / "node"
    if not node.exists():
        pytest.skip(f"no Node {version} for this machine")
    return node


@pytest.mark.parametrize("version", ["20", "22", "wheel"])
async def test_client_in_versions_of_node(client: Path, api: Api, work, version: str):
    async with work("cpu"):
        process = await asyncio.create_subprocess_exec(
            node_of(version),
            "tests/runtimes/node.mjs",
            cwd=client,
            env=env(**await known(api), FINETUNED_TEST_MODEL=DEMO_MODEL),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    seen = json.loads(out)
    assert seen["node"].startswith("24." if version == "wheel" else f"{version}.")
    assert (seen["rows"], seen["isSame"], seen["status"]) == (20, True, "cancelled")
    assert seen["events"] == seen["listed"]
    assert seen["isNotFound"] is True
    assert DEMO_MODEL in seen["models"]
    assert seen["requestId"].startswith("req_")
    assert seen["uploaded"] == "node.mjs"


async def test_client_in_a_browser(client: Path, api: Api, work, page_port: int):
    if not (browser := chromium()):
        pytest.skip("no Chromium: apt-get install chromium, or set FINETUNED_CHROMIUM")
    told = {"FINETUNED_CHROMIUM": browser, "FINETUNED_TEST_PAGE_PORT": str(page_port)}
    async with work("cpu"):
        done = await npm("test", "--", "tests/browser.test.ts", **await known(api), **told)
    assert "1 passed" in done
