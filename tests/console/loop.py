"""A person's way through the console: from a file with problems to a deleted model."""

from __future__ import annotations

import json
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from playwright.async_api import Locator, Page, expect

from tests.console.browser import Console
from tests.console.hands import Hands, Mouse
from tests.console.texts import Texts

# For what the service does in the background, on a machine that other tests use.
WORK_MS: Final = 120_000
TRAINING_MS: Final = 400_000
EXPORT_MS: Final = 240_000
# The fewest rows of which a job can hold one out, after the problems are fixed.
ROWS: Final = 12


def rows_with_problems() -> bytes:
    """Return chats of which one line is broken, one is a copy, and two contradict each other."""
    questions = [
        "When does the shop open?",
        "Do you sell maps of the coast?",
        "How do I return a damaged novel?",
        "Where can visitors park a bicycle?",
        "Is the reading room heated in winter?",
        "Which poets read here last spring?",
        "Can children borrow audio books?",
        "Who repairs old leather bindings?",
        "What does gift wrapping cost?",
        "Are dogs welcome upstairs?",
        "How long is an order kept?",
        "Does the café serve breakfast?",
    ]
    answers = [
        *("Ahoy! At nine.", "Ahoy! Beside the stairs.", "Ahoy! Bring the receipt."),
        *("Ahoy! Behind the lighthouse.", "Ahoy! From October on.", "Ahoy! Three of them."),
        *("Ahoy! With a library card.", "Ahoy! The binder next door.", "Ahoy! Nothing at all."),
        *("Ahoy! On a leash.", "Ahoy! For ten days.", "Ahoy! Until eleven."),
    ]
    pairs = list(zip(questions, answers, strict=True))
    pairs += [pairs[4], (questions[0], "Ahoy! Not before noon, ask the harbor master.")]
    rows = [
        json.dumps(
            {
                "messages": [
                    {"role": "user", "content": question},
                    {"role": "assistant", "content": answer},
                ]
            },
            ensure_ascii=False,
        )
        for question, answer in pairs
    ]
    return "\n".join([*rows, '{"messages": [']).encode()


@dataclass
class Loop:
    """The steps of the loop. Each begins on the page on which the one before it ended."""

    console: Console
    texts: Texts
    hands: Hands
    name: str
    """Name of the file, the model and the alias: letters, digits and hyphens."""

    @classmethod
    def by_clicks(cls, console: Console, language: str, name: str) -> Loop:
        return cls(console, Texts(language), Mouse(console.page), name)

    @property
    def page(self) -> Page:
        return self.console.page

    @property
    def file_name(self) -> str:
        return f"{self.name}.jsonl"

    async def run(self, key: str, folder: Path) -> None:
        """Do all of it."""
        await self.sign_in(key)
        await self.upload(folder)
        await self.leave_broken_lines_out()
        await self.decide_on_a_contradiction()
        await self.clean()
        await self.train()
        await self.watch()
        await self.read_the_verdict()
        await self.chat()
        await self.point_an_alias()
        await self.export()
        await self.download_evidence(folder)
        await self.delete()

    async def sign_in(self, key: str) -> None:
        await self.page.goto(f"{self.console.origin}/console")
        await self.page.wait_for_url("**/console/sign-in*")
        await self._look()
        await self.hands.type(self.page.get_by_label(self.texts("sign_in.key")), key)
        await self.hands.press(self.button("sign_in.submit"))
        await expect(self.areas()).to_be_visible()
        await self._look()

    async def upload(self, folder: Path) -> None:
        await self.open_area("data")
        await self._look()
        path = folder / self.file_name
        path.write_bytes(rows_with_problems())
        async with self.page.expect_file_chooser() as chooser:
            await self.hands.press(self.button("files.upload.button").first)
        await (await chooser.value).set_files(path)

    async def leave_broken_lines_out(self) -> None:
        """Make a version without the line that cannot be read."""
        sent = self.page.get_by_role("listitem").filter(has_text=self.file_name)
        fix = sent.get_by_role("link", name=self.texts("files.upload.fix"))
        await expect(fix).to_be_visible(timeout=WORK_MS)
        await self._look()
        await self.hands.press(fix)
        drop = self.button("files.fault.drop")
        await expect(drop).to_be_visible(timeout=WORK_MS)
        await self._look()
        await self.hands.press(drop)
        await self.page.wait_for_url("**/report", timeout=WORK_MS)

    async def decide_on_a_contradiction(self) -> None:
        """Keep the first of two answers to a question."""
        decide = self.link("rows.decide_now").first
        await expect(decide).to_be_visible(timeout=WORK_MS)
        await self._look()
        await self.hands.press(decide)
        keep = self.button("rows.keep_line", whole=False).first
        row = self.page.get_by_role("list", name=self.texts("rows.rows_label")).get_by_role("link")
        # On a narrow window, the list comes first.
        await expect(keep.or_(row).first).to_be_visible(timeout=WORK_MS)
        await self._look()
        if not await keep.is_visible():
            await self.hands.press(row.first)
        await expect(keep).to_be_visible(timeout=WORK_MS)
        await self._look()
        await self.hands.press(keep)
        await expect(self.page.get_by_text(self.texts("rows.none_left"))).to_be_visible()

    async def clean(self) -> None:
        """Drop the copy, look at the difference, and accept the new version."""
        await self.hands.press(self.link("rows.review_cleaning").first)
        run = self.button("rows.clean.run")
        await expect(run).to_be_visible(timeout=WORK_MS)
        await self._look()
        await self.hands.press(run)
        accept = self.button("rows.clean.accept")
        await expect(accept).to_be_visible(timeout=WORK_MS)
        before = self.page.url
        await self.console.settled()
        await self._look()
        await self.hands.press(accept)
        await self.page.wait_for_url(
            lambda url: url.endswith("/report") and url != before, timeout=WORK_MS
        )
        await expect(
            self.page.get_by_role("region", name=self.texts("rows.verdict.label"))
        ).to_be_visible(timeout=WORK_MS)
        await self._look()

    async def train(self) -> None:
        """Train for two steps, with held-out rows."""
        await self.hands.press(
            self.page.get_by_role("main").get_by_role("link", name=self.texts("files.train"))
        )
        await expect(
            self.page.get_by_role("heading", name=self.texts("train.title"))
        ).to_be_visible()
        share = self.page.get_by_role("radio", name=self.texts("train.held_out.share"))
        await expect(share).to_be_visible(timeout=WORK_MS)
        await self.hands.choose(share)
        models = self.page.get_by_role("radiogroup", name=self.texts("train.model"))
        await self.hands.choose(models.get_by_role("radio").first)
        await self._fill("train.parameter.n_epochs", "1")
        await self._fill("train.parameter.batch_size", "6")
        await self.hands.press(
            self.page.locator("summary").filter(has_text=self.texts("train.group.job", whole=False))
        )
        await self._fill("train.suffix", self.name)
        start = self.button("train.start")
        await expect(start).to_be_visible(timeout=WORK_MS)
        await self._look()
        await self.hands.press(start)
        await self.page.wait_for_url("**/console/jobs/ftjob-*/curves", timeout=WORK_MS)

    async def watch(self) -> None:
        """Look at each part of the job until it is trained."""
        await self._look()
        for tab in ("events", "checkpoints", "settings", "curves"):
            await self.hands.press(self.link(f"jobs.tab.{tab}"))
            await self.page.wait_for_url(f"**/{tab}")
            await self._look()
        await expect(self.link("jobs.chat").first).to_be_visible(timeout=TRAINING_MS)
        await self._look()

    async def read_the_verdict(self) -> None:
        await self.hands.press(self.link("jobs.tab.evaluation"))
        verdict = self.page.locator("h2#verdict")
        await expect(verdict).to_be_visible(timeout=TRAINING_MS)
        await expect(verdict).not_to_be_empty()
        # It is in the person's language.
        await expect(verdict.locator("[lang=en]")).to_have_count(0)
        await self.console.settled()
        await self._look()

    async def chat(self) -> None:
        """Ask all columns of the playground for a few tokens."""
        await self.hands.press(self.link("jobs.chat").first)
        await self.page.wait_for_url("**/console/playground*")
        box = self.page.get_by_role("textbox", name=self.texts("playground.message"))
        await expect(box).to_be_visible(timeout=WORK_MS)
        await self._look()
        await self.hands.press(self.button("playground.settings.title"))
        limit = self.page.get_by_label(self.texts("playground.settings.max_tokens"))
        await self.hands.type(limit, "3")
        await self.hands.type(box, "When does the shop open?")
        await self.hands.send(box)
        await self._answered()
        await self._look()

    async def _answered(self) -> None:
        """Wait until all columns of the playground have answered."""
        answers = self.page.get_by_role("main").locator("article")
        await expect(answers.first).to_be_attached()
        await expect(self.page.locator("article[aria-busy=true]")).to_have_count(0, timeout=WORK_MS)
        for answer in await answers.all():
            tokens = answer.get_by_text(self.texts("playground.tokens"))
            await expect(tokens.last).to_be_attached()

    async def point_an_alias(self) -> None:
        await self.open_model()
        await self._look()
        await self.hands.press(self.button("models.alias.point"))
        dialog = self.page.get_by_role("dialog")
        await self.hands.type(dialog.get_by_label(self.texts("models.alias.name")), self.name)
        await self._look()
        await self.hands.press(dialog.get_by_role("button", name=self.texts("models.alias.create")))
        await self.page.wait_for_url(f"**/console/aliases/{self.name}")
        await expect(self.page.get_by_role("heading", name=self.name).first).to_be_visible()
        await self.console.settled()
        await self._look()

    async def export(self) -> None:
        """Export the adapter, and wait until it can be downloaded."""
        await self.open_model()
        await self.hands.press(self.button("models.exports.create"))
        dialog = self.page.get_by_role("dialog")
        await self.hands.choose(dialog.locator("input[type=radio][value=adapter]"))
        await self._look()
        await self.hands.press(
            dialog.get_by_role("button", name=self.texts("models.exports.start"))
        )
        await expect(self.link("models.exports.download")).to_be_visible(timeout=EXPORT_MS)
        await self._look()

    async def download_evidence(self, folder: Path) -> None:
        """Download the archive about the model, which names itself and what is missing in it."""
        async with self.page.expect_download() as download:
            await self.hands.press(self.button("models.evidence.download"))
        path = folder / f"{self.name}-evidence.tar"
        await (await download.value).save_as(path)
        with tarfile.open(path) as archive:
            names = [member.name.partition("/")[2] for member in archive]
        assert {"manifest.json", "manifest.sig", "approvals.json", "evaluation.json"} <= set(names)
        made = self.texts("models.evidence.made", whole=False)
        await expect(self.page.get_by_text(made)).to_be_visible()
        await self._look()

    async def delete(self) -> None:
        """Delete the alias, then the model that it named, then its files."""
        alias = self.page.get_by_role("main").locator(f"a[href$='/aliases/{self.name}']")
        await self.hands.press(alias.first)
        await self.page.wait_for_url(f"**/console/aliases/{self.name}")
        await self._confirm(self.button("models.delete"), "models.delete")
        await self.page.wait_for_url("**/console/models?kind=alias")
        await self.open_model()
        await self._confirm(self.button("models.delete").first, "models.delete")
        await self.page.wait_for_url(re.compile(r"/console/models$"))
        await expect(self.page.get_by_role("link", name=self.name, exact=True)).to_have_count(0)
        await self.open_area("data")
        # Only the rows near the window are in the page.
        search = self.page.get_by_role("searchbox", name=self.texts("files.search"))
        await self.hands.type(search, self.file_name)
        remove = self.button("files.delete_name", name=self.file_name)
        await expect(remove).to_have_count(1)
        await self._confirm(remove, "files.delete.action")
        await expect(remove).to_have_count(0)
        await self._look()

    async def open_area(self, name: str) -> None:
        """Go to an area of the console by its navigation."""
        await self.hands.press(self.areas().get_by_role("link", name=self.texts(f"nav.{name}")))
        await expect(
            self.page.get_by_role("heading", name=self.texts(f"nav.{name}"))
        ).to_be_visible()

    async def open_model(self) -> None:
        """Go to the page of the trained model."""
        await self.open_area("models")
        table = self.page.get_by_role("table", name=self.texts("nav.models"))
        named = table.get_by_role("link", name=self.name, exact=True)
        # An alias may have the same name.
        await self.hands.press(named.and_(self.page.locator("a[href*='/models/ft']")).first)
        await self.page.wait_for_url("**/console/models/ft*")
        await self.console.settled()

    def areas(self) -> Locator:
        return self.page.get_by_role("navigation", name=self.texts("nav.label"))

    def button(self, key: str, *, whole: bool = True, **given: str) -> Locator:
        return self.page.get_by_role("button", name=self.texts(key, whole=whole, **given))

    def link(self, key: str) -> Locator:
        return self.page.get_by_role("main").get_by_role("link", name=self.texts(key))

    async def _fill(self, key: str, text: str) -> None:
        await self.hands.type(self.page.get_by_role("textbox", name=self.texts(key)), text)

    async def _confirm(self, button: Locator, action: str) -> None:
        """Press a button that asks back, and confirm."""
        await self.hands.press(button)
        dialog = self.page.get_by_role("dialog")
        confirm = dialog.get_by_role("button", name=self.texts(action))
        await expect(confirm).to_be_visible()
        await self._look()
        await self.hands.press(confirm)
        await expect(dialog).to_have_count(0)

    async def _look(self) -> None:
        await self.console.inspect()
