"""Tests that pages agree with the code: roles, named tests, statuses, figures and links."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from scripts import scale
from scripts.open_models import OPEN_MODELS
from service.config import Settings
from service.jobs.records import FINAL
from service.web.permissions import PERMISSIONS, Permission, Role
from tests.faults.actor.every import BY_NAME

ROOT = Path(__file__).parent.parent.parent
ACCESS = (ROOT / "docs" / "access.md").read_text("utf-8")
SECURITY = (ROOT / "docs" / "security.md").read_text("utf-8")
DURABILITY = (ROOT / "docs" / "durability.md").read_text("utf-8")
SIZE, MODELS = ROOT / "docs" / "size.md", ROOT / "docs" / "models.md"
ROTATE = (ROOT / "docs" / "rotate.md").read_text("utf-8")
PAGES = [
    *(ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("clients/*/README.md")),
    *(*ROOT.glob("examples/*.md"), *ROOT.glob("examples/*.py")),
]
RISKS = {f"API{n}" for n in range(1, 11)} | {f"LLM{n:02}" for n in range(1, 11)}
OPERATORS = ("operations", "settings", "runbook", "install", "size", "scale", "rotate", "upgrade")
_NAMED_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
_RISK = re.compile(
    r"^\| (?P<risk>(?:API|LLM)\d\d?) [^|]+ \| (?P<defense>[^|]+) \| (?P<tests>.+) \|$", re.M
)
_WRITE = re.compile(r"^\| [^|]+ \| (?P<actors>`[^|]+`)(?: \| [^|]+){5} \|$", re.M)
_STATUSES = re.compile(r"[(\[{][^()\[\]{}]*\bsucceeded\b[^()\[\]{}]*[)\]}]")


def rows_below(heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading."""
    section = ACCESS.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_role_is_documented():
    assert [row[0].strip("`") for row in rows_below("Roles")] == [*Role]


def test_permissions_and_their_roles_are_documented():
    described = {}
    for name, _, roles in rows_below("Permissions"):
        names = [*Role] if roles == "all" else re.findall(r"`(\w+)`", roles)
        described[name.strip("`")] = names
    assert described == {
        permission.value: [role for role in Role if permission in PERMISSIONS[role]]
        for permission in Permission
    }


@cache
def functions(file: str) -> set[str]:
    """Return the names of all functions in a file of tests."""
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


@pytest.mark.parametrize(("file", "name"), sorted(set(_NAMED_TEST.findall(SECURITY))))
def test_a_test_named_on_the_security_page_exists(file: str, name: str):
    assert (ROOT / file).exists()
    assert name in functions(file)


def test_each_risk_names_a_test_or_says_that_there_is_no_defense():
    rows = {row["risk"]: row for row in _RISK.finditer(SECURITY)}
    assert rows.keys() == RISKS
    for risk, row in rows.items():
        assert _NAMED_TEST.search(row["tests"]) or row["defense"].startswith("none: "), risk


def test_every_test_file_named_on_the_durability_page_exists():
    named = set(re.findall(r"`(tests/[\w/]+(?:\.py)?)`", DURABILITY))
    assert len(named) > 15
    assert not [name for name in named if not (ROOT / name).exists()]


def test_every_write_names_actors_of_its_faults():
    rows = list(_WRITE.finditer(DURABILITY))
    assert len(rows) == 34
    for row in rows:
        assert BY_NAME.keys() >= set(re.findall(r"`([\w-]+)`", row["actors"])), row[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_list_of_final_statuses_is_complete(page: Path):
    for found in _STATUSES.findall(page.read_text("utf-8")):
        if "failed" in found:
            assert all(status in found for status in FINAL), found


def test_every_secret_has_a_way_to_rotate_it():
    """Settings that hide their value, or name a file with a key."""
    secrets = [
        name
        for name, field in Settings.model_fields.items()
        if "SecretStr" in str(field.annotation)
        or (
            re.search(r"(?:key|token|tls)(?:_key|_cert)?(?:_file)?$", name)
            and "Path" in str(field.annotation)
        )
    ]
    assert len(secrets) > 8
    assert [name for name in secrets if f"`FINETUNED_{name.upper()}`" not in ROTATE] == []
    for file, test in _NAMED_TEST.findall(ROTATE):
        assert f"def {test}(" in (ROOT / file).read_text("utf-8"), test


def test_the_table_of_scale_is_up_to_date():
    assert scale.table() in (ROOT / "docs" / "scale.md").read_text("utf-8"), (
        "run 'python -m scripts.scale --write'"
    )


def test_tables_of_sizes_are_up_to_date():
    script = [sys.executable, str(ROOT / "scripts" / "sizes.py")]
    printed = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    tables = printed.strip().split("\n\n")
    pages = [page.read_text("utf-8") for page in (*2 * [SIZE], *3 * [MODELS])]
    assert [table.count("\n") > 5 for table in tables] == [True] * 5
    for table, page in zip(tables, pages, strict=True):
        assert f"{table}\n" in page, "run 'python scripts/sizes.py --write'"


def test_computed_parameters_match_model_cards():
    known = {
        "Qwen3-0.6B": 0.6, "Qwen3-8B": 8.2, "Qwen3-32B": 32.8, "Llama-3.2-1B-Instruct": 1.23,
        "Llama-3.2-3B-Instruct": 3.21, "Llama-3.1-8B-Instruct": 8.03,
        "Llama-3.3-70B-Instruct": 70.6, "gemma-3-1b-it": 1.0, "gemma-3-4b-it": 4.3,
        "gemma-3-12b-it": 12.2, "gemma-3-27b-it": 27.4, "Mistral-7B-Instruct-v0.3": 7.25,
        "Ministral-3-3B-Instruct-2512-BF16": 3.8, "Ministral-3-8B-Instruct-2512-BF16": 8.8,
        "Ministral-3-14B-Instruct-2512-BF16": 13.9, "Phi-4-mini-instruct": 3.8,
        "SmolLM2-1.7B-Instruct": 1.71, "SmolLM3-3B": 3.08,
        "gemma2-9b-cpt-sahabatai-v1-instruct": 9.24, "llm-jp-4-8b-instruct": 8.59,
        "llm-jp-3.1-13b-instruct4": 13.7, "DeepSeek-R1-Distill-Qwen-1.5B": 1.78,
        "DeepSeek-R1-Distill-Qwen-7B": 7.62, "DeepSeek-R1-Distill-Qwen-14B": 14.8,
        "DeepSeek-R1-Distill-Qwen-32B": 32.8,
    }  # fmt: skip
    shapes = {model.name: model.shape for model in OPEN_MODELS}
    for name, billions in known.items():
        shape = shapes[name]
        assert shape is not None
        assert shape.model().parameters / 1e9 == pytest.approx(billions, rel=0.02), name


@pytest.mark.parametrize("name", [f"{page}.md" for page in OPERATORS])
def test_links_on_pages_for_operators_lead_to_sections(name):
    text = (ROOT / "docs" / name).read_text("utf-8")
    for page, anchor in re.findall(r"\]\(([\w.-]*)#([\w-]+)\)", text):
        target = (ROOT / "docs" / page).read_text("utf-8") if page else text
        titles = re.findall(r"^#+ (.+)$", target, re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", t.lower()).replace(" ", "-") for t in titles}
        assert anchor in anchors, (page, anchor)
