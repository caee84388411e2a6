"""A blind review in the browser: no answer of the service names a model before it is chosen."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Browser, Response, expect

from tests.conftest import Api
from tests.console.browser import WIDTHS, Console, needs_chromium
from tests.console.texts import Texts
from tests.jobs.evaluation.labels import SAID, evaluated_job

pytestmark = [needs_chromium, pytest.mark.slow, pytest.mark.timeout(300)]
_ROWS = 26  # more than the page reads at once


async def _label_all(colleague: httpx.AsyncClient, url: str, said: str) -> None:
    """Prefer the answers that begin like this, as another reviewer."""
    queue = (await colleague.get(f"{url}/queue", params={"limit": 100})).json()
    for task in queue["tasks"]:
        is_first = task["answers"][0]["text"].startswith(said)
        body = {"compared": queue["compared"], "shown": task["shown"]}
        body["winner"] = "first" if is_first else "second"
        assert (await colleague.put(f"{url}/{task['row']}", json=body)).status_code == 200


async def test_a_review_is_blind_until_answers_are_chosen(api: Api, http, chats, browser: Browser):
    job = await evaluated_job(api, http, chats(12), _ROWS)
    url = f"/v1/fine_tuning/jobs/{job.id}/evaluation/labels"
    async with await api.client() as colleague:
        await _label_all(colleague, url, SAID["tuned"])
    texts = Texts("en")
    async with Console.open(browser, api.base_url.removesuffix("/v1")) as console:
        await console.sign_in(await api.key())
        page, told = console.page, list[Response]()
        page.on("response", lambda one: told.append(one))  # noqa: PLW0108 - Playwright marks it
        await console.goto(f"/jobs/{job.id}/evaluation/review")
        await console.inspect()
        await expect(page.locator("article .text")).to_have_count(2)
        await expect(page.get_by_text(texts("evaluation.rows_done", whole=False))).to_be_visible()
        asked = {response.url.partition("/evaluation/")[2].partition("?")[0] for response in told}
        assert asked & {"report", "labels"} == set(), "they name the columns"
        assert "labels/queue" in asked
        for place in range(1, _ROWS):  # the last row has no answer of the best prompt
            first = await page.locator("article .text").first.inner_text()
            # The person disagrees with the other one on some rows.
            is_tuned = first.startswith(SAID["tuned"]) == (place > 6)
            await page.keyboard.press("1" if is_tuned else "2")
            if place == 1:
                await page.keyboard.press("u")
                await expect(page.locator("article .text").first).to_have_text(first)
                await page.keyboard.press("1" if is_tuned else "2")
            if place < _ROWS - 1:
                await expect(page.locator("article .text").first).not_to_have_text(first)
        await expect(page.get_by_text(texts("evaluation.disputed")).first).to_be_visible()
        await console.inspect()
        assert console.faults == []
        _keep(await page.screenshot(full_page=True), "revealed")
    labels = (await http.get(f"/v1/fine_tuning/jobs/{job.id}/evaluation")).json()["human_review"]
    [one] = labels["comparisons"]
    assert (one["labels"], one["reliability"]["rows"], one["reliability"]["disputed"]) == (
        50,
        25,
        6,
    )


@pytest.mark.parametrize("language", ["en", "th", "ja"])
@pytest.mark.parametrize("width", WIDTHS)
async def test_the_pages_of_a_review_fit(
    api: Api, http, chats, browser: Browser, language: str, width: str
):
    job = await evaluated_job(api, http, chats(12), _ROWS)
    url = f"/v1/fine_tuning/jobs/{job.id}/evaluation/labels"
    for _ in range(2):
        async with await api.client() as colleague:
            await _label_all(colleague, url, SAID["prompt"])
    origin = api.base_url.removesuffix("/v1")
    async with Console.open(browser, origin, width=WIDTHS[width], language=language) as console:
        await console.sign_in(await api.key())
        for address in ("evaluation", "evaluation/review?pair=base", "evaluation/review?revealed"):
            await console.goto(f"/jobs/{job.id}/{address}")
            await console.inspect()
            name = address.replace("/", "-").replace("?", "-")
            _keep(await console.page.screenshot(full_page=True), f"{language}-{width}-{name}")
        assert console.faults == []


def _keep(picture: bytes, name: str) -> None:
    """Store a picture in the folder that FINETUNED_PICTURES names, to look at it."""
    if folder := os.environ.get("FINETUNED_PICTURES"):
        (Path(folder) / f"review-{name}.png").write_bytes(picture)
