"""A person creates a webhook, rotates its secret, and deletes it."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, expect

from service.config import Settings
from service.projects.records import Role
from tests.conftest import Api
from tests.console.browser import Console, needs_chromium

pytestmark = [needs_chromium, pytest.mark.slow, pytest.mark.timeout(120)]


async def test_a_webhook_by_clicks(api: Api, browser: Browser, settings: Settings):
    settings.webhook_allowed_hosts = ("hooks.example",)
    origin = api.base_url.removesuffix("/v1")
    async with Console.open(browser, origin) as console:
        page = console.page
        await console.sign_in(await api.key(role=Role.PROJECT_ADMIN))
        await console.goto("/admin/webhooks")
        await page.get_by_role("button", name="New webhook").click()
        form = page.get_by_role("dialog", name="New webhook")
        await form.get_by_label("Name").fill("ledger")
        await form.get_by_label("Address").fill("https://hooks.example/finetuned")
        await form.get_by_role("button", name="All", exact=True).click()
        await form.get_by_role("button", name="Create webhook").click()
        shown = page.get_by_role("dialog", name="Signing secret")
        first = await shown.locator("code").inner_text()
        assert first.startswith("whsec_")
        await console.inspect()
        await shown.get_by_role("button", name="I have stored it").click()

        await page.get_by_role("link", name="ledger").click()
        await page.get_by_role("button", name="Rotate secret").click()
        rotate = page.get_by_role("dialog", name="Rotate secret")
        await rotate.get_by_role("checkbox").uncheck()
        await expect(rotate.get_by_text("Receivers that check signatures refuse")).to_be_visible()
        await rotate.get_by_role("button", name="Rotate secret").click()
        await expect(shown.locator("code")).not_to_have_text(first)
        second = await shown.locator("code").inner_text()
        await shown.get_by_role("button", name="I have stored it").click()
        await expect(page.locator("code", has_text=second.rstrip("=")[-4:])).to_be_visible()
        await console.inspect()

        await page.get_by_role("button", name="Delete").click()
        await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        await expect(page.get_by_text("No webhooks.")).to_be_visible()
        assert await _endpoints(api) == []
        assert console.faults == []


async def _endpoints(api: Api) -> list[object]:
    async with await api.client(role=Role.PROJECT_ADMIN) as http:
        found: list[object] = (await http.get("/v1/webhook_endpoints")).json()["data"]
    return found
