"""The console in each width and language, by keyboard alone, and when something is lost midway.

`make proof NAME=console` runs these tests, on an installation of their own.
"""

from __future__ import annotations

import asyncio
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
from tests.console.loop import TRAINING_MS, WORK_MS, Loop
from tests.console.texts import LANGUAGES, Texts
from tests.e2e.conftest import ONE_THREAD, Stack, started, wait_for
from tests.node import installed
from tests.openapi.scenario.imports import adapter_of

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


@pytest.mark.parametrize("language", SHOWN)
async def test_the_whole_loop(site: Stack, browser: Browser, tmp_path: Path, language: str):
    """Two people at once, of whom each continues while the other one's model is trained."""

    async def at(width: str) -> list[str]:
        opened = Console.open(browser, site.url, width=WIDTHS[width], language=language)
        async with opened as console:
            loop = Loop.by_clicks(console, language, f"loop-{language}-{width}")
            await loop.run(site.key, tmp_path)
            return console.faults

    assert await asyncio.gather(*map(at, WIDTHS)) == [[]] * len(WIDTHS)


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
    """The form keeps its text, and the page says what is missing, until the api is back.

    The sockets are open all the time: what is sent then gets no answer, and no error either.
    """
    async with Console.open(browser, site.url) as console:
        page = console.page
        await console.sign_in(site.key)
        await console.goto("/train")
        await _write_prompt(console)
        supervisor = site.process
        assert supervisor is not None
        # Stopped first, so that `up`, which has the sockets, does not start the next one.
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
    """Nothing is sent in the name of the next key until the person starts the training again."""
    key = _new_key(admin, "member")
    async with Console.open(browser, site.url) as console:
        page = console.page
        await console.sign_in(key["value"])
        await _fill_form(console, file)
        if end == "revoked":
            admin.delete(key["path"]).raise_for_status()
        else:
            admin.post(key["path"], json={"expires_in_seconds": 1}).raise_for_status()
        wait_for(lambda: _is_refused(site, key["value"]), 60, "the end of the key")
        dialog = page.get_by_role("dialog", name=TEXTS("sign_in.title"))
        start = page.get_by_role("button", name=TEXTS("train.start"))
        # By then, what the page asks for itself may have opened the dialog, over the button.
        await start.dispatch_event("click")
        await expect(dialog).to_be_visible(timeout=WORK_MS)
        await console.inspect()
        await dialog.get_by_label(TEXTS("sign_in.key")).fill(_new_key(admin, "member")["value"])
        await dialog.get_by_role("button", name=TEXTS("sign_in.submit")).click()
        await expect(page.get_by_text(TEXTS("errors.other_sign_in"))).to_be_visible(timeout=WORK_MS)
        await expect(_prompt(console)).to_have_value(DRAFT)
        await console.inspect()
        await start.click()
        await page.wait_for_url("**/console/jobs/ftjob-*/curves", timeout=WORK_MS)
        await _cancel(console)
        job = page.url.split("/")[-2]
        with httpx.Client(headers={"authorization": f"Bearer {site.key}"}, timeout=60) as http:
            made = http.get(f"{site.url}/v1/fine_tuning/jobs/{job}").json()
        assert made["baseline_prompt"] == DRAFT
        assert console.faults == []


async def test_a_running_job(site: Stack, browser: Browser, file: str):
    """Chat with its checkpoint, pause it, resume it, and cancel it."""
    with site.client() as sdk:
        job = sdk.fine_tuning.jobs.create(
            model=DEMO_MODEL,
            training_file=file,
            suffix="running",
            method={
                "type": "supervised",
                "supervised": {"hyperparameters": {"n_epochs": 50, "batch_size": 2}},
            },
        )
    async with Console.open(browser, site.url) as console:
        page = console.page
        await console.sign_in(site.key)
        await console.goto(f"/jobs/{job.id}/checkpoints")
        chat = page.get_by_role("table").get_by_role("link", name=TEXTS("jobs.chat_short"))
        await expect(chat.first).to_be_visible(timeout=TRAINING_MS)
        await console.inspect()
        await chat.first.click()
        message = page.get_by_role("textbox", name=TEXTS("playground.message"))
        await message.fill("When does the shop open?")
        await page.keyboard.press("Control+Enter")
        tokens = page.get_by_role("main").locator("article").get_by_text(TEXTS("playground.tokens"))
        await expect(tokens.first).to_be_visible(timeout=WORK_MS)
        assert (await page.evaluate("location.search")).count("step") == 1

        await console.goto(f"/jobs/{job.id}")
        await page.get_by_role("button", name=TEXTS("jobs.pause")).click()
        resume = page.get_by_role("main").get_by_role("button", name=TEXTS("jobs.resume"))
        paused = _state(page, "paused")
        await expect(paused).to_be_visible(timeout=WORK_MS)
        await console.inspect()
        await resume.click()
        await expect(paused).to_have_count(0, timeout=WORK_MS)
        await expect(page.get_by_role("button", name=TEXTS("jobs.pause"))).to_be_visible()
        await _cancel(console)
        await console.inspect()
        assert console.faults == []


async def test_an_adapter_is_imported_from_its_folder(
    site: Stack, browser: Browser, demo_model_path: Path, tmp_path: Path
):
    folder = tmp_path / "voice"
    folder.mkdir()
    for name, content in adapter_of(demo_model_path).items():
        (folder / name).write_bytes(content)
    async with Console.open(browser, site.url) as console:
        page = console.page
        await console.sign_in(site.key)
        await console.goto("/models/import")
        async with page.expect_file_chooser() as chooser:
            await page.get_by_role("button", name=TEXTS("models.imports.folder")).click()
        await (await chooser.value).set_files(folder)
        await page.get_by_label(TEXTS("models.kind.base")).select_option(DEMO_MODEL)
        await page.get_by_label(TEXTS("models.imports.suffix")).fill("imported")
        await console.inspect()
        await page.get_by_role("button", name=TEXTS("models.imports.start")).click()
        await page.get_by_role("link", name=TEXTS("models.imports.open")).click(timeout=WORK_MS)
        await expect(page.get_by_role("heading", name="imported").first).to_be_visible()
        await console.inspect()
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
        admin.post(key["path"], json={"role": "reader"}).raise_for_status()
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


def _new_key(admin: httpx.Client, role: str) -> dict[str, str]:
    """Create a key in the administrator's project. Its `path` is that of the key."""
    project = admin.get("/projects").raise_for_status().json()["data"][0]["id"]
    keys = f"/projects/{project}/api_keys"
    made = admin.post(keys, json={"name": f"proof {role}", "role": role}).raise_for_status().json()
    return {**made, "path": f"{keys}/{made['id']}"}


def _is_refused(site: Stack, key: str) -> bool:
    headers = {"authorization": f"Bearer {key}"}
    return httpx.get(f"{site.url}/v1/models", headers=headers, timeout=60).status_code == 401


def _areas(page: Page) -> Locator:
    return page.get_by_role("navigation", name=TEXTS("nav.label"))


def _prompt(console: Console) -> Locator:
    return console.page.get_by_role("textbox", name=TEXTS("train.prompt"))


async def _cancel(console: Console) -> None:
    """Cancel the job whose page is open."""
    page = console.page
    await page.get_by_role("button", name=TEXTS("jobs.cancel")).first.click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name=TEXTS("jobs.cancel_job")).click()
    await expect(_state(page, "cancelled")).to_be_visible(timeout=WORK_MS)


def _state(page: Page, status: str) -> Locator:
    """Return the state in the head of a job, if it is this one. A shape is before its word."""
    text = TEXTS(f"common.status.{status}", whole=False)
    return page.get_by_role("main").locator(".status").filter(has_text=text).first


async def _fill_form(console: Console, file: str) -> None:
    """Choose data, held-out rows, a model, and the prompt that it is compared with."""
    page = console.page
    await console.goto(f"/train?file={file}&model={DEMO_MODEL}")
    await page.get_by_role("radio", name=TEXTS("train.held_out.share")).check()
    await _write_prompt(console)
    estimated = page.locator("#consequences [aria-busy=false]")
    await expect(estimated).to_be_visible(timeout=WORK_MS)
    await expect(page.get_by_role("button", name=TEXTS("train.start"))).to_be_visible()


async def _write_prompt(console: Console) -> None:
    group = console.page.locator("summary").filter(has_text=TEXTS("train.group.job", whole=False))
    await group.click()
    await _prompt(console).fill(DRAFT)
