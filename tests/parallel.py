"""How tests are divided among pytest-xdist's workers: what shares something costly stays together.

A file is one group, so that its module's fixtures are made once. Larger groups share what takes
longest to start: the session's stack, an engine, the trainers' fork server. They come first, so
that no worker is left alone with a long one at the end.
"""

from __future__ import annotations

from typing import Final

import pytest

# By fixture. Groups in this order come first.
SHARED: Final = {"stack": "stack", "engine_site": "engine", "start": "trainer"}
LONG_FILES: Final = (
    "tests/e2e/test_recovery.py",
    "tests/inference/upstreams/test_two_engines_e2e.py",
    "tests/jobs/test_faults.py",
)


def divide(items: list[pytest.Item]) -> None:
    """Mark each test with its group, and put the longest groups first."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group_of(item)))
    first = [*dict.fromkeys(SHARED.values()), *LONG_FILES]
    places = {name: place for place, name in enumerate(first)}
    items.sort(key=lambda item: places.get(group_of(item), len(places)))


def group_of(item: pytest.Item) -> str:
    """The group that a test runs in."""
    fixtures = getattr(item, "fixturenames", ())
    for fixture, group in SHARED.items():
        if fixture in fixtures:
            return group
    return item.nodeid.split("::")[0]
