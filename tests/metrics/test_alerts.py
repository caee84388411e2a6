"""Tests that alerts fire only when they should, and that each has a runbook entry."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.core.metrics import declared

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


def test_alerts_fire_when_they_should_and_not_else(promtool):
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


def test_the_runbook_has_no_section_of_an_alert_that_is_gone():
    sections = re.findall(r"^## (Finetuned\w+)$", RUNBOOK.read_text("utf-8"), re.MULTILINE)
    assert sections == [rule["alert"] for rule in rules()]


def test_alerts_use_metrics_that_exist():
    ours = {m.name for m in declared()}
    for rule in rules():
        for name in METRIC.findall(rule["expr"]):
            plain = re.sub(r"_(bucket|sum|count)$", "", name)
            assert name.startswith("vllm:") or plain in ours, name
