"""The sign-in through an identity provider, as a person sees it, with the rules of a browser."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, expect

from service.config import OidcGrant, Settings
from service.projects.oidc import Tokens
from service.projects.sign_in import SignIn
from tests.conftest import Api
from tests.console.browser import Console, needs_chromium
from tests.oidc_provider import oidc_provider, settings_for

pytestmark = [needs_chromium, pytest.mark.slow, pytest.mark.timeout(120)]
GRANTS = (OidcGrant(claim="groups", value="ml", project="acme", role="trainer"),)


async def test_a_person_signs_in_through_a_provider_on_another_site(
    settings: Settings, browser: Browser, redis: object
):
    """The provider is at 127.0.0.1, and the API at localhost: another site for the browser."""
    async with oidc_provider("unknown yet", mali={"groups": ["ml"]}) as provider:
        settings = settings.model_copy(update=settings_for(provider, GRANTS))
        api = await Api.start(settings)
        async with api.serving:
            origin = api.base_url.replace("127.0.0.1", "localhost")
            provider.redirect_uri = f"{origin}/v1/session/callback"
            settings = settings.model_copy(update=settings_for(provider, GRANTS))
            projects = api.app.state.projects
            await projects.create("acme")
            tokens = Tokens.from_settings(settings, projects)
            api.app.state.sign_in = SignIn.from_settings(settings, tokens)
            await _sign_in(browser, origin, provider.issuer)


async def _sign_in(browser: Browser, origin: str, issuer: str) -> None:
    async with Console.open(browser, origin) as console:
        page = console.page
        await page.goto(f"{origin}/v1/session/authorize?next=/console/data")
        assert page.url.startswith(f"{issuer}/authorize?")
        await page.get_by_role("textbox").fill("mali")
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_url("**/console/data")
        account = page.get_by_label("Account and settings")
        await account.click()
        await expect(page.get_by_text("mali", exact=True)).to_be_visible()
        await account.click()
        (cookie,) = await console.context.cookies(origin)
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        kept = await page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
        assert "eyJ" not in kept
        assert "code=" not in page.url
        await account.click()
        await page.get_by_role("button", name="Sign out").click()
        await page.wait_for_url("**/console/sign-in")
        assert await console.context.cookies(origin) == []

        # A person whom the provider refuses comes back to the sign-in page.
        await page.goto(f"{origin}/v1/session/authorize?next=/console/data")
        await page.get_by_role("textbox").fill("nobody")
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_url("**/console/sign-in?error=denied*")
        await expect(page.get_by_label("API key")).to_be_visible()
        assert console.faults == []
