"""Tests of `rehearse` on this machine: the real trainer on a tiny model."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli import rehearse
from service.cli.app import app
from service.cli.rehearse import Report, Step

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
FULL = os.environ.get("FINETUNED_REHEARSAL") == "1"
FEW = ("doctor", "training in NF4", "adapter as PEFT loads it")
SAME = ("packed as one by one", "the same twice", "resumed as uninterrupted")


@pytest.mark.timeout(1800)
def test_a_rehearsal_runs_the_trainer_and_says_what_stays_unknown(
    tiny_model_path, tmp_path, monkeypatch
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    if not FULL:
        every = rehearse._steps
        few = lambda *given: [step for step in every(*given) if step[0] in FEW]  # noqa: E731
        monkeypatch.setattr(rehearse, "_steps", few)
    output = tmp_path / "report"
    options = ["--output", str(output), "--data-dir", str(tmp_path / "var")]
    done = CliRunner().invoke(app, ["rehearse", str(tiny_model_path), *options])
    saved = json.loads((output / "rehearsal.json").read_text("utf-8"))
    steps = {step["name"]: step for step in saved["steps"]}
    others = [step for name, step in steps.items() if name not in ("doctor", "plan")]
    assert [step for step in others if step["status"] not in ("ok", "skipped")] == []
    assert steps["training in NF4"]["figures"]["tokens_per_second"] > 0
    for name in SAME if FULL else ():
        assert steps[name]["figures"]["largest_difference"] <= 0.02
    if FULL:
        assert steps["the same twice"]["found"] == "losses are the same, bit for bit"
    assert "several GPUs" in " ".join(saved["unknown"])
    assert "Not known after this" in done.output
    assert "shelf" not in (output / "rehearsal.json").read_text("utf-8")  # no training row
    again = CliRunner().invoke(app, ["rehearse", str(tiny_model_path), "--output", str(output)])
    assert (again.exit_code, "name a new folder" in again.output) == (1, True)


def test_a_folder_without_a_model_is_refused(tmp_path: Path):
    done = CliRunner().invoke(app, ["rehearse", str(tmp_path)])
    assert done.exit_code == 1
    assert "is no base model" in done.output


def test_a_step_that_differs_fails_the_rehearsal():
    steps = [Step("plan", "ok", "a|b"), Step("the same twice", "differs", "within 9%")]
    report = Report("1", {"device": "L4"}, {"torch": "2"}, steps, ("speed",))
    assert report.has_failed
    assert "| ✓ plan | a/b | 0 |" in report.as_text()
