"""Adds files outside docs/ to the site as pages.

An MkDocs hook (`hooks:` in mkdocs.yml). Files in `docs/` link to the real locations, so that the
links also work in the repository; in the site, the links point to the pages.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent.parent
# File location → page.
PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "clients/cli/README.md": "command-line.md",
    "clients/migrate/README.md": "migrate-client.md",
    "clients/python/README.md": "python-client.md",
    "clients/typescript/README.md": "typescript-client.md",
    "examples/README.md": "example-data.md",
    "helm/finetuned/README.md": "chart.md",
}
_LINK = re.compile(r"(\]\()([^)#:\s]+)(#[^)\s]*)?(\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages to the site."""
    for source, page in PAGES.items():
        text = relink((ROOT / source).read_text("utf-8"), source, page)
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite links that leave `docs/` to point to the pages."""
    path = page.file.src_uri
    return markdown if path in PAGES.values() else relink(markdown, f"docs/{path}", path)


def relink(text: str, source: str, page: str) -> str:
    """Return a file's Markdown with its links adjusted for its page."""

    def new_link(match: re.Match[str]) -> str:
        before, link, anchor, after = match.groups()
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
        target = PAGES.get(target, target.removeprefix("docs/"))
        link = posixpath.relpath(target, posixpath.dirname(page) or ".")
        return f"{before}{link}{anchor or ''}{after}"

    return _LINK.sub(new_link, text)
