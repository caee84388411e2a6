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
from service.standalone.services import free_port
from service.standalone.up import DEMO_MODEL
from tests.cached import ROOT
from tests.conftest import Api
from tests.node import NODE, NPM, env, installed

CLIENT = ROOT / "clients" / "typescript"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def client() -> Path:
    """The client's folder with its dependencies installed."""
    return installed(CLIENT, in_place=True)


@pytest.fixture
def page_port() -> int:
    """Port of a web page with another origin."""
    return free_port()


@pytest.fixture
def settings(settings: Settings, demo_model_path: Path, page_port: int) -> Settings:
    """Settings with two base models, one of them tokenizable, and one allowed page origin."""
    entries = "".join(
        f"- {{id: {model_id}, path: {demo_model_path}, license: apache-2.0, "
        "context_length: 2048, parameters: 135000000}\n"
        for model_id in (DEMO_MODEL, "other-base")
    )
    settings.models_file.write_text(f"models:\n{entries}", "utf-8")
    origin = f"http://127.0.0.1:{page_port}"
    return settings.model_copy(update={"cors_origins": (origin,)})


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


def chromium() -> str:
    """Path of Chromium, or an empty string."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = (shutil.which(name) for name in names)
    return os.environ.get("FINETUNED_CHROMIUM") or next(filter(None, found), "")


async def test_style_and_types(client: Path):
    await npm("run", "lint")


async def test_generated_types_are_those_of_openapi_json(client: Path):
    await npm("run", "stale")


def test_version_is_the_services():
    assert json.loads((CLIENT / "package.json").read_text("utf-8"))["version"] == __version__


async def test_client_against_the_api(client: Path, api: Api, work):
    await npm("run", "build")
    async with work("cpu"):
        print(await npm("test", **await known(api)))


async def test_client_in_a_browser(client: Path, api: Api, work, page_port: int):
    if not (browser := chromium()):
        pytest.skip("no Chromium: apt-get install chromium, or set FINETUNED_CHROMIUM")
    await npm("run", "build")
    told = {"FINETUNED_CHROMIUM": browser, "FINETUNED_TEST_PAGE_PORT": str(page_port)}
    async with work("cpu"):
        done = await npm("test", "--", "tests/browser.test.ts", **await known(api), **told)
    assert "1 passed" in done
