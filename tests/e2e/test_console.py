"""A person does the whole loop in the console on the real stack, by clicks alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.console.browser import SOURCE, Console, chromium, needs_chromium
from tests.console.loop import Loop
from tests.e2e.conftest import Stack
from tests.node import installed

pytestmark = [needs_chromium, pytest.mark.e2e, pytest.mark.timeout(900)]


async def test_the_whole_loop_by_clicks(stack: Stack, tmp_path: Path):
    """From a file with problems to an answer, an alias, an export and a deleted model."""
    installed(SOURCE, in_place=True)  # contains axe
    async with chromium() as browser, Console.open(browser, stack.url) as console:
        await Loop.by_clicks(console, "en", "console-loop").run(stack.key, tmp_path)
        assert console.faults == []
