"""Tests of the public surface: names, signatures, generated modules and the wheel."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import finetuned
import pytest

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "clients" / "python"
SURFACE = Path(__file__).with_name("surface.txt")


def methods(group: Any, path: str = "client") -> Iterator[tuple[str, Any]]:
    """Yield the methods of a client and of its groups, by their paths."""
    for name, found in inspect.getmembers(type(group)):
        if name.startswith("_") or name in ("openai", "with_raw_response"):
            continue
        if isinstance(found, cached_property):
            yield from methods(getattr(group, name), f"{path}.{name}")
        elif callable(found):
            yield f"{path}.{name}", found


def signatures(client: Any) -> dict[str, str]:
    return {path: str(inspect.signature(method)) for path, method in methods(client)}


@pytest.mark.parametrize("package", ["cli", "migrate"])
def test_packages_need_the_client_of_their_minor_version(package: str):
    major, minor, *_ = finetuned.__version__.split(".")
    wanted = f">={major}.{minor},<{major}.{int(minor) + 1}"
    project = (ROOT / "clients" / package / "pyproject.toml").read_text("utf-8")
    assert re.findall(r'"finetuned-[a-z]+(?:\[[a-z,]+\])?([<>=][^"]+)"', project) == [wanted]


def test_exports_are_sorted_and_there():
    assert finetuned.__all__ == sorted(finetuned.__all__)
    assert all(hasattr(finetuned, name) for name in finetuned.__all__)
    assert {*finetuned.__all__} <= {*dir(finetuned)}
    with pytest.raises(AttributeError):
        _ = finetuned.unknown


def test_surface_is_what_was_agreed():
    """For an intended change, update the file with FINETUNED_RENEW=1."""
    lines = [f"finetuned.{name}" for name in finetuned.__all__]
    lines.append(f"Client{inspect.signature(finetuned.Client)}")
    found = signatures(finetuned.Client(api_key="k"))
    lines += [f"{path}{signature}" for path, signature in sorted(found.items())]
    text = "\n".join(lines) + "\n"
    if os.environ.get("FINETUNED_RENEW"):
        SURFACE.write_text(text, "utf-8")
    assert SURFACE.read_text("utf-8") == text


def test_both_clients_have_the_same_methods():
    ours = signatures(finetuned.Client(api_key="k"))
    theirs = dict(methods(finetuned.AsyncClient(api_key="k")))
    assert ours.keys() == theirs.keys()
    assert [path for path, method in theirs.items() if not method.__doc__] == []


def test_generated_modules_are_what_openapi_json_says():
    """Run `make clients` to update them."""
    script = PACKAGE / "scripts" / "generate.py"
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


def run(program: str, **more: Any) -> str:
    """Run a program in a process of its own and return what it prints."""
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True, **more).stdout


@pytest.mark.e2e
def test_wheel_is_whole_and_stands_alone(wheel: Path, tmp_path: Path):
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
        packed.extractall(tmp_path)
    assert {"finetuned/py.typed", "finetuned/types.py", "finetuned/_sync/client.py"} <= set(names)
    assert all(name.startswith(("finetuned/", "finetuned_client-")) for name in names)
    # From an empty folder, without this repository on the path, and without a command line.
    program = (
        "import sys; sys.modules.update(service=None, typer=None, rich=None); import finetuned;"
        "print(finetuned.__file__); finetuned.Client(api_key='k').openai"
    )
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    assert run(program, env=env, cwd=tmp_path).startswith(str(tmp_path))


def test_importing_the_client_imports_no_other_package():
    program = (
        "import sys; import finetuned; late = {'httpx2', 'openai', 'pydantic', 'asyncio'};"
        "print(sorted(late & {*sys.modules}))"
    )
    assert run(program) == "[]\n"


def test_openai_is_needed_for_nothing_but_itself():
    program = (
        "import sys; sys.modules['openai'] = None; import finetuned;"
        "client = finetuned.Client(api_key='k'); client.fine_tuning.jobs\n"
        "try: client.openai\nexcept finetuned.ConfigurationError as e: print(e)"
    )
    assert "pip install 'finetuned-client[openai]'" in run(program)


def test_the_command_line_imports_what_few_commands_need_when_they_run():
    program = (
        "import sys; import finetuned_cli.app;"
        "late = {'finetuned_migrate', 'finetuned.types', 'finetuned_cli.train', 'openai', 'yaml'};"
        "print(late & {*sys.modules})"
    )
    assert run(program) == "set()\n"


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
