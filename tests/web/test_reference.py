"""`/` and `/docs`: what a person and a program see there, without other servers."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile

import pytest

from tests.conftest import Api

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


async def test_the_root_returns_links_as_json(api: Api):
    async with await api.client() as http:
        about = (await http.get("/")).json()
        assert about["name"] == "finetuned"
        assert about["base_url"] == f"{api.base_url.removesuffix('/v1')}/v1"
        for link in (about["reference"], about["openapi"]):
            assert (await http.get(link)).status_code == 200


async def test_the_reference_loads_nothing_from_elsewhere(api: Api):
    async with await api.client() as http:
        page = await http.get("/docs")
        links = re.findall(r'(?:href|src)="([^"]+)"', page.text)
        assert len(links) == 3
        for link in links:
            assert ":" not in link
            assert not link.startswith("/")
            asset = await http.get(f"/{link}")
            assert asset.status_code == 200
            assert asset.headers["content-type"].split(";")[0] in ("text/css", "text/javascript")
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        for wrong in ("redoc.standalone.js", "..%2f__init__.py", "x"):
            assert (await http.get(f"/docs/{wrong}")).status_code == 404


async def test_a_base_url_without_v1_gets_a_hint(api: Api):
    async with await api.client() as http:
        for path, hint in (
            ("/chat/completions", "lacks '/v1'"),
            ("/files", "lacks '/v1'"),
            ("/fine_tuning/jobs/ftjob-1/cancel", "lacks '/v1'"),
            ("/v1/v1/models", "'/v1' twice"),
        ):
            error = (await http.post(path, json={})).json()["error"]
            assert error["code"] == "unknown_url"
            assert hint in error["message"]
        error = (await http.get("/v1/threads")).json()["error"]
        assert "base URL" not in error["message"]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
async def test_a_browser_shows_the_operations_and_sends_requests_to_this_server(api: Api):
    origin = api.base_url.removesuffix("/v1")
    profile = tempfile.mkdtemp(dir=api.settings.data_dir)
    options = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}")
    browser = await asyncio.create_subprocess_exec(
        str(CHROMIUM),
        *options,
        "--virtual-time-budget=20000",
        "--dump-dom",
        f"{origin}/docs",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    page = (await browser.communicate())[0].decode()
    assert "Upload and download of training data" in page
    assert f'value="{origin}"' in page
