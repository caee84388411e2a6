"""Tests that every metric is declared in one place, follows the naming rules and is documented."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from service.cli.reference import metrics_page as page
from service.core.metrics import declared

ROOT = Path(__file__).parent.parent.parent
# Each has a small set of values; consider this before adding a label.
BOUNDED = {
    "alias",  # the aliases that changed last, up to a limit
    "base_model",  # the catalog
    "direction",
    "gpu",
    "kind",
    "limit",
    "loop",
    "method",
    "operation",
    "outcome",
    "phase",
    "place",
    "process",
    "project",  # up to a limit, then `other`
    "queue",
    "reason",
    "route",
    "scope",
    "source",
    "state",
    "status",
    "streamed",
    "version",
    "width",
}


def test_the_page_is_up_to_date():
    written = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    assert written == page(), "run 'make metrics-docs'"


def test_every_metric_of_the_code_is_in_the_catalogue():
    ours = set(re.findall(r"^# TYPE (finetuned_\w+) ", generate_latest().decode(), re.MULTILINE))
    assert ours == {m.name for m in declared()}


@pytest.mark.parametrize("metric", declared(), ids=lambda m: m.name)
def test_names_labels_and_words(metric):
    assert re.fullmatch(r"finetuned_[a-z_]+", metric.name)
    assert (metric.kind == "counter") == metric.name.endswith("_total")
    if metric.kind == "histogram":
        assert metric.name.endswith("_seconds")
    assert set(metric.labels) <= BOUNDED
    assert metric.documentation.endswith(".")


def test_promtool_finds_no_fault():
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: apt-get install promtool)")
    done = subprocess.run(
        [promtool, "check", "metrics"], input=generate_latest(), capture_output=True, check=False
    )
    ours = [x for x in done.stdout.decode().splitlines() if x.startswith("finetuned_")]
    assert ours == []
    assert b"error while linting" not in done.stderr
