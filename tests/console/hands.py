"""How a person operates a page: with a mouse, or with the keyboard alone."""

from __future__ import annotations

from typing import Final, Protocol

from playwright.async_api import Locator, Page

_MOST_TABS: Final = 400  # more than any page has
_HAS_FOCUS: Final = "element => element === document.activeElement"
_IN_GROUP_WITH_FOCUS: Final = """radio => {
  const focused = document.activeElement;
  return focused?.type === "radio" && focused.name === radio.name && focused.form === radio.form;
}"""


class Hands(Protocol):
    """What a person does with an element."""

    async def press(self, element: Locator) -> None:
        """Follow a link, press a button, open a group, or check a box."""

    async def choose(self, radio: Locator) -> None:
        """Choose an option of a group."""

    async def type(self, field: Locator, text: str) -> None:
        """Replace the text of a field."""

    async def send(self, field: Locator) -> None:
        """Send the form that a field of several lines is in."""


class Mouse:
    """Clicks. Text is typed with the keyboard."""

    def __init__(self, page: Page) -> None:
        self._page = page

    async def press(self, element: Locator) -> None:
        await element.click()

    async def choose(self, radio: Locator) -> None:
        await radio.check()

    async def type(self, field: Locator, text: str) -> None:
        await field.click()
        await field.fill(text)

    async def send(self, field: Locator) -> None:
        await field.locator("xpath=ancestor::form").locator("button[type=submit]").click()


class Keyboard:
    """Tab, arrows, Space, Enter and letters. Never touches the mouse."""

    def __init__(self, page: Page) -> None:
        self._page = page

    async def press(self, element: Locator) -> None:
        await self._reach(element)
        is_box = await element.evaluate("element => element.type === 'checkbox'")
        await self._page.keyboard.press("Space" if is_box else "Enter")

    async def choose(self, radio: Locator) -> None:
        await radio.wait_for()
        await self._tab_until(radio, _IN_GROUP_WITH_FOCUS)
        if not await radio.evaluate(_HAS_FOCUS):
            for _ in range(_MOST_TABS):
                await self._page.keyboard.press("ArrowDown")
                if await radio.evaluate(_HAS_FOCUS):
                    break
        if not await radio.is_checked():
            await self._page.keyboard.press("Space")

    async def type(self, field: Locator, text: str) -> None:
        await self._reach(field)
        await self._page.keyboard.press("ControlOrMeta+A")
        await self._page.keyboard.insert_text(text)

    async def send(self, field: Locator) -> None:
        await self._reach(field)
        await self._page.keyboard.press("Control+Enter")

    async def _reach(self, element: Locator) -> None:
        await element.wait_for()
        await self._tab_until(element, _HAS_FOCUS)

    async def _tab_until(self, element: Locator, condition: str) -> None:
        for _ in range(_MOST_TABS):
            if await element.evaluate(condition):
                return
            await self._page.keyboard.press("Tab")
        raise AssertionError(f"Tab does not reach {element}")
