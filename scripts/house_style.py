"""Checks prose against the house style: `python scripts/house_style.py` (part of `make lint`).

Reads every page, docstring and comment, the descriptions in openapi.json, and the console's English
texts. Reports phrases that a native writer would not use, each with a better one, and schema
descriptions that are fragments. Also reports addresses of package registries and mirrors in tracked
files, because each machine configures its own.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
ENGLISH: Final = "clients/console/src/messages/en/*.json"
PHRASES: Final = {
    r"how grave": "severity",
    r"what hangs on": "what depends on",
    r"(?:is|are) let go\b": "released, evicted or deleted",
    r"of no order": "unordered",
    r"reckon(?:ed|ing|s)?\b": "computed, estimated",
    r"\btells? (?:of|whether|how|what|which|where|when|why)\b": "reports, returns, says",
    r"\bis told\b(?! to\b)": "is reported, receives",
    r"\bit is said\b": "the message says",
    r"\bstands? (?:for|in|on|under|above|beside|at)\b": "is, means",
    r"\bso many\b": "this many",
    r"\bof itself\b": "its own",
    r"\bmends?\b": "fix",
    r"\bwherever it happens to\b": "anywhere",
    r"\bis asked for\b": "is requested",
    r"\bnot waited for\b": "skipped",
    r"\bgrave\b": "severe",
    r"\bshall\b": "must, will",
    r"\bfor ever\b": "forever, permanently",
    r"\bgo(?:es|ing)? on\b(?! to\b)": "continue",
    r"\bstays? as (?:it|they) (?:is|are)\b": "remain unchanged",
    r"\blet(?:s|ting)? go\b": "release",
    r"\bsays all\b": "is sufficient",
    r"\bno more than that\b": "only",
    r"\bbut for\b": "except for",
    r"\bfor want of\b": "because of missing",
    r"\bin earnest\b": "in practice",
    r"\bby chance\b": "random, randomly",
    r"\bthe very\b": "the same",
    r"\bunder way\b": "in progress",
    r"\bwhat (?:comes|came|becomes) of\b": "the result of",
    r"\bwhatever (?:is asked|comes)\b": "any, regardless of",
    r"\bof its making\b": "that it created",
    r"\bneed be\b": "necessary",
    r"\bwhence\b": "from which",
    r"\bagain and again\b": "repeatedly",
    r"\b(?:is|are) ill\b|\bill (?:engine|replica)s?\b": "unhealthy",
    r"\blearnt\b": "learned",
    r"\bcatalogue\b(?!\.|_|/)": "catalog",
    r"\bmeanwhile\b": "during it, in between, since",
    r"\bwhoever\b": "anyone who, the process that",
    r"\bany more\b(?=[.,;:)]|$)": "no longer",
    r"\banew\b": "again, from scratch",
    r"\bin the place of\b": "instead of",
    r"\b(?:is|are|was|were) away\b": "is unavailable, is down",
    r"\b(?:is|are|was|were) none of the(?:m|se)?\b": "is not one of",
    r"\bin other words than\b": "with different words from",
}
SKIPPED: Final = (
    "docs/openapi/",
    "docs/api/errors.md",
    "docs/metrics.md",
    "docs/chart.md",
    "scripts/house_style.py",
)
_URL: Final = re.compile(r"(?:https?|ftp)://(?P<host>[\w.-]+)(?::\d+)?(?P<path>[^\s\"'`)>]*)")
_RESERVED: Final = re.compile(r"(?:^|\.)(?:example(?:\.\w+)?|test|invalid|localhost)$|^[\d.]+$")
_HOST: Final = re.compile(r"(?:^|[.-])(?:deb|ftp|mirrors?|registry|pypi|npm)(?=[.-])")
_PATH: Final = re.compile(r"^/(?:simple|debian|debian-security|ubuntu|v2)(?:/|$)")
# A comment, or a string, which may contain what looks like one. Python's tokenizer takes ten times
# as long.
_STRING_OR_COMMENT: Final = re.compile(
    r'''"""(?:\\.|[^\\])*?"""|'{3}(?:\\.|[^\\])*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|#[^\n]*''',
    re.DOTALL,
)
_FRAGMENT: Final = re.compile(
    r"^[a-z]|^(?:Of|By|To|In|And|Its|How|Yours|Them|It|They|From|With|As) "
)


def main() -> int:
    """Print each finding as `file:line: phrase (better: …)`. Returns 1 if there are any, else 0."""
    findings = [*_in_files(), *_in_openapi(), *find_addresses()]
    print("\n".join(findings) or "house style: nothing found")
    return min(len(findings), 1)


def _in_files() -> Iterator[str]:
    listed = subprocess.run(
        ["git", "ls-files", "*.md", "*.py", ENGLISH],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.split():
        file = ROOT / name
        if name.startswith(SKIPPED) or not file.exists():
            continue
        text = file.read_text("utf-8")
        for line, prose in _prose(text) if file.suffix == ".py" else _page(text):
            for found, better in _phrases(prose):
                yield f"{name}:{line}: {found!r} (better: {better})"


def _phrases(prose: str) -> Iterator[tuple[str, str]]:
    for phrase, better in PHRASES.items():
        for found in re.finditer(phrase, prose, re.IGNORECASE):
            yield found.group(), better


def _page(text: str) -> Iterator[tuple[int, str]]:
    in_code = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            in_code = not in_code
        elif not in_code:
            yield number, re.sub(r"`[^`]*`", "", line)


def _prose(source: str) -> Iterator[tuple[int, str]]:
    """Comments and docstrings, with their lines."""
    for found in _STRING_OR_COMMENT.finditer(source):
        if found.group().startswith("#"):
            yield source.count("\n", 0, found.start()) + 1, found.group()
    for node in _statements(ast.parse(source)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            yield node.lineno, re.sub(r"`[^`]*`", "", node.value.value)


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    """All statements of a module, without looking into their expressions."""
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        for child in getattr(node, field, ()):
            if isinstance(child, ast.stmt):
                yield child
            yield from _statements(child)


def _in_openapi() -> Iterator[str]:
    document = json.loads((ROOT / "openapi.json").read_text("utf-8"))
    for place, text in _descriptions(document, ""):
        for found, better in _phrases(text):
            yield f"openapi.json{place}: {found!r} (better: {better})"
        if place.startswith("/components/schemas/") and _is_fragment(text):
            yield f"openapi.json{place}: {text!r} is a fragment: end it with a period"


def find_addresses() -> Iterator[str]:
    """Each address of a registry or mirror in a tracked file, as `git grep` finds it."""
    listed = subprocess.run(
        ["git", "grep", "-nIE", "(https?|ftp)://"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for line in listed.stdout.splitlines():
        name, number, text = line.split(":", 2)
        for found in addresses(text):
            yield f"{name}:{number}: {found!r} (better: read it from the machine's configuration)"


def addresses(text: str) -> list[str]:
    """Return the addresses of registries and mirrors in a text, except for those of examples."""
    found = (match for match in _URL.finditer(text) if not _RESERVED.search(match["host"]))
    return [
        match.group()
        for match in found
        if _HOST.search(match["host"]) or _PATH.search(match["path"])
    ]


def _is_fragment(text: str) -> bool:
    return (
        bool(_FRAGMENT.match(text))
        or not text.rstrip().endswith((".", ":", "`", ")"))
        or len(text.split()) < 2
    )


def _descriptions(node: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, list):
        for index, child in enumerate(node):
            yield from _descriptions(child, f"{place}/{index}")
    elif isinstance(node, dict):
        for key, child in node.items():
            if key == "description" and isinstance(child, str):
                yield place, child
            elif key not in {"example", "examples"}:
                yield from _descriptions(child, f"{place}/{key}")


if __name__ == "__main__":
    sys.exit(main())
