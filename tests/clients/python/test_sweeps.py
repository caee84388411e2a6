"""Tests of sweeps in the Python client and its command line."""

from __future__ import annotations

import finetuned
import pytest

from service.core import ids
from service.jobs.records import Status
from tests.conftest import BASE_MODEL, Api, chat_line

pytestmark = pytest.mark.slow


@pytest.fixture
def rows(tmp_path) -> str:
    lines = [chat_line(f"Question {n}?", f"Answer {n}.") for n in range(16)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    return "rows.jsonl"


async def test_create_show_list_and_cancel(api: Api, cli, client, work, rows):
    async with work("cpu"):
        made = await cli(
            *("sweeps", "create", rows, "--validation-share", "0.25", "--epochs", "2"),
            *("--learning-rate", "0.001", "--learning-rate", "0.002"),
            *("--lora-rank", "4", "--lora-rank", "8", "--metadata", "team=a"),
        )
    assert made.code == 0, made.err
    sweep_id = made.out.strip()
    sweep = await client.sweeps.retrieve(sweep_id)
    assert [trial.hyperparameters for trial in sweep.trials] == [
        {"learning_rate": rate, "lora": {"r": rank}} for rate in (0.001, 0.002) for rank in (4, 8)
    ]
    assert sweep.metadata == {"team": "a"}
    job = await client.fine_tuning.jobs.retrieve(sweep.trials[0].job_id)
    assert (job.hyperparameters.n_epochs, job.sweep_id) == (2, sweep_id)

    async def wait_with(loss: float, job_id: str) -> None:
        waiting = {"status": Status.PAUSED, "waits_for_sweep": True, "held_out_loss": loss}
        await api.app.state.jobs.records.update(
            job.organization_id, job_id, lambda one: one.model_copy(update=waiting)
        )

    await wait_with(1.25, sweep.trials[0].job_id)
    shown = await cli("sweeps", "show", sweep_id)
    (first,) = [line for line in shown.out.splitlines() if sweep.trials[0].job_id in line]
    for words in ("learning_rate 0.001, lora.r 4", "waiting", "1.25"):
        assert words in first, shown.out
    listed = await cli("sweeps", "list", "--wide")
    assert (sweep_id in listed.out, "in_progress" in listed.out) == (True, True)
    assert [one.id async for one in client.sweeps.list()] == [sweep_id]

    cancelled = await cli("sweeps", "cancel", sweep_id, "--json")
    assert cancelled.json()["status"] == "cancelled"
    seen: list[str] = []
    ended = await client.sweeps.wait(sweep_id, on_change=lambda one: seen.append(one.status))
    assert (ended.status, seen) == ("cancelled", ["cancelled"])


async def test_what_cannot_be_compared_is_refused(cli, client, work, rows):
    async with work("cpu"):
        refused = await cli("sweeps", "create", rows, "--learning-rate", "0.001")
        held_out = await cli(
            *("sweeps", "create", rows, "--learning-rate", "0.001", "--learning-rate", "0.002")
        )
    assert (refused.code, "2 to 16 trials" in refused.err) == (1, True)
    assert (held_out.code, "validation_file" in held_out.err) == (1, True)
    with pytest.raises(finetuned.NotFound):
        await client.sweeps.cancel(ids.new(ids.SWEEP))
    assert [one async for one in client.sweeps.list()] == []


async def test_create_from_a_file_with_the_request(cli, client, work, rows, tmp_path):
    request = tmp_path / "job.yaml"
    async with work("cpu"):
        file = await client.files.wait((await client.files.create(tmp_path / rows)).id)
        request.write_text(f"""
model: {BASE_MODEL}
training_file: {file.id}
method:
  type: supervised
  supervised:
    hyperparameters:
      learning_rate: 0.00001
      lora:
        r: 4
      validation_share: 0.25
suffix: "yes"
gate:
  chrf_gain: ">=5"
""")
        made = await cli("jobs", "create", "job.yaml", "--json")
        assert made.code == 0, made.err
        job = await client.fine_tuning.jobs.retrieve(made.json()["id"])
        request.write_text(f"{request.read_text()}values:\n  n_epochs: [1, 2]\n")
        swept = await cli("jobs", "create", "job.yaml")
        assert swept.code == 0, swept.err
        sweep = await client.sweeps.retrieve(swept.out.strip())
        request.write_text(f"{request.read_text()}priorty: 3\n")
        refused = await cli("jobs", "create", "job.yaml")
        request.write_text("- a list")
        no_fields = await cli("jobs", "create", "job.yaml")
    chosen = job.method["supervised"]["hyperparameters"]
    assert (chosen["learning_rate"], chosen["lora"]["r"]) == (0.00001, 4)
    assert (job.suffix, job.gate) == ("yes", {"chrf_gain": ">=5"})
    assert [trial.hyperparameters for trial in sweep.trials] == [{"n_epochs": 1}, {"n_epochs": 2}]
    assert (refused.code, "unknown fields: priorty" in refused.err) == (2, True)
    assert (no_fields.code, "training_file" in no_fields.err) == (2, True)
