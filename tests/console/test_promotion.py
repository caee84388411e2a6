"""How a person decides about a model: approvals, evidence, suites, checks, and compared runs."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, Locator, expect

from service.projects.records import Role
from tests.conftest import BASE_MODEL, Api
from tests.console.browser import WIDTHS, Console, needs_chromium
from tests.console.hands import Hands, Keyboard, Mouse
from tests.console.texts import Texts
from tests.evals.conftest import Engine, ended, engine, eval_id, made, sampled, settings
from tests.evals.test_alias_checks import ITEMS, answer_by_model
from tests.evidence.conftest import Site, site, tiny
from tests.models.aliases.conftest import register

__all__ = ["engine", "eval_id", "settings", "site", "tiny"]  # fixtures
pytestmark = [needs_chromium, pytest.mark.slow, pytest.mark.timeout(300)]
SHOWN = [("en", "desktop"), ("ja", "phone"), ("th", "phone")]


class Person:
    """Someone in the console, in a language, with a mouse or a keyboard."""

    def __init__(self, console: Console, language: str, hands: Hands | None = None) -> None:
        self.console = console
        self.page = console.page
        self.texts = Texts(language)
        self.hands = hands or Mouse(console.page)

    def button(self, key: str, within: Locator | None = None, **given: str) -> Locator:
        return (within or self.page).get_by_role(
            "button", name=self.texts(key, whole=True, **given)
        )

    def panel(self, key: str) -> Locator:
        return self.page.get_by_role("region", name=self.texts(key))

    async def press(self, key: str, within: Locator | None = None, **given: str) -> None:
        await self.hands.press(self.button(key, within, **given))

    async def submit(self, key: str) -> None:
        """Look at the open dialog, press its button, and wait until it is closed."""
        dialog = self.page.locator("dialog[open]")
        await expect(self.button(key, dialog)).to_be_enabled()
        await self.console.inspect()
        await self.press(key, dialog)
        await expect(dialog).to_have_count(0)

    async def type(self, key: str, text: str) -> None:
        await self.hands.type(self.page.get_by_label(self.texts(key)), text)

    async def sees(self, key: str, within: Locator | None = None) -> None:
        found = (within or self.page).get_by_text(self.texts(key, whole=False))
        await expect(found.first).to_be_visible()

    async def look(self) -> None:
        """Look at the page in both themes."""
        await self.console.inspect()
        await self.console.theme("dark")
        self.console.faults += await self.console.accessibility_faults(["color-contrast"])
        await self.console.theme("light")


@pytest.mark.parametrize(("language", "width"), SHOWN)
async def test_a_second_person_approves_a_model_and_downloads_its_evidence(
    site: Site, browser: Browser, tmp_path: Path, language: str, width: str
):
    api, model = site.api, site.model
    owner = await api.app.state.projects.by_name("acme")
    trainer = await api.key()
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {trainer}"}) as own:
        caller = (await own.get(f"{api.base_url}/v1/whoami")).json()
    trained = {"created_by": caller["api_key"]["id"]}
    await api.app.state.registry.models.update(
        owner.id, model, lambda record: record.model_copy(update=trained)
    )

    def opened() -> Any:
        return Console.open(browser, api.base_url, width=WIDTHS[width], language=language)

    async with opened() as console:
        admin = Person(console, language)
        await console.sign_in(await api.key(role=Role.ADMIN))
        await console.goto(f"/admin/projects/{owner.id}")
        await admin.press("admin.approvals.require")
        await admin.sees("admin.approvals.on")
        await admin.look()
        assert console.faults == []

    async with opened() as console:
        person = Person(console, language)
        await console.sign_in(trainer)
        await console.goto(f"/models/{model}")
        approvals = person.panel("models.approvals.title")
        await person.sees("models.approvals.blocked", approvals)
        await person.sees("models.approvals.own", approvals)
        await expect(person.button("models.approvals.approve")).to_have_count(0)
        await expect(person.button("models.evidence.download")).to_have_count(0)
        await person.look()
        await person.press("models.exports.create")
        await person.press("models.exports.start")
        await person.sees("errors.approval_required")
        assert console.faults == []

    async with opened() as console:
        person = Person(console, language, Keyboard(console.page))
        await console.sign_in(await api.key(role=Role.PROJECT_ADMIN))
        await console.goto(f"/models/{model}")
        await person.press("models.approvals.approve")
        await person.type("models.approvals.note", "Read 20 answers.")
        await person.submit("models.approvals.approve")
        approvals = person.panel("models.approvals.title")
        await person.sees("models.approvals.given", approvals)
        await expect(approvals.get_by_text("Read 20 answers.")).to_be_visible()
        await person.hands.press(person.page.get_by_role("checkbox"))
        async with person.page.expect_download() as download:
            await person.press("models.evidence.download")
        await (await download.value).save_as(tmp_path / "evidence.tar")
        found = site.check(tmp_path / "evidence.tar")
        assert (found.problems, len(found.missing)) == ([], 0 if not found.missing else 1)
        shown = person.panel("models.evidence.title")
        for reason in found.missing:
            await expect(shown.get_by_text(reason.rpartition(": ")[2])).to_be_visible()
        await person.look()
        await person.press("models.approvals.revoke")
        await person.submit("models.approvals.revoke")
        await person.sees("models.approvals.missing", approvals)
        assert console.faults == []


@pytest.fixture
async def run(http: httpx.AsyncClient, eval_id: str, engine: Engine, work: Any) -> dict[str, Any]:
    """A completed run of the base model, to which the alias "voice" points."""
    engine.reply = answer_by_model
    run = await made(http, f"/v1/evals/{eval_id}/runs", sampled(ITEMS))
    async with work("cpu"):
        await ended(http, run)
    assert (await http.put("/v1/aliases/voice", json={"model": BASE_MODEL})).status_code == 200
    return run


@pytest.mark.parametrize(("language", "width"), SHOWN)
async def test_an_alias_moves_after_a_check(
    api: Api, http: httpx.AsyncClient, run: Any, work: Any, browser: Browser, language: str,
    width: str,
):  # fmt: skip
    good, bad, broken = [
        await register(api, name=f"ft:{BASE_MODEL}:acme:{suffix}:{secrets.token_hex(6)}")
        for suffix in ("good", "bad", "broken")
    ]
    async with (
        work("cpu"),
        Console.open(browser, api.base_url, width=WIDTHS[width], language=language) as console,
    ):
        hands = Keyboard(console.page) if language == "en" else Mouse(console.page)
        person = Person(console, language, hands)
        await console.sign_in(await api.key())
        await console.goto("/aliases/voice")
        await person.look()

        await person.press("models.suites.add")
        await person.type("models.suites.loss", "20")
        await person.type("models.suites.lowest", "60")
        await person.submit("models.suites.add")
        await person.sees("models.suites.score")
        # A rollback would return to other models.
        await expect(person.button("common.undo")).to_have_count(0)
        schedule = person.page.get_by_label(person.texts("models.schedule.title"))
        await schedule.select_option("weekly")
        await person.press("common.save", person.panel("models.suites.title"))
        await person.sees("models.schedule.next")
        alias = (await http.get("/v1/aliases/voice")).json()
        assert (alias["schedule"], alias["suites"]) == (
            "0 3 * * 1",
            [{"eval_id": run["eval_id"], "run_id": run["id"], "metric": "passed",
              "min_difference": -0.2, "min_score": 0.6}],
        )  # fmt: skip

        # A new model is refused until it was checked, and this one does not pass.
        await console.goto(f"/aliases/voice?model={bad}")
        targets = person.panel("models.alias.targets")
        await person.press("common.save", targets)
        await person.sees("models.alias.gate_failed", targets)
        await person.look()
        await person.hands.press(
            person.button("models.alias.check_first", targets, name=f"bad {bad[-12:-8]}")
        )
        await person.submit("models.checks.begin")
        checks = person.panel("models.checks.title")
        await person.sees("models.checks.outcome.not_passed", checks)
        await person.sees("models.checks.difference", checks)
        await person.look()
        force = person.button("models.alias.force", targets)
        await expect(force).to_be_disabled()
        await person.type("models.alias.reason", "The shop opens today.")
        await person.hands.press(force)
        await expect(person.page.get_by_text("The shop opens today.")).to_be_visible()
        await person.look()

        # One that passes takes over, without a further step.
        await person.press("models.checks.begin", checks)
        dialog = person.page.locator("dialog[open]")
        await person.hands.choose(dialog.get_by_role("radio").nth(1))
        await person.type("common.model", "x")
        await person.type("common.model", "")  # does not choose the other option again
        await person.type("common.model", good)
        await person.submit("models.checks.begin")
        await person.sees("models.checks.moved", checks)
        await expect(targets.get_by_text(f"good {good[-12:-8]}")).to_be_visible()

        # An answer that failed leaves it unknown.
        await person.press("models.checks.begin", checks)
        await person.hands.choose(dialog.get_by_role("radio").nth(1))
        await person.type("common.model", broken)
        await person.submit("models.checks.begin")
        await person.sees("models.checks.unknown_help", checks)
        await person.look()

        compare = checks.get_by_role("link", name=person.texts("models.checks.compare"))
        await person.hands.press(compare.last)  # of the oldest check
        await person.page.wait_for_url("**/compare?runs=*")
        await person.sees("evals.change.worse")
        await person.look()
        await person.hands.press(
            person.page.get_by_role("button", name=person.texts("evals.changed.equal"))
        )
        await person.page.wait_for_url("**&show=equal")
        await person.sees("evals.change.equal")
        await expect(person.page.get_by_text(person.texts("evals.change.worse"))).to_have_count(0)

        await console.goto("/aliases/voice")
        await person.hands.press(
            person.page.get_by_role("button", name=person.texts("models.suites.remove_name"))
        )
        await person.type("models.alias.reason", "Replaced by another eval.")
        await person.submit("common.remove")
        await person.sees("models.suites.none")
        assert console.faults == []
