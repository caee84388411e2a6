"""The tables of docs/openai-sdk.md: `python -m tests.sdk.page --write`."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from typing import Final

from service.web.openai_only import instead
from tests.cached import ROOT
from tests.sdk.methods import Documentation, methods
from tests.sdk.table import DIFFERS, NODE_ONLY, PYTHON_ONLY, WEBSOCKETS

PAGE: Final = ROOT / "docs/openai-sdk.md"


def refusals(documentation: Documentation) -> dict[str, str]:
    """Return the reason of each method that is refused, which may be empty."""
    refused = [name for name in methods(documentation.client) if name not in DIFFERS]
    return {name: _reason(documentation, name) for name in refused}


def _reason(documentation: Documentation, name: str) -> str:
    """Return what to use instead of a method, by its request or else by its name."""
    if name.endswith("responses.connect"):
        return WEBSOCKETS
    named = name.removeprefix("admin.").removeprefix("beta.").replace(".", "/")
    return instead(_path(documentation.request(name))) or instead(named)


def _path(request: str | None) -> str:
    return request.partition(" /")[2] if request else ""


def supported(documentation: Documentation) -> str:
    """A row for each method that works."""
    head = "| call | request | here |"
    return _table(head, [_row(documentation, name) for name in sorted({*DIFFERS, *NODE_ONLY})])


def _row(documentation: Documentation, name: str) -> list[str]:
    if name in NODE_ONLY:
        return [f"`{name}`", "", f"only for Node; {NODE_ONLY[name]}"]
    request = documentation.request(name)
    only = ["only for Python"] if name in PYTHON_ONLY else []
    here = "; ".join([*only, *filter(None, [DIFFERS[name]])])
    return [f"`{name}`", f"`{request}`" if request else "", here]


def refused(documentation: Documentation) -> str:
    """A row for each reason, with the resources and methods that are refused for it."""
    reasons = refusals(documentation)
    groups: dict[str, dict[str, None]] = defaultdict(dict)
    for name, reason in reasons.items():
        groups[reason][_shortest(name, reasons)] = None
    rows = [[", ".join(f"`{n}`" for n in names), reason] for reason, names in groups.items()]
    return _table("| calls | instead |", rows)


def _shortest(name: str, reasons: dict[str, str]) -> str:
    """Return the largest resource of a method all of whose methods are refused alike."""
    parts = name.split(".")
    for length in range(1, len(parts)):
        prefix = ".".join(parts[:length]) + "."
        alike = all(r == reasons[name] for n, r in reasons.items() if n.startswith(prefix))
        if alike and not any(works.startswith(prefix) for works in DIFFERS):
            return f"{prefix}*"
    return name


def _table(head: str, rows: list[list[str]]) -> str:
    columns = head.count("|") - 1
    lines = [head, "|" + "---|" * columns, *(f"| {' | '.join(row)} |" for row in rows)]
    return "".join(re.sub(r"\|  (?=\|)", "| ", line) + "\n" for line in lines)


def written(text: str) -> str:
    """The page with the tables as they are now."""
    documentation = Documentation()
    for table in (supported(documentation), refused(documentation)):
        head = table.partition("\n")[0]
        text = re.sub(re.escape(head) + r"\n(?:\|.*\n)*", lambda _, new=table: new, text)  # type: ignore[misc]
    return text


if __name__ == "__main__":
    text = PAGE.read_text("utf-8")
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(written(text), "utf-8")
    else:
        sys.stdout.write(written(text))
