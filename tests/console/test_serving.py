"""Tests of how the console's files are served: a build in a folder, and the one in the package."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from service.config import Settings
from service.console.files import STATIC, Console, read
from service.console.routes import HEADERS, POLICY
from tests.conftest import Api

HTML = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
SCRIPT = "_app/immutable/entry/start.abc.js"
OUTSIDE = "contents of a file outside the folder"
FILES = {
    "index.html": "<!doctype html><title>console</title>" + "<p>" * 500,
    "favicon.svg": "<svg xmlns='http://www.w3.org/2000/svg'/>",
    "boot.js": "start()",
    "_app/version.json": '{"version":"0.3.0"}',
    SCRIPT: "export const a = 1;" * 200,
    "_app/immutable/assets/0.abc.css": "p{}",
    "_app/immutable/small.js.gz": "not the sibling of a file",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "static"
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    (folder / f"{SCRIPT}.br").write_bytes(b"brotli")
    (tmp_path / "secret.txt").write_text(OUTSIDE, "utf-8")
    return folder


@pytest.fixture
async def browser(api: Api, folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A browser without a key, and an API that serves the folder."""
    api.app.state.console = read(folder)
    async with httpx.AsyncClient(base_url=api.base_url, timeout=60, verify=False) as http:
        yield http


@pytest.mark.parametrize(
    "path",
    ["/console", "/console/", "/console/jobs/ftjob-1", "/console/a.b%2Fc", "/console/index.html"],
)
async def test_each_address_of_the_console_answers_its_page(browser, path):
    page = await browser.get(path)
    assert (page.status_code, page.text) == (200, FILES["index.html"])
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-cache"
    assert {name: page.headers[name] for name in HEADERS} == HEADERS
    again = await browser.get(path, headers={"if-none-match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == page.headers["etag"]


async def test_the_policy_allows_nothing_from_elsewhere_and_nothing_inline():
    directives = dict(part.split(maxsplit=1) for part in POLICY.split("; "))
    assert directives["default-src"] == "'none'"
    assert directives["frame-ancestors"] == "'none'"
    assert directives["require-trusted-types-for"] == "'script'"
    assert set(" ".join(directives.values()).split()) == {
        *("'none'", "'self'", "'script'", "svelte-trusted-html")
    }


@pytest.mark.parametrize(
    ("path", "kind", "caching"),
    [
        (SCRIPT, "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"),
        ("_app/immutable/assets/0.abc.css", "text/css; charset=utf-8", "immutable"),
        ("_app/version.json", "application/json", "no-cache"),
        ("favicon.svg", "image/svg+xml", "no-cache"),
        ("boot.js", "text/javascript; charset=utf-8", "no-cache"),
    ],
)
async def test_files_have_types_and_are_cached_if_their_names_are_hashes(
    browser, path, kind, caching
):
    answer = await browser.get(f"/console/{path}", headers={"accept-encoding": "identity"})
    assert (answer.status_code, answer.text) == (200, FILES[path])
    assert answer.headers["content-type"] == kind
    assert answer.headers["cache-control"].endswith(caching)
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip", "gzip"),
        ("br;q=0, GZIP;q=0.5", "gzip"),
        ("identity", None),
        ("", None),
    ],
)
async def test_files_are_sent_compressed(browser, accepted, encoding):
    request = browser.build_request("GET", f"/console/{SCRIPT}")
    request.headers["accept-encoding"] = accepted
    answer = await browser.send(request, stream=True)
    body = b"".join([part async for part in answer.aiter_raw()])
    assert answer.headers.get("content-encoding") == encoding
    assert answer.headers["vary"] == "accept-encoding"
    assert len(body) == int(answer.headers["content-length"])
    plain = FILES[SCRIPT].encode()
    assert body == {"br": b"brotli", "gzip": gzip.compress(plain, mtime=0)}.get(encoding, plain)


async def test_head_answers_without_a_body(browser):
    for path in ("/console", f"/console/{SCRIPT}"):
        head, got = await browser.head(path), await browser.get(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == got.headers["content-type"]


@pytest.mark.parametrize(
    "path",
    [
        *("_app/immutable/entry/start.old.js", "_app/", "_app/immutable"),
        *("_app/immutable/small.js", f"{SCRIPT}.br"),
    ],
)
async def test_missing_files_of_a_build_are_404(browser, path):
    answer = await browser.get(f"/console/{path}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_url")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path",
    [
        *("../secret.txt", "..%2fsecret.txt", "_app/../../secret.txt", "%2e%2e/secret.txt"),
        *("_app/%2e%2e/%2e%2e/secret.txt", "..\\secret.txt", "/../secret.txt", "%00/../secret.txt"),
    ],
)
async def test_no_path_leads_out_of_the_folder(api: Api, browser, path):
    address = urlsplit(api.base_url)  # a client would resolve the dots itself
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    request = f"GET /console/{path} HTTP/1.1\r\nhost: api\r\nconnection: close\r\n\r\n"
    writer.write(request.encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 ")
    assert OUTSIDE.encode() not in answer


async def test_the_console_only_answers_reads_and_needs_no_key(browser):
    for path in ("/console", "/console/jobs", f"/console/{SCRIPT}"):
        answer = await browser.post(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
    wrong = {"authorization": "Bearer sk-ft-wrong"}
    assert (await browser.get("/console", headers=wrong)).status_code == 200


async def test_metrics_and_the_api_description_do_not_name_its_files(api: Api, browser):
    from prometheus_client import generate_latest

    await browser.get("/console/jobs/ftjob-secret-name")
    await browser.get(f"/console/{SCRIPT}")
    described = (await browser.get("/openapi.json")).json()["paths"]
    assert not [path for path in described if not path.startswith(("/v1/", "/livez", "/readyz"))]
    metrics = generate_latest().decode()
    assert "ftjob-secret-name" not in metrics
    assert "start.abc" not in metrics


async def test_the_root_leads_browsers_to_the_console(browser):
    answer = await browser.get("/", headers=HTML)
    assert (answer.status_code, answer.headers["location"]) == (307, "/console")
    assert (await browser.get("/")).json()["name"] == "finetuned"


async def test_the_console_can_be_turned_off(settings: Settings, redis):
    api = await Api.start(settings.model_copy(update={"console": False}))
    async with api.serving, httpx.AsyncClient(base_url=api.base_url, verify=False) as browser:
        for path in ("/console", "/console/jobs", f"/console/{SCRIPT}"):
            assert (await browser.get(path, headers=HTML)).status_code == 404
        assert (await browser.get("/", headers=HTML)).headers["location"] == "/docs"
        assert (await browser.get("/")).json()["name"] == "finetuned"


async def test_a_missing_build_is_explained(api: Api, browser, tmp_path):
    api.app.state.console = read(tmp_path / "nothing")
    answer = await browser.get("/console/jobs")
    assert answer.status_code == 503
    assert "npm run build" in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


class _Page(HTMLParser):
    """Collects what a page loads, and what a strict policy would block."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        loaded = found.get("src") or (found.get("href") if tag == "link" else None)
        if loaded:
            self.loads.append(loaded)
        if tag == "style" or (tag == "script" and not found.get("src")):
            self.inline.append(tag)
        self.inline += [name for name in found if name == "style" or name.startswith("on")]


@pytest.fixture
def built() -> Console:
    assert STATIC.is_dir(), "the built console is missing: run 'npm run build' in clients/console"
    return read()


async def test_the_page_in_the_package_loads_only_its_own_files(api: Api, built):
    async with httpx.AsyncClient(base_url=api.base_url, timeout=60, verify=False) as browser:
        answer = await browser.get("/console/jobs/ftjob-1")
        assert answer.status_code == 200
        page = _Page()
        page.feed(answer.text)
        assert page.inline == []
        assert page.loads
        for path in page.loads:
            assert (urlsplit(path).netloc, path.startswith("/console/")) == ("", True)
            file = await browser.get(path)
            assert file.status_code == 200, path
            if "/immutable/" in path:
                assert file.headers["cache-control"].endswith("immutable")
            assert not file.headers["content-type"].startswith("text/html"), path


def test_no_script_or_style_in_the_package_names_another_server(built):
    """Namespaces, and addresses in the messages of libraries, are not requests."""
    names = re.compile(r"https?://(?!www\.w3\.org/|svelte\.dev/|github\.com/)[\w.-]+\.[a-z]{2,}")
    found = {
        f"{path.name}: {match}"
        for path in STATIC.rglob("*")
        if path.suffix in (".js", ".css", ".html")
        for match in names.findall(path.read_text("utf-8"))
        if not match.endswith(".invalid")
    }
    assert found == set()
