"""Divides the tests among the processes of pytest-xdist, so that shared fixtures stay together.

A file is one group, so that its module fixtures are created once. Larger groups share what takes
longest to start. They come first, so that no process ends up alone with a long one.

xdist's own `loadgroup` finds no groups under pytest 9.2, which keeps a test's id elsewhere.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.cached import cache

# The fixture that a group shares, and the tests in it. Two processes share the trainers' tests.
GROUPS: Final = {
    "stack": (
        "tests/e2e/test_advice.py",
        "tests/e2e/test_cli.py",
        "tests/e2e/test_console.py",
        "tests/e2e/test_docs.py",
        "tests/e2e/test_egress.py",
        "tests/e2e/test_erasure.py",
        "tests/e2e/test_evals.py",
        "tests/e2e/test_exports.py",
        "tests/e2e/test_gateway.py",
        "tests/e2e/test_graders.py",
        "tests/e2e/test_kto.py",
        "tests/e2e/test_pretraining.py",
        "tests/e2e/test_reinforcement.py",
        "tests/e2e/test_leave_openai.py",
        "tests/e2e/test_loop.py",
        "tests/e2e/test_observability.py",
        "tests/e2e/test_restart.py",
        "tests/e2e/test_sdk_calls.py",
        "tests/e2e/test_evaluations.py",
        "tests/e2e/test_typescript.py",
        "tests/e2e/test_openapi.py",  # starts an evaluation of minutes, which the end cuts short
    ),
    # One engine after another: four at once, of 3 GB each, do not fit into 16 GB. Files that end
    # theirs come before those that share one until the end.
    "engine_site": (
        "tests/inference/upstreams/test_two_engines_e2e.py",
        "tests/helm/test_processes_e2e.py",
        "tests/evals/test_cosine_e2e.py",
        "tests/inference/engine/test_engine_e2e.py",
        "tests/inference/engine/test_openai_answers_e2e.py",
        "tests/inference/engine/test_tool_caller_e2e.py",
        "tests/inference/engine/test_many_adapters_e2e.py",
    ),
    # With all tests that import vLLM, which takes each process 4 to 7 s of CPU.
    "make_spec-methods": (
        "tests/training/test_dpo.py",
        "tests/training/test_kto.py",
        "tests/training/test_selection.py",
        "tests/training/test_warm_start.py",
        "tests/inference/engine/test_cpu_lora.py",
        "tests/inference/engine/test_cpu.py",
        "tests/inference/engine/test_tool_call_parsers.py",
        "tests/inference/engine/test_tool_calls.py",
        "tests/training/test_thinking.py",
        "tests/inference/gateway/test_request_body.py",
    ),
    "make_spec": ("tests/training/",),
    # Tests that import torch, transformers, PEFT and bitsandbytes: 9 s of CPU in each process.
    "exporting": ("tests/exporting/", "tests/exports/test_task.py"),
}
_LONG_FILES: Final = (
    "tests/e2e/test_recovery.py",
    "tests/jobs/test_faults.py",
    "tests/jobs/attempt/test_gpu_lock.py",
    "tests/clients/test_typescript.py",
)
_FIRST: Final = (*GROUPS, *_LONG_FILES)
# Each of these tests takes up to half an hour in the proof `faults`, and none shares a fixture.
_ALONE: Final = "tests/faults/"


def _fixture_of(group: str) -> str:
    """Return the fixture that a group shares: the part of its name before the hyphen."""
    return group.partition("-")[0]


_FIXTURES: Final = {_fixture_of(group) for group in GROUPS}


def group_of(nodeid: str) -> str:
    """Return the group of a test, given its id."""
    if nodeid.startswith(_ALONE):
        return nodeid
    file = nodeid.partition("::")[0]
    return next((name for name, places in GROUPS.items() if file.startswith(places)), file)


def arrange(items: list[pytest.Item]) -> None:
    """Put the longest groups first. Raises pytest.UsageError if a group is incomplete."""
    for item in items:
        for fixture in _FIXTURES:
            if _shares(item, fixture) and _fixture_of(group_of(item.nodeid)) != fixture:
                raise pytest.UsageError(
                    f"{item.nodeid} uses {fixture}, which each process would start: "
                    "name its file in GROUPS of tests/parallel.py"
                )
    items.sort(key=lambda item: _place(item.nodeid))


def _shares(item: pytest.Item, fixture: str) -> bool:
    """Return whether the test uses the session's fixture with this name, not one of its file."""
    assert isinstance(item, pytest.Function)
    found = item._fixtureinfo.name2fixturedefs.get(fixture)
    return found is not None and len(found) > 0 and found[-1].scope == "session"


def _place(nodeid: str) -> tuple[int, int]:
    """Return the place of a test's group among all groups, and of its file in the group."""
    group = group_of(nodeid)
    if group not in _FIRST:
        return len(_FIRST), 0
    files = GROUPS.get(group, ())
    return _FIRST.index(group), next(i for i, f in enumerate((*files, "")) if nodeid.startswith(f))


@contextlib.contextmanager
def compiled_once(config: pytest.Config) -> Iterator[None]:
    """In a new checkout, let the first of xdist's processes collect while the others wait.

    It compiles all modules, and pytest rewrites the assertions of the tests: 17 s of CPU instead of
    6, which each process would spend, because all import the same modules at the same time.
    """
    if not hasattr(config, "workerinput"):
        yield
        return
    with contextlib.ExitStack() as first:
        stamp = first.enter_context(cache("collected"))
        if stamp.exists():
            first.close()
        yield
        stamp.touch()


class GroupScheduling(LoadScopeScheduling):
    """Assigns whole groups to processes, in the order of collection."""

    def __init__(self, config: pytest.Config, log: Any = None) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
