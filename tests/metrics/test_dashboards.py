"""Tests that dashboards are complete and query existing metrics with valid PromQL."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest
import yaml

from service.core.metrics import declared
from tests.metrics.boards import BOARDS, queries

QUERIES = list(queries())


def test_the_four_are_there():
    assert sorted(BOARDS) == ["overview", "serving", "tenants", "training"]
    assert len({board["uid"] for board in BOARDS.values()}) == 4


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_a_board_names_no_data_source_and_no_panel_lies_on_another(name):
    board = BOARDS[name]
    sources = re.findall(r'"uid": ?"([^"]*)"', json.dumps(board["panels"]))
    assert set(sources) == {"${datasource}"}
    assert board["templating"]["list"][0]["type"] == "datasource"
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
        if panel["type"] != "row":
            assert panel["targets"]
            assert panel["fieldConfig"]["defaults"]["unit"]


def test_queries_ask_for_metrics_and_labels_that_exist():
    labels = {m.name: {*m.labels, "le", "instance"} for m in declared()}
    for query in QUERIES:
        for name, chosen in re.findall(r"\b(finetuned_[a-z_]+)(?:\{([^}]*)\})?", query.expr):
            plain = re.sub(r"_(bucket|sum|count)$", "", name)
            assert plain in labels, query
            asked = re.findall(r'(\w+)(?:=~|!~|=|!=)"', chosen or "")
            assert set(asked) <= labels[plain], query


def test_promtool_understands_every_query(tmp_path):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: apt-get install promtool)")
    # As recording rules: promtool has no other way to parse without a server.
    rules = [{"record": f"q:{i}", "expr": q.sent()} for i, q in enumerate(QUERIES)]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "boards", "rules": rules}]}))
    done = subprocess.run([promtool, "check", "rules", file], capture_output=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    assert f"SUCCESS: {len(QUERIES)} rules found" in done.stdout.decode()
