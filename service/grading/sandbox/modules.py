"""Checks a source of a grader without running it, and lists the modules that it may import."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from typing import Final

MODULES: Final = frozenset(
    {
        "__future__", "abc", "array", "ast", "base64", "binascii", "bisect", "cmath", "collections",
        "collections.abc", "copy", "csv", "dataclasses", "datetime", "decimal", "difflib", "enum",
        "fractions", "functools", "hashlib", "heapq", "html", "io", "itertools", "json", "math",
        "numbers", "operator", "pprint", "random", "re", "statistics", "string", "textwrap", "time",
        "types", "typing", "unicodedata", "urllib.parse", "uuid", "zlib",
        "numpy", "numpy.fft", "numpy.linalg", "numpy.ma", "numpy.polynomial", "numpy.random",
        "numpy.typing", "rapidfuzz", "rapidfuzz.distance", "rapidfuzz.fuzz", "rapidfuzz.process",
        "rapidfuzz.utils", "jsonschema_rs", "yaml",
    }
)  # fmt: skip
LIBRARIES: Final = frozenset(
    {
        "deepdiff", "jsonschema", "nltk", "pandas", "pydantic", "rouge_score", "scipy", "sklearn",
        "sqlparse", "sympy",
    }
)  # fmt: skip
"""Packages whose modules may all be imported, if they are installed: those of OpenAI's graders."""
EXTRA: Final = "graders"
"""The extra of this project that installs them."""
FUNCTION: Final = "grade"


class SourceInvalid(ValueError):
    """The source cannot be run as a grader."""


def imported_modules(source: str) -> list[str]:
    """Check a source and return the modules that it imports. Raises SourceInvalid.

    Names that it imports from a module of LIBRARIES are included, since they may be modules, too.
    """
    tree = _parse(source)
    _check_function(tree)
    found: dict[str, None] = {}
    for node in ast.walk(tree):
        for name in _names(node):
            found[name] = None
    return list(found)


def _parse(source: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as invalid escape sequences
            return ast.parse(source)
    except SyntaxError as error:
        raise SourceInvalid(
            f"The source has a syntax error in line {error.lineno}: {error.msg}."
        ) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise SourceInvalid(
            "The source cannot be parsed: it is nested too deeply or contains null characters."
        ) from error


def _check_function(tree: ast.Module) -> None:
    functions = [
        node
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == FUNCTION
    ]
    if not functions:
        raise SourceInvalid("The source must define the function grade(sample, item).")
    function = functions[-1]
    if isinstance(function, ast.AsyncFunctionDef):
        raise SourceInvalid("The function grade(sample, item) must not be async.")
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    required = len(positional) - len(arguments.defaults)
    accepts_two = len(positional) >= 2 or arguments.vararg is not None
    keywords_required = any(default is None for default in arguments.kw_defaults)
    if required > 2 or not accepts_two or keywords_required:
        raise SourceInvalid("The function grade must accept two arguments: sample and item.")


def _names(node: ast.AST) -> Iterator[str]:
    """Yield the modules that an import statement loads. Raises SourceInvalid."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield _allowed(alias.name, node.lineno)
    elif isinstance(node, ast.ImportFrom):
        module = "." * node.level + (node.module or "")
        below = [f"{module}.{alias.name}" for alias in node.names]
        known = [name for name in below if name in MODULES]
        if module in MODULES or len(known) < len(below):
            yield _allowed(module, node.lineno)
        yield from below if library_of(module) else known


def library_of(module: str) -> str | None:
    """Return the package of LIBRARIES that a module belongs to, if any."""
    package = module.partition(".")[0]
    return package if package in LIBRARIES else None


def _allowed(module: str, line: int) -> str:
    if module not in MODULES and library_of(module) is None:
        names = sorted({name for name in MODULES if "." not in name} | LIBRARIES)
        raise SourceInvalid(
            f"The source imports {module!r} in line {line}, which graders cannot use. Available "
            f"modules: {', '.join(names)}."
        )
    return module
