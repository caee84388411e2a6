"""The page about durability names tests and actors that exist."""

from __future__ import annotations

import re
from pathlib import Path

from tests.faults.actor.every import BY_NAME, NAMES

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs/durability.md").read_text("utf-8")
_ROW = re.compile(
    r"^\| [^|]+ \| (?P<actors>`[^|]+`) \|.* `(?P<test>tests/faults/\w+\.py)` \|$", re.M
)


def test_every_named_test_exists():
    named = set(re.findall(r"`(tests/[\w/]+(?:\.py)?)`", PAGE))
    assert len(named) > 15
    assert not [name for name in named if not (ROOT / name).exists()]


def test_every_write_names_actors_that_the_test_runs():
    rows = list(_ROW.finditer(PAGE))
    assert len(rows) == 32
    for row in rows:
        area = row["test"].removeprefix("tests/faults/test_").removesuffix(".py")
        actors = re.findall(r"`([\w-]+)`", row["actors"])
        assert BY_NAME.keys() >= set(actors), row[0]
        assert actors[0] in NAMES[area], row[0]
