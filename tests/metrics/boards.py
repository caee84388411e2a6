"""The dashboards, and their queries as Grafana sends them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent.parent / "helm" / "finetuned" / "files" / "dashboards"
BOARDS = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.json"))}


@dataclass(frozen=True)
class Query:
    """A query of a panel."""

    board: str
    panel: str
    expr: str

    def sent(self, rate_interval: str = "1m", span_s: int = 300) -> str:
        """Return the query with Grafana's variables replaced: "all" for lists, no other label."""
        text = self.expr.replace("$__rate_interval", rate_interval)
        text = text.replace("$__range_s", str(span_s)).replace("$__range", f"{span_s}s")
        for variable in BOARDS[self.board]["templating"]["list"]:
            text = text.replace(f"${variable['name']}", variable.get("allValue", ""))
        return text


def queries() -> Iterator[Query]:
    for name, board in BOARDS.items():
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                yield Query(name, panel["title"], target["expr"])


def required(program: str) -> str:
    """Return the path of a program of Prometheus, which may be missing on a developer's machine."""
    found = shutil.which(program)
    if found is None:
        why = f"{program} is not installed (Debian: apt-get install prometheus)"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    return found
