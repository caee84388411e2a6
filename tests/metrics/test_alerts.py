"""Tests of alerts: they fire when they should, for each installation, and the runbook has them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.helm_tools import folder
from service.core.metrics import declared
from tests.helm.support import MODEL, Helm, Manifest, Refused
from tests.metrics.boards import required

ROOT = Path(__file__).parent.parent.parent
ALERTS = ROOT / "helm" / "finetuned" / "files" / "alerts.yaml"
CASES = Path(__file__).parent / "alerts.test.yaml"
RUNBOOK = ROOT / "docs" / "runbook.md"
METRIC = re.compile(r"\b(?:finetuned_|vllm:)[a-z_]+")
SELECTOR = re.compile(r"\b(?:finetuned[_:]|vllm:)[a-z0-9_:]+(\{[^}]*\})?")
WELL, ILL, *OTHERS = yaml.safe_load(CASES.read_text("utf-8"))["tests"]
# Here, because it takes longer than the others: `backup.maxAgeSeconds` below.
NO_BACKUP = {
    "name": "no backup is made",
    "interval": "1m",
    "input_series": [{"series": 'finetuned_build_info{process="api"}', "values": "1x300"}],
    "promql_expr_test": [
        {"expr": 'ALERTS{alertstate="firing"}', "eval_time": "175m", "exp_samples": []},
        {
            "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
            "eval_time": "185m",
            "exp_samples": [{"labels": '{alertname="FinetunedBackupMissing"}', "value": 1}],
        },
    ],
}


def rules_of(spec: Manifest) -> list[dict[str, Any]]:
    return [rule for group in spec["groups"] for rule in group["rules"]]


RULES = rules_of(yaml.safe_load(ALERTS.read_text("utf-8")))
NAMES = list(dict.fromkeys(rule["alert"] for rule in RULES if "alert" in rule))


@pytest.fixture(scope="module")
def promtool() -> Callable[..., None]:
    """Run promtool, which must succeed."""
    program = required("promtool")

    def run(*arguments: str | Path) -> None:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    return run


def test_the_rules_are_valid(promtool):
    promtool("check", "rules", ALERTS)


def test_alerts_fire_only_when_they_should(promtool):
    promtool("test", "rules", CASES)


def test_every_alert_has_a_case_that_fires_it_and_one_that_does_not():
    fired = str([ILL, *OTHERS, NO_BACKUP])
    assert [name for name in NAMES if name not in fired] == []
    # It does not fire because of missing series, but because of their values.
    assert WELL["promql_expr_test"][0]["exp_samples"] == []
    given = METRIC.findall(str(WELL["input_series"]))
    used = {name for rule in RULES for name in METRIC.findall(rule["expr"])}
    assert used - set(given) == set()


@pytest.mark.parametrize("rule", [r for r in RULES if "alert" in r], ids=lambda r: r["alert"])
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
    assert sections == NAMES


def test_alerts_use_metrics_that_exist():
    ours = {m.name for m in declared()}
    for rule in RULES:
        for name in METRIC.findall(rule["expr"]):
            plain = re.sub(r"_(bucket|sum|count)$", "", name)
            assert name.startswith("vllm:") or plain in ours, name


# Of several installations

PROD, TEST, ELSEWHERE = ("bank", "prod"), ("bank", "test"), ("other", "prod")
Installation = tuple[str, str]
"""The namespace and the name of a release."""


@pytest.fixture(scope="module")
def render() -> Callable[..., Manifest]:
    """Render the rules of an installation."""

    def run(installation: Installation, alerts: Manifest | None = None, **more: Any) -> Manifest:
        helm = Helm(folder(4) / "helm")
        monitoring = {"prometheusRule": {"enabled": True, **(alerts or {})}}
        values = {"models": [MODEL], "monitoring": monitoring, **more}
        namespace, release = installation
        text = helm.run(
            *("template", release, str(helm.chart), "--namespace", namespace),
            values=values,
        )
        objects = [o for o in yaml.safe_load_all(text) if o]
        return next(o for o in objects if o["kind"] == "PrometheusRule")["spec"]

    return run


def series_of(case: Manifest, installation: Installation) -> list[Manifest]:
    """Return a case's series with the labels that the ServiceMonitors of a release add."""
    namespace, release = installation
    labels = f',namespace="{namespace}",release="{release}"}}'
    return [{**s, "series": s["series"][:-1] + labels} for s in case["input_series"]]


def for_installations(case: Manifest, broken: Installation) -> Manifest:
    """Return a case in which one installation is broken, and the others are well."""
    series = series_of(case, broken)
    for healthy in {PROD, TEST, ELSEWHERE} - {broken}:
        series += series_of(WELL, healthy)
    checks = []
    for check in case["promql_expr_test"]:
        for namespace, release in (PROD, TEST, ELSEWHERE):
            of = f'{{namespace="{namespace}",release="{release}",'
            asked = {**check, "expr": check["expr"].replace("{", of)}
            if (namespace, release) == broken:
                checks.append(asked)
            elif int(check["eval_time"][:-1]) <= 120:  # the series of the others end then
                checks.append({**asked, "exp_samples": []})
    return {**case, "input_series": series, "promql_expr_test": checks, "alert_rule_test": []}


@pytest.mark.slow
def test_a_broken_installation_is_reported_beside_healthy_ones(tmp_path, promtool, render):
    """Every alert, in the namespace of a healthy release, and with the name of another one."""
    backup = {"enabled": True, "maxAgeSeconds": 10800}
    values = {"inference": {"startupMinutes": 10}, "backup": backup}
    alerts = {"alerts": {"FinetunedBackupOld": {"threshold": 93600}}}
    for installation in (PROD, TEST, ELSEWHERE):
        spec = render(installation, alerts, **values)
        (tmp_path / f"rules-{'-'.join(installation)}.yaml").write_text(yaml.safe_dump(spec))
    asked = (ILL, NO_BACKUP, *(c for c in OTHERS if "FinetunedApiDown" in str(c)))
    tests = [for_installations(case, PROD) for case in asked]
    file = tmp_path / "cases.yaml"
    rules = {"rule_files": ["rules-*.yaml"], "evaluation_interval": "5m"}
    file.write_text(yaml.safe_dump({**rules, "tests": tests}, width=1000))
    promtool("test", "rules", file)


@pytest.mark.slow
def test_every_selector_and_rule_is_of_one_release(render):
    rules = rules_of(render(PROD))
    assert len(rules) == len(RULES) - 1  # without backups, FinetunedBackupMissing
    for rule in rules:
        assert {"namespace": "bank", "release": "prod"}.items() <= rule["labels"].items()
        for found in SELECTOR.finditer(rule["expr"]):
            assert '{namespace="bank",release="prod"' in str(found[1]), rule["expr"]


@pytest.mark.slow
def test_values_change_constants_and_alerts(render, promtool, tmp_path):
    changed = {
        "runbookUrl": "https://docs.example/runbook.html",
        "chatsObjective": 0.99,
        "gpuHourPrice": 2.5,
        "alerts": {
            "FinetunedQueueLong": {"for": "1h", "threshold": 28800, "severity": "critical"},
            "FinetunedApiSlow": {"enabled": False},
        },
    }
    spec = render(PROD, changed)
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(spec))
    promtool("check", "rules", tmp_path / "rules.yaml")
    by_name = {rule.get("alert", rule.get("record")): rule for rule in rules_of(spec)}
    assert by_name["finetuned:chats:objective"]["expr"] == "vector(0.99)"
    assert by_name["finetuned:gpu_hour:price"]["expr"] == "vector(2.5)"
    assert "FinetunedApiSlow" not in by_name
    queue = by_name["FinetunedQueueLong"]
    assert queue["expr"].endswith("> 28800")
    assert (queue["for"], queue["labels"]["severity"]) == ("1h", "critical")
    where = "https://docs.example/runbook.html#finetunedqueuelong"
    assert queue["annotations"]["runbook_url"] == where
    # Without an address, a relative link would lead nowhere.
    annotations = rules_of(render(PROD))[-1]["annotations"]
    assert "runbook_url" not in annotations
    assert annotations["runbook"].startswith("docs/runbook.md#finetuned")
    with pytest.raises(Refused, match=r"there is no alert FinetunedTypo; docs/runbook.md lists"):
        render(PROD, {"alerts": {"FinetunedTypo": {"enabled": False}}})


@pytest.mark.slow
def test_an_engine_may_load_sleep_and_be_scaled_to_zero(render):
    def expr(**values: Any) -> dict[str, Any]:
        rules = rules_of(render(PROD, **values))
        return next(r for r in rules if r.get("alert") == "FinetunedEngineDown")

    assert expr(inference={"startupMinutes": 60})["for"] == "65m"
    assert " unless " not in expr()["expr"]
    sleeps = expr(gpuSharing="time-slice")["expr"]
    assert sleeps.endswith(
        'unless on() sum(finetuned_worker_jobs_running{namespace="bank",release="prod"}) > 0'
    )
