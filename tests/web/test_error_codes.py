"""The declared error codes are those that the code raises, and docs/api/errors.md lists them."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import service
from service.cli.reference import errors_page
from service.core import errors
from service.core.error_codes import CODES
from tests.docs.pages import ROOT
from tests.web.test_mistake_corpus import MISTAKES

_ERRORS: Final = {
    name: kind
    for name, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.ApiError)
}
_FOLDER: Final = Path(service.__file__).parent
_MODULES: Final = {
    path.relative_to(_FOLDER): ast.parse(path.read_text("utf-8"))
    for path in _FOLDER.rglob("*.py")
    if path.name != "error_codes.py"
}


def test_each_raised_code_is_declared_with_its_status():
    undeclared = [
        f"{place}: {status} {code}"
        for place, status, code in _raised()
        if code not in CODES.get(status, {})
    ]
    assert undeclared == []


def test_each_declared_code_is_used():
    """A code is raised, in a table of errors in the code, or known to be answered."""
    constants = {
        node.value
        for module in _MODULES.values()
        for node in ast.walk(module)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    answered = {code for *_, code in MISTAKES}
    declared = {code for codes in CODES.values() for code in codes}
    assert declared - constants - answered == set()


def test_the_page_of_codes_is_current():
    written = (ROOT / "docs/api/errors.md").read_text("utf-8")
    assert written == errors_page(), "run 'make metrics-docs'"


def _raised() -> Iterator[tuple[str, int, str]]:
    """Yield the place, the status and the code of each error that is constructed."""
    for path, module in _MODULES.items():
        imported = {
            alias.asname or alias.name
            for node in ast.walk(module)
            if isinstance(node, ast.ImportFrom) and node.module == errors.__name__
            for alias in node.names
        }
        known = _ERRORS if path == Path("core/errors.py") else imported & _ERRORS.keys()
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in known:
                kind = _ERRORS[ast.unparse(node.func)]
                for code in _codes_of(node, kind):
                    yield f"{path}:{node.lineno}", kind.status, code


def _codes_of(call: ast.Call, kind: type[errors.ApiError]) -> list[str]:
    """Return the possible codes of an error, without those that are made at run time."""
    given = next((one.value for one in call.keywords if one.arg == "code"), None)
    if given is None:
        return [kind.default_code] if kind.default_code else []
    if isinstance(given, ast.JoinedStr):
        return []
    return [
        node.value
        for node in ast.walk(given)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
