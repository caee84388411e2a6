"""A real browser with the console: opens pages and collects what must not happen on them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from tests.cached import ROOT

SOURCE: Final = ROOT / "clients" / "console"
BUILT: Final = ROOT / "service" / "console" / "static"
CHROMIUM: Final = shutil.which("chromium") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
# For what a page shows at once, on a machine that other tests use.
WAIT_MS: Final = 60_000
WIDTHS: Final = {"phone": 390, "desktop": 1280}
_AXE: Final = SOURCE / "node_modules" / "axe-core" / "axe.min.js"
# Reports violations of the content security policy as messages, which `Console` collects.
_REPORT_VIOLATIONS: Final = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy violation: ${event.violatedDirective} ${event.blockedURI}`));
"""


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Start Chromium."""
    expect.set_options(timeout=WAIT_MS)
    async with async_playwright() as playwright:
        sandbox = [] if os.geteuid() else ["--no-sandbox"]
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=sandbox)
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Console:
    """A person's tab. `faults` are script errors, violations of the policy, and what was found on
    pages.
    """

    origin: str
    context: BrowserContext
    page: Page
    faults: list[str] = field(default_factory=list)

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, browser: Browser, origin: str, *, width: int = 1280, language: str = "en"
    ) -> AsyncIterator[Console]:
        """Open a tab in a profile of its own."""
        context = await browser.new_context(
            viewport={"width": width, "height": 900}, locale=language, timezone_id="Asia/Tokyo"
        )
        context.set_default_timeout(WAIT_MS)
        await context.add_init_script(_REPORT_VIOLATIONS)
        page = await context.new_page()
        console = cls(origin, context, page)
        page.on("pageerror", lambda error: console.faults.append(f"{page.url}: {error.stack}"))
        page.on(
            "console",
            lambda message: (
                console.faults.append(f"{page.url}: {message.text}")
                if "policy" in message.text.lower()
                else None
            ),
        )
        try:
            yield console
        finally:
            await context.close()

    async def sign_in(self, key: str) -> None:
        """Begin a session without the page, as if the person had signed in before."""
        answer = await self.context.request.post(
            f"{self.origin}/v1/session", headers={"authorization": f"Bearer {key}"}
        )
        assert answer.ok, await answer.text()

    async def goto(self, path: str) -> None:
        """Open a page of the console, and wait until it has loaded what it shows."""
        await self.page.goto(f"{self.origin}/console{path}")
        await self.settled()

    async def settled(self) -> None:
        """Wait until the page has a heading and no placeholder."""
        await self.page.locator("h1, h2").first.wait_for()
        for placeholder in await self.page.locator(".skeleton").all():
            await placeholder.wait_for(state="detached")

    async def inspect(self) -> None:
        """Add what is wrong with the page as it is now to the faults."""
        await self.settled()
        faults = await self.accessibility_faults()
        if (wider := await self.overflow_px()) > 0:
            faults.append(f"{wider} px wider than the window")
        self.faults += [f"{self.page.url}: {fault}" for fault in faults]

    async def accessibility_faults(self, rules: Sequence[str] = ()) -> list[str]:
        """Return what axe finds on the page, by all of its rules or by some."""
        if not await self.page.evaluate("'axe' in window"):
            # Not as a script of the page, which the policy would block.
            await self.page.evaluate(_AXE.read_text("utf-8"))
        options: dict[str, Any] = {"resultTypes": ["violations"]}
        if rules:
            options["runOnly"] = {"type": "rule", "values": list(rules)}
        found = await self.page.evaluate("options => axe.run(options)", options)
        return [
            f"{violation['id']}: {node['target']} {node['html'][:160]}"
            for violation in found["violations"]
            for node in violation["nodes"]
        ]

    async def overflow_px(self) -> int:
        """Return how much wider than the window the page is."""
        width: int = await self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return width

    async def script_bytes(self) -> int:
        """Return the size of all scripts of the page as they were sent, which is compressed."""
        size: int = await self.page.evaluate(
            """performance.getEntriesByType("resource")
                 .filter(({name}) => name.endsWith(".js"))
                 .reduce((sum, {encodedBodySize}) => sum + encodedBodySize, 0)"""
        )
        return size

    async def theme(self, name: str) -> None:
        """Switch to `light` or `dark`."""
        await self.page.evaluate("name => { document.documentElement.dataset.theme = name }", name)


def page_addresses(parameter: str | None = None) -> list[str]:
    """Return the addresses of all pages without parameters, from the folders of the source.

    With `parameter`, those of the pages that have some, each with this value.
    """
    routes = SOURCE / "src" / "routes"
    pages = (page.parent.relative_to(routes) for page in routes.rglob("+page.svelte"))
    addresses = ("" if page == Path() else f"/{page.as_posix()}" for page in pages)
    chosen = (address for address in addresses if ("[" in address) == (parameter is not None))
    return sorted(re.sub(r"\[\w+\]", parameter or "", address) for address in chosen)


def sizes(folder: Path) -> dict[str, int]:
    """Return the size of each file of a folder by its relative path."""
    return {
        file.relative_to(folder).as_posix(): file.stat().st_size
        for file in folder.rglob("*")
        if file.is_file()
    }


def version_of_package() -> str:
    """Return the version in the console's package.json."""
    version: str = json.loads((SOURCE / "package.json").read_text("utf-8"))["version"]
    return version
