"""Every page of the console: accessible, within the policy, and as wide as the window."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser

from service.projects.records import Role
from tests.conftest import Api
from tests.console.browser import Console, needs_chromium, page_addresses

pytestmark = [needs_chromium, pytest.mark.slow, pytest.mark.timeout(300)]
NARROWEST = 320
MOST_SCRIPT_BYTES = 150_000


@pytest.fixture
def origin(api: Api) -> str:
    """Address of an empty installation."""
    return api.base_url.removesuffix("/v1")


@pytest.mark.parametrize("role", [Role.ADMIN, Role.INFERENCE])
async def test_empty_and_forbidden_pages(api: Api, origin: str, browser: Browser, role: Role):
    """An administrator finds nothing yet, and a key for requests may see little."""
    async with Console.open(browser, origin) as console:
        await console.sign_in(await api.key(role=role))
        faults = [fault for page in page_addresses() for fault in await _faults(console, page)]
        assert faults == []
        assert console.faults == []


@pytest.mark.parametrize(
    "area", ["", "/data", "/train", "/jobs", "/evals", "/playground", "/models", "/admin/health"]
)
async def test_the_first_load_of_an_area_is_small(
    api: Api, origin: str, browser: Browser, area: str
):
    async with Console.open(browser, origin) as console:
        await console.sign_in(await api.key(role=Role.ADMIN))
        await console.goto(area)
        await console.page.wait_for_load_state("networkidle")
        assert 50_000 < await console.script_bytes() <= MOST_SCRIPT_BYTES


async def test_pages_of_objects_that_do_not_exist(api: Api, origin: str, browser: Browser):
    """Each says so, and is as accessible as others."""
    async with Console.open(browser, origin) as console:
        await console.sign_in(await api.key(role=Role.ADMIN))
        addresses = page_addresses("missing-1")
        faults = [fault for page in addresses for fault in await _faults(console, page)]
        assert faults == []
        assert console.faults == []


async def _faults(console: Console, address: str) -> list[str]:
    await console.page.set_viewport_size({"width": 1280, "height": 900})
    await console.goto(address)
    found = await console.accessibility_faults()
    await console.theme("dark")
    found += await console.accessibility_faults(["color-contrast"])
    await console.page.set_viewport_size({"width": NARROWEST, "height": 700})
    found += await console.accessibility_faults(["target-size"])
    if (wider := await console.overflow_px()) > 0:
        found.append(f"{wider} px wider than a window of {NARROWEST} px")
    return [f"{address}: {fault}" for fault in found]
