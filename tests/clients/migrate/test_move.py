"""Tests of `finetuned leave-openai plan`, `retrain` and `report` against a real api."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import finetuned
import numpy as np
import openai
import pytest
from finetuned import errors
from finetuned_migrate.cli.documents import markdown, text
from finetuned_migrate.openai import Archive, Compared, Prompts, Recorder, Settings, Source
from finetuned_migrate.openai.changes import Change, conclude, interval
from finetuned_migrate.openai.report import Row
from finetuned_migrate.openai.request import method_of, obstacles
from finetuned_migrate.openai.source import OldModel

from service.verdict.intervals import Clusters, difference_interval
from tests.clients.migrate.openai_account import KEY, MODEL, OTHER, Account
from tests.clients.python.commands import Cli
from tests.conftest import BASE_MODEL
from tests.http_server import http_server

pytestmark = pytest.mark.slow
PREFERENCES = "ft:gpt-4o-2024-08-06:acme:choices:p1"
REINFORCED = "ft:o4-mini-2025-04-16:acme::r1"
PICTURES = "ft:gpt-4o-2024-08-06:acme::v1"
CHECKPOINT = f"{MODEL}:ckpt-step-80"
ROW = {
    "messages": [
        {"role": "user", "content": "When is the lamp lit?"},
        {"role": "assistant", "content": "The lamp is lit at dusk, reader."},
    ]
}
PICTURE = {
    "messages": [
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": "https://acme.test/x.png"}}],
        },
        {"role": "assistant", "content": "A lamp."},
    ]
}


def trained(model: str, file: str, method: dict[str, Any] | None = None) -> dict[str, Any]:
    """A job of the account that trained a model on a file."""
    options = {"n_epochs": 2, "batch_size": 3, "learning_rate_multiplier": 1.8}
    method = method or {"type": "supervised", "supervised": {"hyperparameters": options}}
    return {
        "id": f"ftjob-{file.removeprefix('file-')}",
        "object": "fine_tuning.job",
        "created_at": 1,
        "fine_tuned_model": model,
        "model": "gpt-4o-2024-08-06",
        "hyperparameters": options,
        "method": method,
        "organization_id": "org-acme",
        "result_files": [],
        "seed": 42,
        "status": "succeeded",
        "training_file": file,
    }


@pytest.fixture
async def source(tmp_path: Path) -> Source:
    """The archive of an account with a model of each kind."""
    account = Account()
    account.models = [MODEL, PREFERENCES, REINFORCED, PICTURES, CHECKPOINT, OTHER]
    account.jobs = [
        trained(MODEL, "file-0"),
        trained(
            PREFERENCES,
            "file-1",
            {"type": "dpo", "dpo": {"hyperparameters": {"n_epochs": 4, "beta": 0.2}}},
        ),
        trained(REINFORCED, "file-2", {"type": "reinforcement"}),
        trained(PICTURES, "file-3"),
    ]
    line = json.dumps(ROW).encode()
    account.contents = {
        "file-0": b"\n".join([line] * 12),
        "file-3": line + b"\n" + json.dumps(PICTURE).encode(),
    }
    archive = Archive(tmp_path / "archive")
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text(json.dumps(ROW), "utf-8")

    def record(url: str) -> None:
        with openai.OpenAI(api_key=KEY, base_url=f"{url}/v1") as client:
            settings = Settings(max_tokens=20, requests_per_minute=60_000)
            Recorder(client, Prompts.read(prompts), settings).record(archive)

    async with http_server(account.serve) as url:
        await asyncio.to_thread(record, url)
    return Source.open(archive.folder)


@pytest.fixture
def command(cli: Cli, source: Source) -> Callable[..., Any]:
    """Run a command on the archive: its exit code and what it printed."""

    async def go(name: str, *more: str) -> tuple[int, str, str]:
        done = await cli("leave-openai", name, str(source.folder), *more)
        return done.code, done.out, done.err

    return go


async def test_the_plan_names_what_fits_differs_and_stays(command, client):
    code, out, err = await command("plan", "--json")
    assert code == 0, err
    plan = json.loads(out)
    models = {one["model"]: one for one in plan["models"]}
    assert [name for name, one in models.items() if one["migrates"]] == sorted([MODEL, PREFERENCES])
    assert "checkpoint" in models[CHECKPOINT]["obstacles"][0]
    assert "reinforcement, is not repeated here" in models[REINFORCED]["obstacles"][0]
    assert "1 of 2 rows have images" in models[PICTURES]["obstacles"][0]
    assert "no job that trained it" in models[OTHER]["obstacles"][0]
    kept = models[MODEL]
    assert (kept["method"], kept["rows"], kept["answers"]) == ("supervised", 12, 1)
    assert any("learning_rate_multiplier: 1.8" in one for one in kept["differences"])
    (fit,) = kept["bases"]
    assert (fit["base"], fit["license"], fit["context_length"]) == (BASE_MODEL, "mit", 2048)
    assert fit["fits"] is None
    assert any("once the file is uploaded" in reason for reason in fit["reasons"])
    assert "3 evals" in [one["what"] for one in plan["left_behind"]]
    assert [file async for file in client.files.list()] == []
    code, out, _ = await command("plan", "--only", MODEL)
    assert code == 0
    assert f"{BASE_MODEL}\tunknown\tmit\t2,048" in out
    assert (await command("plan", "--model", "gpt-4o"))[0] == 4
    assert (await command("plan", "--only", "ft:gone"))[0] == 1


async def test_a_repeated_training_sends_nothing_twice_and_replaces_a_job_that_ended(
    command, work, client
):
    options = ("--model", BASE_MODEL, "--only", MODEL, "--only", REINFORCED, "--no-wait", "--json")
    async with work("cpu"):
        results = [await command("retrain", *options) for _ in range(2)]
        first = json.loads(results[0][1])[0]["job"]
        await client.fine_tuning.jobs.cancel(first)
        results.append(await command("retrain", *options))
    for code, out, err in results:
        done, refused = json.loads(out)
        assert code == 5
        assert (done["model"], done["new_model"], done["alias"]) == (MODEL, None, None)
        assert (refused["model"], refused["status"]) == (REINFORCED, "refused")
        assert "reinforcement" in refused["reason"]
        assert json.loads(err)["error"]["code"] == "not_retrained"
    again, second = (json.loads(out)[0]["job"] for _, out, _ in results[1:])
    assert again == first != second
    (file,) = [file async for file in client.files.list()]
    assert (file.rows, file.filename.startswith("file-0-")) == (12, True)
    jobs = [job async for job in client.fine_tuning.jobs.list(metadata={"openai_model": MODEL})]
    assert [job.id for job in jobs] == [second, first]
    assert {(job.seed, job.training_file) for job in jobs} == {(42, file.id)}
    (code, out, _) = await command("report", "--only", MODEL, "--json")
    (report,) = json.loads(out)
    assert (code, report["verdict"], report["passed"]) == (1, "no_model", False)


async def test_a_job_is_found_again_by_its_own_project_alone(api, cli, command, work, client):
    options = ("--model", BASE_MODEL, "--only", MODEL, "--no-wait", "--json")
    async with work("cpu"):
        first = json.loads((await command("retrain", *options))[1])[0]["job"]
        other_key = await api.key("other")
        cli.env["FINETUNED_API_KEY"] = other_key
        second = json.loads((await command("retrain", *options))[1])[0]["job"]
    assert first != second
    async with finetuned.AsyncClient(api_key=other_key, base_url=api.base_url) as other:
        assert [job.id async for job in other.fine_tuning.jobs.list()] == [second]
        assert len([file async for file in other.files.list()]) == 1
    assert len([file async for file in client.files.list()]) == 1


async def test_the_method_is_that_of_the_old_job(source):
    models = {model.name: model for model in source.models()}
    assert method_of(models[MODEL]) == {
        "type": "supervised",
        "supervised": {"hyperparameters": {"n_epochs": 2}},
    }
    assert method_of(models[PREFERENCES]) == {
        "type": "dpo",
        "dpo": {"hyperparameters": {"n_epochs": 4, "beta": 0.2}},
    }
    assert (models[PREFERENCES].suffix, models[MODEL].suffix) == ("choices", None)
    gone = OldModel("ft:gpt-4o:acme::x", {"id": "ftjob-1", "training_file": "file-gone"})
    assert "it was deleted before" in obstacles(gone, source)[0]


async def test_a_damaged_or_unfinished_archive_is_refused(source, tmp_path):
    (source.folder / "files" / "file-0").write_bytes(b"changed")
    with pytest.raises(errors.BadRequest, match=r"1 files of .* differ .*: files/file-0"):
        Source.open(source.folder)
    (source.folder / "manifest.json").unlink()
    with pytest.raises(errors.BadRequest, match="is not complete"):
        Source.open(source.folder)
    with pytest.raises(errors.BadRequest, match="is not an archive"):
        Source.open(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("change", "verdict"),
    [(0.0, "as_good"), (0.2, "as_good"), (-0.005, "as_good"), (-0.3, "worse")],
)
def test_the_verdict_follows_the_change(change, verdict):
    pairs = [(0.5 + n / 1000, 0.5 + n / 1000 + change) for n in range(200)]
    assert conclude([Change.of("tone", pairs)])[0] == verdict
    few, sentence = conclude([Change.of("tone", pairs[:19])])
    assert few == "cannot_tell"
    assert sentence.endswith("Record at least 20 prompts.")


def test_an_uncertain_change_is_no_verdict():
    pairs = [(0.5, 0.5 + (0.4 if n % 2 else -0.4)) for n in range(20)]
    change = Change.of("tone", pairs)
    assert change.low < -2 < 0 < change.high
    assert conclude([change])[0] == "cannot_tell"
    assert conclude([])[0] == "cannot_tell"
    assert conclude([change, Change.of("facts", [(1.0, 0.0)] * 30)])[0] == "worse"
    _, sentence = conclude([Change.of("facts", [(1.0, 0.0)] * 29)])
    assert sentence.endswith("Record at least 30 prompts.")


@pytest.mark.parametrize("rows", [10, 30, 60])
def test_a_drop_of_ten_points_does_not_count_as_good(rows):
    random = np.random.default_rng(38)
    drawn = [
        [(1.0, float(random.random() >= 0.1)) for _ in range(rows)],
        [(0.6, 0.6 + random.choice([0.05, -0.65], p=[0.78, 0.22])) for _ in range(rows)],
    ]
    for _ in range(200):
        for pairs in drawn:
            assert conclude([Change.of("facts", pairs)])[0] != "as_good"


@pytest.mark.parametrize("rows", [10, 20, 300])
def test_the_interval_is_that_of_evaluations(rows):
    random = np.random.default_rng(rows)
    for skew in (0.0, 1.0):
        values = (random.normal(0, 0.1, rows) + skew * random.exponential(0.2, rows)).tolist()
        expected = difference_interval(Clusters.group(values, range(rows)), 0.6)
        assert interval(values, 0.6) == pytest.approx(expected, abs=1e-3)


def test_a_report_shows_answers_without_their_markup():
    row = Row(
        number=3,
        prompt="Open?",
        old="# Yes\x1b[31m",
        new="No",
        expected=None,
        error=None,
        old_scores={"tone": 90},
        new_scores={"tone": 10},
    )
    one = Compared(
        model=MODEL,
        new_model="ft:base:acme::x",
        verdict="worse",
        sentence="It is worse.",
        figures={"answers": 12},
        changes=[Change.of("tone", [(0.9, 0.1)] * 12)],
        worst=[row],
        failures=["It is worse."],
        forced=True,
        alias="moved",
    )
    shown = markdown([one])
    assert "\n    # Yes" in shown
    assert "### Prompt 3: tone 90 -> 10" in shown
    assert "moved anyway" in shown
    for report in (shown, text([one])):
        assert "\x1b" not in report
        assert "-80.0 (-82.6 to -56.2, 12 rows)" in report
