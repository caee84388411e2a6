"""Text that strangers wrote, such as file names, rows and answers: it is shown, and never runs."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
from aiohttp import web
from playwright.async_api import Browser, Page, expect
from pydantic import SecretStr

from service.config import Settings
from service.projects.records import Role
from tests.conftest import BASE_MODEL, Api, chat_line, checked, upload
from tests.console.browser import Console, needs_chromium
from tests.console.texts import Texts
from tests.http_server import http_server

pytestmark = [needs_chromium, pytest.mark.slow, pytest.mark.timeout(300)]

TEXTS: Final = Texts("en")
MARKUP: Final = "<img src=x onerror=window.ran=1><script>window.ran=1</script>{{7*7}}${7*7}"
INVISIBLE: Final = "\u202egnp.exe\u202c\u200b\u2066\ufeff"
NAME: Final = f"{MARKUP.replace('/', '')} {INVISIBLE}.jsonl"
CONTROLS: Final = "\u0007\u001b[31m\u0085"
LONG_LINE: Final = "wide " * 200_000
# Nothing listens there: a request would be seen, and lead nowhere.
ELSEWHERE: Final = "http://elsewhere.invalid"
MARKDOWN: Final = f"""
# {MARKUP}

![picture]({ELSEWHERE}/pixel.png) [script](javascript:window.ran=1) [data](data:text/html,<script>)
[other host]({ELSEWHERE}/page) <{ELSEWHERE}/auto> {ELSEWHERE}/bare

<iframe src="{ELSEWHERE}"></iframe><svg onload=window.ran=1><style>* {{ color: red }}</style>

| {MARKUP} | {INVISIBLE} |
|---|---|
| {CONTROLS} | [x]: <b> |

```html
{MARKUP}
```
"""


class Watched:
    """Collects what a page would do if a text ran: dialogs, and requests to other hosts."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._found = list[str]()
        console.page.on("dialog", lambda dialog: self._found.append(f"dialog {dialog.message}"))
        console.context.on(
            "request",
            lambda request: (
                None if request.url.startswith(console.origin) else self._found.append(request.url)
            ),
        )

    async def check(self) -> None:
        """Fail if something ran on the page, which still reacts."""
        page = self._console.page
        await page.keyboard.press("Tab")
        assert await page.evaluate("window.ran === undefined"), page.url
        assert await page.locator("main :is(iframe, script, img, svg[onload])").count() == 0
        assert self._found == [], page.url
        assert self._console.faults == []
        assert await self._console.overflow_px() <= 0, page.url


@pytest.fixture
async def settings(settings: Settings) -> AsyncIterator[Settings]:
    """The base model is served by an engine whose answers are hostile."""

    async def reply(request: web.Request) -> web.StreamResponse:
        if request.path == "/health":
            return web.Response()
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": BASE_MODEL}
        for text in (MARKDOWN[:40], MARKDOWN[40:], f"\n\n\u0000{INVISIBLE}"):
            choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
            await response.write(_event({**head, "choices": [choice]}))
        ended = {"index": 0, "delta": {}, "finish_reason": "stop"}
        await response.write(_event({**head, "choices": [ended]}))
        usage = {"prompt_tokens": 3, "completion_tokens": 9, "total_tokens": 12}
        await response.write(_event({**head, "choices": [], "usage": usage}))
        await response.write(b"data: [DONE]\n\n")
        return response

    async with http_server(reply) as url:
        served = {"upstreams": {BASE_MODEL: url}, "upstream_api_key": SecretStr("secret")}
        yield settings.model_copy(update=served)


def _event(data: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(data)}\n\n".encode()


async def _labels(page: Page) -> set[str]:
    """Return the labels of invisible characters on the page."""
    return set(await page.locator("main .chip").all_text_contents())


async def test_names_and_rows_are_shown_and_do_not_run(api: Api, browser: Browser, work):
    rows = [
        chat_line(f"{MARKUP} {INVISIBLE}", f"{CONTROLS} {MARKUP}"),
        chat_line("How wide is it?", LONG_LINE),
        *(chat_line(f"Question {i}?", f"{MARKDOWN} {i}") for i in range(10)),
    ]
    async with (
        await api.client(role=Role.ADMIN) as http,
        work("cpu"),
        Console.open(browser, api.base_url) as console,
    ):
        stored = await upload(http, "\n".join(rows).encode(), name=NAME)
        assert stored.status_code == 200, stored.text
        file = stored.json()["id"]
        found = await checked(http, file)
        assert found["status"] == "processed", found["status_details"]
        project = (await http.get("/v1/organization/projects")).json()["data"][0]["id"]
        key = {"name": f"{{{{7*7}}}}{MARKUP[:40]}", "role": "reader"}
        made = await http.post(f"/v1/organization/projects/{project}/api_keys", json=key)
        assert made.status_code == 200, made.text
        job = {"model": BASE_MODEL, "training_file": file, "metadata": {"note": MARKUP}}
        created = await http.post("/v1/fine_tuning/jobs", json=job)
        assert created.status_code == 200, created.text

        await console.sign_in(http.headers["authorization"].removeprefix("Bearer "))
        page, watched = console.page, Watched(console)
        await console.goto("/data")
        await expect(page.get_by_text("{{7*7}}").first).to_be_visible()
        await watched.check()
        pages: list[tuple[str, str | re.Pattern[str]]] = [
            (f"/data/{file}/preview", TEXTS("files.preview.first_rows")),
            (f"/data/{file}/report", TEXTS("rows.findings")),
            (f"/data/{file}/clean", TEXTS("rows.clean.run")),
            (f"/data/{file}/rows?show=all", TEXTS("rows.line", line="1")),
            (f"/jobs/{created.json()['id']}/settings", "{{7*7}}"),
            (f"/train?file={file}", "{{7*7}}"),
            ("/admin/keys", "{{7*7}}"),
        ]
        for address, shown in pages:
            await console.goto(address)
            await expect(page.get_by_text(shown).first).to_be_visible(timeout=60_000)
            await watched.check()
        await console.goto(f"/data/{file}/rows?show=all&line=1")
        detail = page.get_by_role("article")
        await expect(detail.get_by_text("U+0007").first).to_be_visible()
        assert {"U+0007", "U+001B", "U+0085", "U+202E"} <= await _labels(page)
        await watched.check()
        await console.goto(f"/data/{file}/rows?show=all&line=2")
        more = detail.get_by_role("button", name=TEXTS("common.show_more"))
        await more.first.click()
        await expect(more.first).to_be_visible()
        await watched.check()


async def test_answers_are_shown_and_do_not_run(api: Api, browser: Browser):
    async with Console.open(browser, api.base_url) as console:
        await console.sign_in(await api.key(role=Role.MEMBER))
        page, watched = console.page, Watched(console)
        await console.goto(f"/playground?model={BASE_MODEL}")
        await page.get_by_role("textbox", name=TEXTS("playground.message")).fill(
            f"{MARKUP} {INVISIBLE}"
        )
        await page.keyboard.press("Control+Enter")
        answer = page.get_by_role("article")
        await expect(answer.get_by_text(TEXTS("playground.tokens"))).to_be_visible()
        await expect(answer.get_by_role("paragraph").first).to_contain_text("<img src=x")
        assert {"U+0000", "U+202E", "U+200B", "U+FEFF"} <= await _labels(page)
        await watched.check()
        # A link asks before it leaves the console, and only leads to pages of the web.
        assert await page.locator("main a[href^='javascript:'], main a[href^='data:']").count() == 0
        await answer.get_by_role("button", name="other host").click()
        dialog = page.get_by_role("dialog", name="elsewhere.invalid")
        await expect(dialog).to_be_visible()
        await dialog.get_by_role("button", name=TEXTS("common.cancel")).click()
        await watched.check()
        # After a reload, the chat comes from this browser's storage.
        await page.reload()
        await expect(answer.get_by_role("paragraph").first).to_contain_text("<img src=x")
        await watched.check()
