"""Runs the code blocks of the pages that need a server against the real stack."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.docs.frameworks import PACKAGES, framework_python
from tests.docs.pages import ON_THE_STACK, blocks_of
from tests.docs.session import Session
from tests.e2e.conftest import Stack
from tests.e2e.jobs import models_deleted
from tests.node import RegistryAway, npm_ci

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

# Reason why only `make proof NAME=pages` runs a page.
_LONG = {
    "docs/tutorial.md": "2 minutes of training",
    "clients/python/README.md": "2 minutes of training",
    "docs/integrations.md": "installs LangChain and LlamaIndex",
}
_ALL = os.environ.get("FINETUNED_LONG_PAGES") == "1"


@pytest.fixture(scope="module")
def node_modules() -> Path:
    """Node packages: `openai` and the Vercel AI SDK."""
    try:
        return npm_ci(PACKAGES) / "node_modules"
    except RegistryAway:
        pytest.skip("the registry of npm is not reached")


@pytest.mark.parametrize("page", ON_THE_STACK)
def test_page(
    page: str,
    stack: Stack,
    sdk: openai.OpenAI,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    if page in _LONG and not _ALL:
        pytest.skip(f"{_LONG[page]}: 'make proof NAME=pages' runs it")
    options: dict[str, Any] = {}
    if page == "docs/integrations.md":
        options["python"] = framework_python()
        options["node_modules"] = request.getfixturevalue("node_modules")
    with (
        models_deleted(sdk),
        Session(tmp_path, server=stack.url, data_dir=stack.data_dir, **options) as session,
    ):
        for block in blocks_of(page):
            session.take(block)
