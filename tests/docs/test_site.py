"""Tests that the site builds strictly, loads nothing external, and has no broken links."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
# Elements that load a resource, with the attribute that names it.
_LOADS = {
    "script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src",
    "audio": "src", "embed": "src", "object": "data", "use": "href",
}  # fmt: skip
_STYLE_URL = re.compile(r"""(?:url\(|@import)\s*["']?([^"')\s]+)""")


class Html(HTMLParser):
    """Resources, links and anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.anchors |= {name for key in ("id", "name") if (name := values.get(key))}
        if tag == "link" and values.get("rel") not in {"canonical", "next", "prev"}:
            self.loads.append(values.get("href") or "")
        if (key := _LOADS.get(tag)) and (target := values.get(key)):
            self.loads.append(target)
        self.loads += _STYLE_URL.findall(values.get("style") or "")
        if tag == "a" and (href := values.get("href")):
            self.links.append(href)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Html]:
    """All pages of the site, by their files."""
    return {page: Html(page.read_text("utf-8")) for page in sorted(site.rglob("*.html"))}


def _outside(target: str) -> bool:
    return bool(urlsplit(target).netloc)


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[Path, Html]) -> None:
    loads = [(str(page), target) for page, html in pages.items() for target in html.loads]
    assert len(loads) > 100
    assert [found for found in loads if _outside(found[1])] == []
    styles = sorted(site.rglob("*.css"))
    assert styles
    for style in styles:
        found = _STYLE_URL.findall(style.read_text("utf-8"))
        assert [target for target in found if _outside(target)] == [], style


def test_scripts_of_the_theme_have_no_occasion_to_fetch(pages: dict[Path, Html]) -> None:
    """The theme would load Mermaid for diagrams, and repository stars for `repo_url`."""
    for page, html in pages.items():
        text = page.read_text("utf-8")
        assert 'class="mermaid"' not in text, page
        assert 'data-md-component="source"' not in text, page
        assert not any("fonts.g" in target for target in html.loads + html.links), page


def test_links_and_anchors_inside_lead_somewhere(site: Path, pages: dict[Path, Html]) -> None:
    pages = {page.resolve(): html for page, html in pages.items()}
    checked = 0
    for page, html in pages.items():
        for link in html.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or page.name == "404.html":
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            target = target / "index.html" if target.is_dir() else target
            assert target.exists(), f"{page.relative_to(site)} links to {link}"
            if parts.fragment and target in pages and not parts.fragment.startswith("__"):
                anchors = pages[target].anchors
                assert unquote(parts.fragment) in anchors, f"{page.relative_to(site)}: {link}"
            checked += 1
    assert checked > 1000


def test_the_reference_has_every_operation_and_object(site: Path) -> None:
    spec = json.loads((ROOT / "openapi.json").read_text("utf-8"))
    folder = site / "api" / "reference"
    told = " ".join(page.read_text("utf-8") for page in folder.glob("*.html"))
    for methods in spec["paths"].values():
        for operation in methods.values():
            assert f'id="{operation["operationId"]}"' in told
    objects = Html((folder / "objects.html").read_text("utf-8"))
    names = {re.sub(r"\W+", "-", n.lower()).strip("-") for n in spec["components"]["schemas"]}
    assert names - objects.anchors == set()
    assert json.loads((site / "openapi.json").read_text("utf-8")) == spec


def test_search_knows_thai_and_japanese(site: Path) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text("utf-8"))
    assert {"en", "ja", "th"} <= set(index["config"]["lang"])
    assert {"lunr.ja.min.js", "lunr.th.min.js"} <= {f.name for f in site.rglob("lunr.*.js")}
