"""Tests of dashboards and alerts: valid PromQL on existing metrics, and a runbook per alert."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.core.metrics import declared
from tests.metrics.boards import BOARDS, queries

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


ROOT = Path(__file__).parent.parent.parent
ALERTS = ROOT / "helm" / "finetuned" / "files" / "alerts.yaml"
CASES = Path(__file__).parent / "alerts.test.yaml"
RUNBOOK = ROOT / "docs" / "runbook.md"
METRIC = re.compile(r"\b(?:finetuned_|vllm:)[a-z_]+")


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed (Debian: apt-get install promtool)")
    return found


def test_the_rules_are_valid(promtool):
    done = subprocess.run([promtool, "check", "rules", ALERTS], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_fire_only_when_they_should(promtool):
    done = subprocess.run([promtool, "test", "rules", CASES], capture_output=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


def test_every_alert_has_a_case_that_fires_it_and_one_that_does_not():
    well, *ill = yaml.safe_load(CASES.read_text("utf-8"))["tests"]
    fired = str(ill)
    assert [rule["alert"] for rule in rules() if rule["alert"] not in fired] == []
    # It does not fire because of missing series, but because of their values.
    assert well["promql_expr_test"][0]["exp_samples"] == []
    given = METRIC.findall(str(well["input_series"]))
    used = {name for rule in rules() for name in METRIC.findall(rule["expr"])}
    assert used - set(given) == set()


@pytest.mark.parametrize("rule", rules(), ids=lambda r: r["alert"])
def test_every_alert_has_its_runbook(rule):
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert ROOT / page == RUNBOOK
    assert anchor == rule["alert"].lower()
    heading = re.compile(rf"^## {rule['alert']}\n\n\S", re.MULTILINE)
    assert heading.search(RUNBOOK.read_text("utf-8")), "no such section with a text"
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"].endswith(".")


def test_each_section_of_the_runbook_has_its_alert():
    sections = re.findall(r"^## (Finetuned\w+)$", RUNBOOK.read_text("utf-8"), re.MULTILINE)
    assert sections == [rule["alert"] for rule in rules()]


def test_alerts_use_metrics_that_exist():
    ours = {m.name for m in declared()}
    for rule in rules():
        for name in METRIC.findall(rule["expr"]):
            plain = re.sub(r"_(bucket|sum|count)$", "", name)
            assert name.startswith("vllm:") or plain in ours, name
