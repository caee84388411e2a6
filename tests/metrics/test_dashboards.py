"""Tests of dashboards: valid PromQL on existing metrics of one installation."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
import yaml

from service.core.metrics import declared
from tests.metrics.boards import BOARDS, queries, required

QUERIES = list(queries())


def test_there_are_four_dashboards():
    assert sorted(BOARDS) == ["overview", "serving", "tenants", "training"]
    assert len({board["uid"] for board in BOARDS.values()}) == 4


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_dashboards_have_no_fixed_data_source_and_no_overlapping_panels(name):
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
    labels = {m.name: {*m.labels, "le", "instance", "namespace", "release"} for m in declared()}
    for query in QUERIES:
        for name, chosen in re.findall(r"\b(finetuned_[a-z_]+)(?:\{([^}]*)\})?", query.expr):
            plain = re.sub(r"_(bucket|sum|count)$", "", name)
            assert plain in labels, query
            asked = re.findall(r'(\w+)(?:=~|!~|=|!=)"', chosen or "")
            assert set(asked) <= labels[plain], query


def test_every_query_is_of_one_installation():
    own = r'{namespace="$namespace",release="$release"'
    for name, board in BOARDS.items():
        exprs = [q.expr for q in QUERIES if q.board == name]
        lists = {v["name"]: v["query"] for v in board["templating"]["list"] if "query" in v}
        exprs += [v for k, v in lists.items() if k not in ("datasource", "namespace", "release")]
        assert {"namespace", "release"} <= set(lists)
        for expr in exprs:
            for found in re.finditer(r"\b(?:finetuned[_:]|vllm:)[a-z0-9_:]+(\{[^}]*)?", expr):
                assert str(found[1]).startswith(own), f"{name}: {expr}"


def test_promtool_understands_every_query(tmp_path):
    # As recording rules: promtool has no other way to parse without a server.
    rules = [{"record": f"q:{i}", "expr": q.sent()} for i, q in enumerate(QUERIES)]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "boards", "rules": rules}]}))
    done = subprocess.run(
        [required("promtool"), "check", "rules", file], capture_output=True, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    assert f"SUCCESS: {len(QUERIES)} rules found" in done.stdout.decode()
