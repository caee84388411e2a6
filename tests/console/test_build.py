"""The built console: equal to a fresh build, small, and without inline scripts and styles."""

from __future__ import annotations

import gzip
import re
import shutil
from pathlib import Path

import pytest

from service import __version__
from tests.console.browser import BUILT, SOURCE, version_of_package
from tests.node import built, installed, npm

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
MOST_FIRST_LOAD_BYTES = 150_000
CLIENT = SOURCE.parent / "typescript"


@pytest.fixture(scope="module")
def source() -> Path:
    """The console's source with its dependencies, and those of the client that it uses."""
    built(CLIENT)
    return installed(SOURCE, in_place=True)


def test_types_messages_and_format_are_correct(source: Path):
    npm("run", "check", cwd=source)


def test_the_committed_files_are_those_of_a_fresh_build(source: Path, tmp_path: Path):
    committed = {
        file.relative_to(BUILT): file.read_bytes() for file in BUILT.rglob("*") if file.is_file()
    }
    kept = tmp_path / "static"
    shutil.copytree(BUILT, kept)
    try:
        npm("run", "build", cwd=source)
        fresh = {
            file.relative_to(BUILT): file.read_bytes()
            for file in BUILT.rglob("*")
            if file.is_file()
        }
    finally:
        shutil.rmtree(BUILT)
        shutil.copytree(kept, BUILT)
    assert sorted(committed) == sorted(fresh), "run `make console` and commit the result"
    assert [path for path, content in fresh.items() if committed[path] != content] == []


def test_the_first_load_is_small():
    """The scripts that the start page needs, with the largest catalog."""
    page = (BUILT / "index.html").read_text("utf-8")
    preloaded = re.findall(r'href="/console/(_app/[^"]+\.js)"', page)
    catalogs = [
        file
        for file in (BUILT / "_app" / "immutable" / "chunks").glob("*.js")
        if '"common.close":' in file.read_text("utf-8")
    ]
    assert preloaded
    assert catalogs
    scripts = sum(_compressed(BUILT / path) for path in preloaded)
    assert scripts + max(map(_compressed, catalogs)) <= MOST_FIRST_LOAD_BYTES


def test_the_page_has_nothing_inline():
    page = (BUILT / "index.html").read_text("utf-8")
    assert re.findall(r"<script(?![^>]*\ssrc=)", page) == []
    assert "<style" not in page
    assert re.findall(r'\s(?:style|on\w+)="', page) == []
    assert re.findall(r'(?:src|href)="(?!/console/)', page) == []


def test_no_source_writes_html_or_inline_styles():
    for file in sorted((SOURCE / "src").rglob("*.svelte")):
        text = re.sub(r"<!--.*?-->", "", file.read_text("utf-8"), flags=re.DOTALL)
        assert "{@html" not in text, file
        assert not re.search(r'\sstyle="', text), file
        assert "innerHTML" not in text, file


def test_the_version_is_that_of_the_service():
    assert version_of_package() == __version__


def _compressed(file: Path) -> int:
    return len(gzip.compress(file.read_bytes(), mtime=0))
