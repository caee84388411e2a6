"""Tests of the compiled gateway, as in the image of the API.

Compiled code differs from Python where it relies on what only the interpreter knows, such as
annotations at run time. So the tests of these modules run again, on the compiled ones.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import compiled

RUNS_ALL = os.environ.get("FINETUNED_COMPILED") == "1"
pytestmark = pytest.mark.timeout(3600)
ALL = ["tests/core/test_cache.py", "tests/inference/gateway", "tests/inference/upstreams"]
ALL += ["tests/usage", "tests/web/wire"]
SOME = [
    "tests/core/test_cache.py",
    "tests/inference/gateway/test_answers.py",
    "tests/inference/gateway/test_express.py",
    "tests/inference/gateway/test_request_body.py",
    "tests/inference/gateway/test_turns.py",
    "tests/inference/upstreams/test_client.py",
    "tests/inference/upstreams/test_connection.py",
    "tests/inference/upstreams/test_health.py",
    "tests/inference/upstreams/test_replicas.py",
    "tests/inference/upstreams/test_turns.py",
    "tests/usage/test_buckets.py",
    "tests/usage/test_limits.py",
    "tests/web/wire/test_outbox.py",
    "tests/web/wire/test_repeated.py",
]


@pytest.mark.parametrize("module", compiled.modules())
def test_nothing_waits_while_an_exception_is_handled(module):
    """mypyc would show the exception to all other tasks, as the one that they handle."""
    tree = ast.parse((compiled.ROOT / f"{module.replace('.', '/')}.py").read_text("utf-8"))
    handlers = [
        node.body if isinstance(node, ast.ExceptHandler) else node.finalbody
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler | ast.Try)
    ]
    waits = (ast.Await, ast.AsyncFor, ast.AsyncWith, ast.Yield)
    inside = [node for body in handlers for part in body for node in ast.walk(part)]
    assert [node.lineno for node in inside if isinstance(node, waits)] == []


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """A compiled copy of the checkout."""
    if why := compiled.missing():
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("compiled")
    compiled.compile_to(folder, optimize=RUNS_ALL)
    return folder


def python(copy: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the compiled copy."""
    environment = compiled.environment(copy)
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS", "COVERAGE_PROCESS_START"):
        environment.pop(name, None)
    return subprocess.run(
        [sys.executable, *words],
        cwd=copy,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def test_each_listed_module_is_compiled(copy):
    program = (
        "import sys; print(*(__import__(name, fromlist='x').__file__ for name in sys.argv[1:]))"
    )
    done = python(copy, "-c", program, *compiled.modules())
    assert done.returncode == 0, done.stdout
    files = done.stdout.split()
    assert len(files) == len(compiled.modules()) > 0
    for file in files:
        assert Path(file).is_relative_to(copy)
        assert file.endswith(".so")


def test_the_tests_of_the_modules_pass(copy):
    tests = ALL if RUNS_ALL else SOME
    done = python(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)
    assert done.returncode == 0, done.stdout
    print(done.stdout.splitlines()[-1])
