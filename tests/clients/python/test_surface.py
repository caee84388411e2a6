"""Tests of the public surface: names, signatures and the wheel."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import finetuned
import pytest
from finetuned import resources
from finetuned._methods import _Method

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "clients" / "python"
SURFACE = Path(__file__).with_name("surface.txt")


def groups(prefix: str) -> dict[str, dict[str, _Method[Any, Any]]]:
    """Return the method groups of one client, by name."""
    base = getattr(resources, f"{prefix}Resource")
    return {
        name.removeprefix(prefix): {
            key: value for key, value in vars(kind).items() if isinstance(value, _Method)
        }
        for name, kind in vars(resources).items()
        if isinstance(kind, type) and issubclass(kind, base) and kind is not base
    }


def test_exports_are_sorted_and_there():
    assert finetuned.__all__ == sorted(finetuned.__all__)
    assert all(hasattr(finetuned, name) for name in finetuned.__all__)


def test_surface_is_what_was_agreed():
    """For an intended change, update the file with FINETUNED_RENEW=1."""
    lines = [f"finetuned.{name}" for name in finetuned.__all__]
    clients = (finetuned.Client, finetuned.AsyncClient)
    lines += [f"{kind.__name__}{inspect.signature(kind)}" for kind in clients]
    for group, methods in groups("").items():
        lines += [f"{group}.{name}{m.signature}" for name, m in sorted(methods.items())]
    text = "\n".join(lines) + "\n"
    if os.environ.get("FINETUNED_RENEW"):
        SURFACE.write_text(text, "utf-8")
    assert SURFACE.read_text("utf-8") == text


def test_both_clients_have_the_same_methods():
    ours, theirs = groups(""), groups("Async")
    assert ours.keys() == theirs.keys()
    for group, methods in ours.items():
        assert list(methods) == list(theirs[group])
        for name, method in methods.items():
            assert method.flow is theirs[group][name].flow, f"{group}.{name}"
            assert method.__doc__, f"{group}.{name}"


def test_types_are_what_openapi_json_says():
    """Run `make clients` to update the types."""
    script = PACKAGE / "scripts" / "generate_types.py"
    done = subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_version_is_the_projects():
    import service

    assert finetuned.__version__ == service.__version__


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--wheel-dir", str(folder), str(PACKAGE)], check=True)
    return next(folder.glob("finetuned_client-*.whl"))


@pytest.mark.e2e
def test_wheel_is_whole_and_stands_alone(wheel: Path, tmp_path: Path):
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
        packed.extractall(tmp_path)
    assert {"finetuned/py.typed", "finetuned/types.py", "finetuned/cli/__init__.py"} <= set(names)
    assert all(name.startswith(("finetuned/", "finetuned_client-")) for name in names)
    # From an empty folder, without this repository on the path, and without a command line.
    program = (
        "import sys; sys.modules.update(service=None, typer=None, rich=None); import finetuned;"
        "print(finetuned.__file__); finetuned.Client(api_key='k').openai"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(str(tmp_path))


def test_the_command_line_imports_what_few_commands_need_when_they_run():
    program = (
        "import sys; import finetuned.cli.app;"
        "late = {'finetuned_migrate.configs', 'finetuned_migrate.openai', 'openai', 'yaml'};"
        "print(late & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


def test_a_grader_gets_the_class_of_its_type():
    close = {
        "type": "text_similarity",
        "name": "close",
        "input": "{{sample.output_text}}",
        "reference": "{{item.reference}}",
        "evaluation_metric": "fuzzy_match",
    }
    short = {"type": "python", "name": "short", "source": "def grade(sample, item): return 1.0"}
    graders = {"close": close, "short": short}
    multi = {"type": "multi", "name": "m", "graders": graders, "calculate_output": "close * short"}
    body = finetuned.types.RunGrader.model_validate({"grader": multi, "model_sample": "a"})
    assert isinstance(body.grader, finetuned.types.MultiGrader)
    assert isinstance(body.grader.graders, dict)
    assert type(body.grader.graders["close"]) is finetuned.types.TextSimilarityGrader
    assert type(body.grader.graders["short"]) is finetuned.types.PythonGrader
