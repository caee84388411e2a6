"""Tests that code blocks of the README and the site run, parse or are exempt with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.helm_tools import folder
from tests.docs.blocks import Block
from tests.docs.compare import assert_shown
from tests.docs.pages import ON_THE_STACK, all_pages, blocks_of
from tests.docs.session import BlockFailed, Session

pytestmark = pytest.mark.slow

PAGES = all_pages()
ALONE = [
    page
    for page in PAGES
    if page not in ON_THE_STACK and any(block.runs_as for block in blocks_of(page))
]


@pytest.mark.parametrize("page", PAGES)
def test_each_block_is_run_or_skipped_for_a_reason(page: str) -> None:
    unknown = [f"{b} ({b.language or 'no language'})" for b in blocks_of(page) if not b.fate()]
    assert unknown == [], "run, parse or compare them, or say why not: tests/docs/blocks.py"


@pytest.mark.parametrize("page", PAGES)
def test_data_is_well_formed(page: str) -> None:
    for block in blocks_of(page):
        if block.fate() == "parsed":
            try:
                block.parse()
            except Exception as error:
                raise AssertionError(f"{block} cannot be parsed") from error


@pytest.mark.parametrize("page", ALONE)
def test_blocks_that_need_no_server(page: str, tmp_path: Path) -> None:
    with Session(tmp_path, paths=(folder(4),)) as session:
        for block in blocks_of(page):
            session.take(block)


def test_a_session_keeps_definitions_and_reports_failures(tmp_path: Path) -> None:
    def block(language: str, code: str, *notes: str) -> Block:
        return Block("page.md", 1, language, code, notes)

    with Session(tmp_path, server="http://127.0.0.1:7") as session:
        session.take(block("sh", "name=Ada\n"))
        session.take(block("sh", "echo hello $name at http://127.0.0.1:8000/v1\n"))
        session.take(block("text", "hello Ada at http://127.0.0.1:7/…\n", "exact output"))
        session.take(block("python", "x = 20\n"))
        session.take(block("python", "print(f'{x + 1} rows')\n"))
        session.take(block("text", "99 rows\n", "output"))
        with pytest.raises(AssertionError, match="99 rows"):
            session.take(block("text", "99 rows\n", "exact output"))
        session.take(block("ts", "const n: number = 2\nconsole.log({n})\n"))
        session.take(block("sh", "false\n", "fails"))
        with pytest.raises(BlockFailed):
            session.take(block("sh", "false\necho not reached\n"))
        with pytest.raises(BlockFailed, match="NameError"):
            session.take(block("python", "unknown\n"))
        with pytest.raises(AssertionError, match="did not fail"):
            session.take(block("sh", "true\n", "fails"))


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ('{"a": 1}', '{"b": 1}'),
        ('{"a": 1}', '{"a": "1"}'),
        ('{"a": [{"b": null}]}', '{"a": []}'),
        ("first\nsecond", "second\nfirst"),
    ],
)
def test_missing_output_is_reported(shown: str, printed: str) -> None:
    with pytest.raises(AssertionError):
        assert_shown(shown, printed, exact=False, as_json=shown.startswith("{"))
