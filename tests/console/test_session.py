"""Sign-in, expiry, revoked roles and lost connections, as a person meets them."""

from __future__ import annotations

import json
import re

import pytest
from playwright.async_api import Browser, FilePayload, expect

from service.projects.records import Role
from tests.conftest import Api
from tests.console.browser import Console, needs_chromium

pytestmark = [needs_chromium, pytest.mark.slow, pytest.mark.timeout(120)]


START = re.compile(r"/console/?$")


def _origin(api: Api) -> str:
    return api.base_url.removesuffix("/v1")


async def test_sign_in_and_out(api: Api, browser: Browser):
    key = await api.key(role=Role.MEMBER)
    async with Console.open(browser, _origin(api)) as console:
        page = console.page
        await page.goto(f"{_origin(api)}/")
        await page.wait_for_url("**/console/sign-in?next=*")
        await page.get_by_label("API key").fill("sk-wrong")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_text("does not know this key")).to_be_visible()
        await page.get_by_label("API key").fill(f"  {key}\n")
        await page.keyboard.press("Enter")
        await page.wait_for_url(START)
        await expect(page.get_by_role("navigation", name="Areas")).to_be_visible()
        kept = await page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
        assert key not in kept
        assert key not in page.url
        assert "session" not in await page.evaluate("document.cookie")
        await page.get_by_label("Account and settings").click()
        await expect(page.get_by_text("Your session ends at")).to_be_visible()
        await page.get_by_role("button", name="Sign out").click()
        await page.wait_for_url("**/console/sign-in")
        await page.go_back()
        await page.wait_for_url("**/console/sign-in?next=*")
        assert console.faults == []


async def test_an_ended_session_is_renewed_over_the_page(api: Api, browser: Browser):
    """The request that found no session is sent again, and the page remains unchanged."""
    async with Console.open(browser, _origin(api)) as console:
        page = console.page
        await console.sign_in(await api.key(role=Role.MEMBER))
        await console.goto("/data")
        await console.context.clear_cookies()
        await page.get_by_role("link", name="Jobs").click()
        dialog = page.get_by_role("dialog", name="Sign in")
        await expect(dialog.get_by_text("what you typed is still here")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(dialog).to_be_visible()
        await dialog.get_by_label("API key").fill(await api.key(role=Role.READER))
        await dialog.get_by_role("button", name="Sign in").click()
        await expect(dialog).to_be_hidden()
        await expect(page.get_by_role("heading", name="Jobs")).to_be_visible()
        # A reader may not train: the control is gone without a reload.
        await expect(page.get_by_role("link", name="Train", exact=True)).to_have_count(0)


async def test_a_lost_connection_is_shown_and_found_again(api: Api, browser: Browser):
    async with Console.open(browser, _origin(api)) as console:
        page = console.page
        await console.sign_in(await api.key(role=Role.MEMBER))
        await console.goto("/data")
        await console.context.set_offline(True)
        await page.get_by_role("link", name="Jobs").click()
        await expect(page.get_by_text("The service does not answer.").first).to_be_visible()
        await console.context.set_offline(False)
        await page.get_by_role("button", name="Try now").click()
        await expect(page.get_by_role("button", name="Try now")).to_have_count(0)


@pytest.mark.parametrize("next_page", ["//example.org", "https://example.org", "/\\example.org"])
async def test_the_sign_in_leads_only_to_pages_of_the_console(
    api: Api, browser: Browser, next_page: str
):
    async with Console.open(browser, _origin(api)) as console:
        page = console.page
        await page.goto(f"{_origin(api)}/console/sign-in?next={json.dumps(next_page)[1:-1]}")
        await page.get_by_label("API key").fill(await api.key())
        await page.keyboard.press("Enter")
        await page.wait_for_url(START)


async def test_the_page_refuses_to_be_framed_and_to_load_from_elsewhere(api: Api):
    async with await api.client() as http:
        page = await http.get(f"{_origin(api)}/console")
        policy = page.headers["content-security-policy"]
    directives = dict(part.strip().partition(" ")[::2] for part in policy.split(";"))
    assert directives["default-src"] == "'none'"
    assert directives["script-src"] == "'self'"
    assert directives["style-src"] == "'self'"
    assert directives["connect-src"] == "'self'"
    assert directives["frame-ancestors"] == "'none'"
    assert directives["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in policy


_ROW = b'{"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]}\n'
_FILE: FilePayload = {
    "name": "patients.jsonl",
    "mimeType": "application/jsonl",
    "buffer": _ROW,
}


async def _changes(api: Api, project: str) -> list[str]:
    """Return what a project's audit log says, without sessions."""
    async with await api.client(project, Role.PROJECT_ADMIN) as admin:
        log = (await admin.get("/v1/organization/audit_logs")).json()["data"]
    return [entry["type"] for entry in log if entry["type"] != "session.created"]


async def test_what_waits_is_never_sent_for_another_project(api: Api, browser: Browser):
    other = await api.key("bank")
    async with Console.open(browser, _origin(api)) as console:
        page = console.page
        await console.sign_in(await api.key("clinic"))
        await console.goto("/data")
        await console.context.clear_cookies()
        await page.locator("input[type=file]").first.set_input_files([_FILE])
        dialog = page.get_by_role("dialog", name="Sign in")
        await dialog.get_by_label("API key").fill(other)
        await dialog.get_by_role("button", name="Sign in").click()
        await expect(page.locator(".project")).to_have_text("bank")
        await console.goto("/data")
        await expect(page.get_by_text("patients.jsonl")).to_have_count(0)
    assert await _changes(api, "bank") == []


async def test_a_tab_follows_the_sign_in_of_another_tab(api: Api, browser: Browser):
    other = await api.key("bank")
    async with Console.open(browser, _origin(api)) as console:
        page = console.page
        await console.sign_in(await api.key("clinic"))
        await console.goto("/data/merge")
        await console.sign_in(other)
        second = await console.context.new_page()
        await second.goto(f"{_origin(api)}/console")
        await page.wait_for_url(START)  # so that nothing typed for one is sent to the other
        await expect(page.locator(".project")).to_have_text("bank")
        await second.get_by_label("Account and settings").click()
        await second.get_by_role("button", name="Sign out").click()
        await page.wait_for_url("**/console/sign-in")


async def test_a_refused_change_of_another_session_starts_the_page_anew(api: Api, browser: Browser):
    other = await api.key("bank")
    async with Console.open(browser, _origin(api)) as console:
        page = console.page
        await console.sign_in(await api.key("clinic"))
        await console.goto("/data")
        await console.sign_in(other)  # without a page that tells this one
        await page.locator("input[type=file]").first.set_input_files([_FILE])
        await page.wait_for_url(START)
        await console.goto("/data")
        await expect(page.get_by_text("patients.jsonl")).to_have_count(0)
    assert await _changes(api, "bank") == ["login.failed"]


async def test_nothing_of_a_person_is_left_after_the_sign_out(api: Api, browser: Browser):
    other = await api.key("bank")
    async with Console.open(browser, _origin(api)) as console:
        page = console.page
        await console.sign_in(await api.key("clinic"))
        await console.goto("/data")
        await page.route("**/parts", lambda route: route.abort())
        await page.locator("input[type=file]").first.set_input_files([_FILE])
        await expect(page.get_by_text("patients.jsonl")).to_be_visible()
        await page.get_by_label("Account and settings").click()
        await page.get_by_role("button", name="Sign out").click()
        await page.wait_for_url("**/console/sign-in")
        await page.get_by_label("API key").fill(other)
        await page.keyboard.press("Enter")
        await page.get_by_role("link", name="Data", exact=True).click()
        await expect(page.get_by_role("button", name="Upload files").first).to_be_visible()
        await expect(page.get_by_text("patients.jsonl")).to_have_count(0)


async def test_drafts_are_kept_for_30_days(api: Api, browser: Browser):
    async with Console.open(browser, _origin(api)) as console:
        page = console.page
        await console.sign_in(await api.key(role=Role.MEMBER))
        await console.goto("/playground")
        await page.evaluate(
            """async () => {
              const open = indexedDB.open("finetuned");
              const db = await new Promise((done) => (open.onsuccess = () => done(open.result)));
              const drafts = db.transaction("drafts", "readwrite").objectStore("drafts");
              const days = (n) => Date.now() - n * 24 * 60 * 60 * 1000;
              drafts.put({ draft: "a", written: days(31) }, "key old");
              drafts.put({ draft: "b", written: days(29) }, "key new");
              await new Promise((done) => (drafts.transaction.oncomplete = done));
              db.close();
            }"""
        )
        await console.goto("/playground")
        await page.wait_for_function(
            """async () => {
              const open = indexedDB.open("finetuned");
              const db = await new Promise((done) => (open.onsuccess = () => done(open.result)));
              const asked = db.transaction("drafts").objectStore("drafts").getAllKeys();
              await new Promise((done) => (asked.onsuccess = done));
              db.close();
              return !asked.result.includes("key old") && asked.result.includes("key new");
            }"""
        )
