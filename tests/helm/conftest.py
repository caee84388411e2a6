"""Helm 3 and 4, from wheels kept in .cache."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tests.helm.support import ROOT, Helm, Rendered

MAJORS = (3, 4)


def script(name: str) -> ModuleType:
    """Import a module from scripts/, which is not a package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def tools() -> Callable[[int], Path]:
    """Return the folder with kubectl and helm of this major version."""
    return script("helm_tools").folder


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
