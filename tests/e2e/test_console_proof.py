"""The console in each width and language, by keyboard alone, and when something is lost midway.

`make proof NAME=console` runs these tests, on an installation of their own.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Browser, Locator, Page, expect

from service.standalone.up import DEMO_MODEL
from tests.console.browser import SOURCE, WIDTHS, Console, chromium, needs_chromium
from tests.console.hands import Keyboard
from tests.console.loop import WORK_MS, Loop
from tests.console.texts import LANGUAGES, Texts
from tests.e2e.conftest import ONE_THREAD, Stack, started, wait_for
from tests.node import installed

pytestmark = [
    needs_chromium,
    pytest.mark.e2e,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(
        os.environ.get("FINETUNED_CONSOLE_PROOF") != "1",
        reason="minutes: 'make proof NAME=console' runs it",
    ),
]
# A language of words, one of syllables, and one that has no spaces between its words.
SHOWN = [language for language in ("en", "ja", "th") if language in LANGUAGES]
DRAFT = "A prompt that took long to write"
TEXTS = Texts("en")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, demo_model_path: Path) -> Iterator[Stack]:
    """A running stack, whose processes the tests kill."""
    model = {"id": DEMO_MODEL, "path": str(demo_model_path), "parameters": 134_515_008}
    env = {"FINETUNED_EVALUATION_ROWS": "1", "FINETUNED_EVALUATION_CHECKPOINTS": "1", **ONE_THREAD}
    with started(tmp_path_factory.mktemp("console"), model, **env) as stack:
        yield stack


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    installed(SOURCE, in_place=True)  # contains axe
    async with chromium() as running:
        yield running


@pytest.fixture
def admin(site: Stack) -> Iterator[httpx.Client]:
    """The administrator, who acts while someone else uses the console."""
    headers = {"authorization": f"Bearer {site.key}"}
    with httpx.Client(base_url=f"{site.url}/v1/organization", headers=headers, timeout=60) as http:
        yield http


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("language", SHOWN)
async def test_the_whole_loop(
    site: Stack, browser: Browser, tmp_path: Path, language: str, width: str
):
    async with Console.open(browser, site.url, width=WIDTHS[width], language=language) as console:
        await Loop.by_clicks(console, language, f"loop-{language}-{width}").run(site.key, tmp_path)
        assert console.faults == []


async def test_the_whole_loop_by_keyboard_alone(site: Stack, browser: Browser, tmp_path: Path):
    async with Console.open(browser, site.url) as console:
        loop = Loop(console, Texts("en"), Keyboard(console.page), "loop-keyboard")
        await loop.run(site.key, tmp_path)
        assert console.faults == []


async def test_a_reload_keeps_what_was_typed(site: Stack, browser: Browser):
    async with Console.open(browser, site.url) as console:
        page = console.page
        await console.sign_in(site.key)
        await console.goto("/train")
        await _write_prompt(console)
        await page.wait_for_timeout(1000)  # drafts are written after a pause in typing
        await page.reload()
        await expect(_prompt(console)).to_have_value(DRAFT)

        await console.goto(f"/playground?model={DEMO_MODEL}")
        message = page.get_by_role("textbox", name=TEXTS("playground.message"))
        await message.fill("Do you keep this?")
        await page.wait_for_timeout(1500)
        await page.reload()
        await expect(message).to_have_value("Do you keep this?")
        assert console.faults == []


async def test_a_killed_api_is_shown_and_nothing_is_lost(site: Stack, browser: Browser):
    """The form keeps its text, and the page says what is missing, until the api is back."""
    async with Console.open(browser, site.url) as console:
        page = console.page
        await console.sign_in(site.key)
        await console.goto("/train")
        await _write_prompt(console)
        supervisor = site.process
        assert supervisor is not None
        # Stopped first, so that `up` does not start the next one before the page notices.
        os.kill(supervisor.pid, signal.SIGSTOP)
        try:
            os.kill(site.pid_of("service.cli api"), signal.SIGKILL)
            await _areas(page).get_by_role("link", name=TEXTS("nav.jobs")).click()
            await expect(page.get_by_text(TEXTS("common.offline")).first).to_be_visible(
                timeout=WORK_MS
            )
            await _areas(page).get_by_role("link", name=TEXTS("nav.train")).click()
        finally:
            os.kill(supervisor.pid, signal.SIGCONT)
        wait_for(site.ready, 120, "the return of the api")
        await expect(page.get_by_text(TEXTS("common.offline"))).to_have_count(0, timeout=WORK_MS)
        await expect(_prompt(console)).to_have_value(DRAFT, timeout=WORK_MS)
        await console.settled()
        await _areas(page).get_by_role("link", name=TEXTS("nav.data")).click()
        await expect(page.get_by_role("heading", name=TEXTS("nav.data"))).to_be_visible()
        assert console.faults == []


@pytest.mark.parametrize("end", ["revoked", "expired"])
async def test_an_ended_key_is_renewed_over_the_form(
    site: Stack, browser: Browser, admin: httpx.Client, file: str, end: str
):
    """The request that was refused is sent again after the sign-in: the training starts."""
    key = _new_key(admin, "member", **({"expires_in_seconds": 90} if end == "expired" else {}))
    async with Console.open(browser, site.url) as console:
        page = console.page
        await console.sign_in(key["value"])
        await _fill_form(console, file)
        if end == "revoked":
            admin.delete(f"/projects/{key['project']}/api_keys/{key['id']}").raise_for_status()
        else:
            wait_for(lambda: _is_refused(site, key["value"]), 120, "the end of the key")
        dialog = page.get_by_role("dialog", name=TEXTS("sign_in.title"))
        await page.get_by_role("button", name=TEXTS("train.start")).click()
        await expect(dialog).to_be_visible(timeout=WORK_MS)
        await console.inspect()
        await dialog.get_by_label(TEXTS("sign_in.key")).fill(_new_key(admin, "member")["value"])
        await dialog.get_by_role("button", name=TEXTS("sign_in.submit")).click()
        await page.wait_for_url("**/console/jobs/ftjob-*/curves", timeout=WORK_MS)
        await page.get_by_role("button", name=TEXTS("jobs.cancel")).first.click()
        cancel = page.get_by_role("dialog").get_by_role("button", name=TEXTS("jobs.cancel_job"))
        await cancel.click()
        await expect(page.get_by_text(TEXTS("common.status.cancelled")).first).to_be_visible(
            timeout=WORK_MS
        )
        with httpx.Client(headers={"authorization": f"Bearer {site.key}"}) as http:
            job = http.get(f"{site.url}/v1/fine_tuning/jobs", params={"limit": 1}).json()
        assert job["data"][0]["baseline_prompt"] == DRAFT
        assert console.faults == []


async def test_a_revoked_role_takes_the_controls_away(
    site: Stack, browser: Browser, admin: httpx.Client, file: str
):
    """What the person has begun stays on the page, which says what the role does not allow."""
    key = _new_key(admin, "member")
    async with Console.open(browser, site.url) as console:
        page = console.page
        await console.sign_in(key["value"])
        await _fill_form(console, file)
        admin.post(
            f"/projects/{key['project']}/api_keys/{key['id']}", json={"role": "reader"}
        ).raise_for_status()
        await page.get_by_role("button", name=TEXTS("train.start")).click()
        await expect(page.get_by_text(TEXTS("train.read_only"))).to_be_visible(timeout=WORK_MS)
        await expect(_prompt(console)).to_have_value(DRAFT)
        await console.inspect()
        await _areas(page).get_by_role("link", name=TEXTS("nav.data")).click()
        await expect(page.get_by_role("heading", name=TEXTS("nav.data"))).to_be_visible()
        await expect(page.get_by_role("button", name=TEXTS("files.upload.button"))).to_have_count(0)
        assert console.faults == []


@pytest.fixture
def file(site: Stack, chats: Callable[[int], bytes]) -> str:
    """ID of a training file."""
    with site.client() as sdk:
        made = sdk.files.create(file=("chats.jsonl", chats(12)), purpose="fine-tune")
        sdk.files.wait_for_processing(made.id, poll_interval=0.2)
    return made.id


def _new_key(admin: httpx.Client, role: str, **fields: object) -> dict[str, str]:
    """Create a key in the administrator's project."""
    project = admin.get("/projects").raise_for_status().json()["data"][0]["id"]
    body = {"name": f"proof {role}", "role": role, **fields}
    made = admin.post(f"/projects/{project}/api_keys", json=body).raise_for_status()
    return {**made.json(), "project": project}


def _is_refused(site: Stack, key: str) -> bool:
    headers = {"authorization": f"Bearer {key}"}
    return httpx.get(f"{site.url}/v1/models", headers=headers, timeout=60).status_code == 401


def _areas(page: Page) -> Locator:
    return page.get_by_role("navigation", name=TEXTS("nav.label"))


def _prompt(console: Console) -> Locator:
    return console.page.get_by_role("textbox", name=TEXTS("train.prompt"))


async def _fill_form(console: Console, file: str) -> None:
    """Choose data, a model and a prompt of a training."""
    await console.goto(f"/train?file={file}&model={DEMO_MODEL}")
    await _write_prompt(console)
    await expect(console.page.get_by_role("button", name=TEXTS("train.start"))).to_be_visible()


async def _write_prompt(console: Console) -> None:
    group = console.page.locator("summary").filter(has_text=TEXTS("train.group.job", whole=False))
    await group.click()
    await _prompt(console).fill(DRAFT)
