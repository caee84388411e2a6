"""Fixtures: a browser, and what a person of the console finds in an installation."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser

from tests.console.browser import SOURCE, chromium
from tests.node import installed


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A running Chromium."""
    installed(SOURCE, in_place=True)  # contains axe
    async with chromium() as running:
        yield running
