"""Tests that the stand-in image uses the mirror of the machine, and no file names a registry."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import house_style
from tests.image import stand_in

LINES = """
# deb http://commented.invalid/debian trixie main
deb http://security.invalid/debian trixie-security main
deb [arch=amd64 signed-by=/usr/share/keyrings/a.gpg] {uri} trixie main
"""
PARAGRAPHS = """
Types: deb-src
URIs: http://sources.invalid/debian
Suites: trixie

Enabled: no
Types: deb
URIs: http://disabled.invalid/debian
Suites: trixie

Types: deb deb-src
URIs: {uri}
 http://second.invalid/debian
Suites: trixie
 trixie-updates
Components: main
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sources.list", LINES),
        ("sources.list.d/a.list", LINES),
        ("sources.list.d/a.sources", PARAGRAPHS),
    ],
)
def test_the_mirror_is_read_from_apt(tmp_path: Path, name: str, text: str):
    (tmp_path / "sources.list.d").mkdir()
    with pytest.raises(LookupError, match="trixie"):
        stand_in.mirror(tmp_path)
    (tmp_path / name).write_text(text.format(uri="http://ours.invalid/debian"))
    assert stand_in.mirror(tmp_path) == "http://ours.invalid/debian"


def test_addresses_of_registries_are_found_but_not_those_of_examples():
    for host_and_path in (
        *("deb.internal.net", "mirrors.internal.net/pub", "pypi.internal.net", "npm.internal.net"),
        *("registry.internal.net", "a.internal.net/simple/", "a.internal.net:8081/debian dists"),
    ):
        assert house_style.addresses(f"fetch https://{host_and_path}"), host_and_path
    for text in ("https://registry.example/a", "http://127.0.0.1:5000/v2/", "https://a.net/docs"):
        assert house_style.addresses(text) == [], text


def test_no_tracked_file_names_the_address_of_a_registry():
    assert list(house_style.find_addresses()) == []
