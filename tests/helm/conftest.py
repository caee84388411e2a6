"""Helm 3 and 4, from wheels kept in .cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.helm_tools import folder
from tests.helm.support import Helm, Rendered

MAJORS = (3, 4)


@pytest.fixture(scope="session")
def tools() -> Callable[[int], Path]:
    """Return the folder with kubectl and helm of this major version."""
    return folder


@pytest.fixture(scope="session", params=MAJORS, ids=lambda major: f"helm{major}")
def each_helm(request: pytest.FixtureRequest, tools: Callable[[int], Path]) -> Helm:
    """Helm, once for each major version."""
    return Helm(tools(request.param) / "helm")


@pytest.fixture(scope="session")
def helm(tools: Callable[[int], Path]) -> Helm:
    """The newest major version of helm, for tests that do not depend on it."""
    return Helm(tools(MAJORS[-1]) / "helm")


@pytest.fixture(scope="session")
def render(helm: Helm) -> Callable[..., Rendered]:
    """Render the chart."""
    return helm.template
