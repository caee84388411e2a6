"""The dashboards, and their queries as Grafana sends them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent.parent.parent / "helm" / "finetuned" / "files" / "dashboards"
BOARDS = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.json"))}


@dataclass(frozen=True)
class Query:
    """A query of a panel."""

    board: str
    panel: str
    expr: str

    def sent(self, rate_interval: str = "1m", span: str = "5m") -> str:
        """Return the query with Grafana's variables replaced, "all" for lists."""
        text = self.expr.replace("$__rate_interval", rate_interval).replace("$__range", span)
        for variable in BOARDS[self.board]["templating"]["list"]:
            text = text.replace(f"${variable['name']}", variable.get("allValue", ""))
        return text


def queries() -> Iterator[Query]:
    for name, board in BOARDS.items():
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                yield Query(name, panel["title"], target["expr"])
