"""Tests of sending a job's metrics to MLflow: what is sent, and that failures lose nothing."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from service.core import clock
from service.core.storage import Storage
from service.files.records import Files
from service.jobs import result_files
from service.jobs.records import Status
from service.jobs.tracking.records import DUE
from service.standalone.services import free_port
from tests.jobs.tracking.conftest import ROW_TEXT, STEPS, TOKEN, Site
from tests.jobs.tracking.server import MlflowServer


def only_run(server: MlflowServer) -> dict[str, Any]:
    """Return the data of the server's only run, by key."""
    (run,) = server.runs.values()
    return run["info"] | {
        "tags": {tag["key"]: tag["value"] for tag in run["data"]["tags"]},
        "params": {param["key"]: param["value"] for param in run["data"]["params"]},
        "losses": [m["value"] for m in run["data"]["metrics"] if m["key"] == "train_loss"],
        "steps": [m["step"] for m in run["data"]["metrics"] if m["key"] == "train_loss"],
        "names": {m["key"] for m in run["data"]["metrics"]},
    }


async def test_the_run_has_every_number_and_no_text(site: Site, server: MlflowServer, caplog):
    caplog.set_level(logging.DEBUG)
    await site.train(1, 70)
    await site.turn()
    assert only_run(server)["steps"] == list(range(1, 71))
    await site.train(71, STEPS)
    await site.end()
    await site.turn()
    run = only_run(server)
    assert run["steps"] == list(range(1, STEPS + 1))
    assert run["losses"] == [2.5 - number / 100 for number in run["steps"]]
    assert run["names"] == {
        *("train_loss", "train_mean_token_accuracy", "valid_loss"),
        *("learning_rate", "tokens_per_second", "trained_tokens"),
    }
    job = await site.current()
    assert (run["run_name"], run["start_time"]) == ("first", 1_800_000_000_000)
    assert (run["status"], run["end_time"]) == ("FINISHED", (job.finished_at or 0) * 1000)
    assert {"team": "support", "finetuned.job_id": job.id}.items() <= run["tags"].items()
    assert run["tags"]["finetuned.fine_tuned_model"] == "ft:acme"
    assert {"method": "supervised", "lora.r": "auto", "seed": "1"}.items() <= run["params"].items()
    assert ROW_TEXT not in server.sent
    assert set(server.authorizations) == {f"Bearer {TOKEN}"}
    assert TOKEN not in caplog.text
    assert await site.left() == []
    (event,) = [e for e in await site.events("info") if e.data]
    assert job.mlflow_run is not None
    assert event.data["run_id"] == run["run_id"] == job.mlflow_run.run_id


@pytest.mark.parametrize(
    ("status", "shown"), [(Status.FAILED, "FAILED"), (Status.CANCELLED, "KILLED")]
)
async def test_a_job_that_did_not_succeed_ends_its_run(site, server, status, shown):
    await site.end(status)
    await site.turn()
    run = only_run(server)
    assert (run["status"], run["steps"]) == (shown, [])
    assert run["params"]["training_file"] == "file-a"
    assert ROW_TEXT not in server.sent
    assert await site.left() == []


async def test_nothing_is_sent_before_the_job_starts(site: Site, server: MlflowServer):
    await site._change(lambda job: job.model_copy(update={"started_at": None}))
    await site.turn()
    assert server.requests == []
    assert await site.redis.zscore(DUE, f"proj_a/{site.job.id}") > clock.now_s() + 20


async def test_lost_answers_repeat_nothing(site: Site, server: MlflowServer):
    """Each request is carried out, but its first answer is lost, as when a worker is killed."""
    await site.train(1, STEPS)
    await site.end()
    for _ in range(20):
        if not await site.left():
            break
        server.statuses = [503]
        await site.turn()
        server.statuses = []
        await site.turn()
    run = only_run(server)
    assert run["steps"] == list(range(1, STEPS + 1))
    assert run["status"] == "FINISHED"
    assert len([e for e in await site.events("info") if "run_id" in e.data]) == 1
    (warning,) = await site.events("warn")
    assert warning.data["code"] == "mlflow_unavailable"
    assert "HTTP 503" in warning.message


async def test_two_workers_make_one_run(site: Site, server: MlflowServer):
    await site.train(1, STEPS)
    await site.end()
    await asyncio.gather(*(site.tracker(name).once() for name in ("a", "b", "c")))
    await site.turn()
    assert only_run(server)["steps"] == list(range(1, STEPS + 1))


async def test_a_server_that_is_away_is_reported_once_and_gets_everything_later(
    site: Site, server: MlflowServer, caplog
):
    url, port = server.url, free_port()
    await _point_at(site, f"http://127.0.0.1:{port}")
    await site.train(1, 5)
    for failures in (1, 2, 3):
        await site.turn()
        run = await site.tracker()._runs.records.get("proj_a", site.job.id)
        assert run is not None
        assert run.failures == failures
        assert await site.redis.zscore(DUE, f"proj_a/{site.job.id}") > clock.now_s() + 2
    (warning,) = await site.events("warn")
    assert warning.data == {"code": "mlflow_unreachable"}
    assert "not affected" in warning.message
    assert (await site.current()).status is Status.RUNNING
    await _point_at(site, url)
    await site.turn()
    assert only_run(server)["steps"] == [1, 2, 3, 4, 5]


async def test_redirects_are_not_followed(site: Site, server: MlflowServer):
    server.moved_to = f"{server.url}/elsewhere"
    await site.turn()
    assert [path.partition("?")[0] for path, _ in server.requests] == [
        "/api/2.0/mlflow/experiments/get-by-name"
    ]
    (warning,) = await site.events("warn")
    assert warning.data == {"code": "mlflow_not_mlflow"}


async def test_a_server_that_is_no_longer_allowed_gets_nothing(site: Site, server: MlflowServer):
    site.settings.mlflow_tracking_uris = ("https://mlflow.example",)
    await site.train(1, 5)
    await site.turn()
    assert server.requests == []
    (warning,) = await site.events("warn")
    assert warning.data == {"code": "mlflow_not_allowed"}


async def test_refusals_show_no_text_of_the_server(site: Site, server: MlflowServer, caplog):
    await site.turn()
    server.statuses = [401]
    await site.train(1, 5)
    await site.turn()
    (warning,) = await site.events("warn")
    assert "refuses the operator's credentials (HTTP 401)" in warning.message
    server.runs.clear()
    await site.train(6, 9)
    await site.turn()
    assert len(await site.events("warn")) == 2
    assert "a secret of the server" not in caplog.text


async def test_a_week_after_the_end_of_the_job_it_gives_up(site: Site, server: MlflowServer):
    await _point_at(site, f"http://127.0.0.1:{free_port()}")
    await site.end()
    await site.turn()
    week_s = 7 * 24 * 3600 + 1
    await site._change(lambda job: job.model_copy(update={"finished_at": clock.now_s() - week_s}))
    await site.turn()
    first, last = await site.events("warn")
    assert "sent later" in first.message
    assert "will not be sent" in last.message
    assert await site.left() == []


async def test_metrics_stay_until_they_are_sent(site: Site, server: MlflowServer):
    files = Files(site.redis, Storage.from_url(site.settings.storage_url))
    await site.train(1, 5)
    await site.end(Status.CANCELLED)
    await result_files.remove_old_metrics(site.jobs, files, clock.now_s())
    assert await site.jobs.has_metrics("proj_a", site.job.id)
    await site.turn()
    await result_files.remove_old_metrics(site.jobs, files, clock.now_s())
    assert not await site.jobs.has_metrics("proj_a", site.job.id)
    assert only_run(server)["steps"] == [1, 2, 3, 4, 5]


async def test_a_worker_of_the_cpu_queue_sends_the_metrics(site: Site, server, work):
    await site.train(1, 5)
    async with work("cpu"), asyncio.timeout(60):
        while not server.runs or not only_run(server)["steps"]:
            await asyncio.sleep(0.05)
    assert only_run(server)["steps"] == [1, 2, 3, 4, 5]


async def _point_at(site: Site, url: str) -> None:
    """Let the job's run be on another server, which is allowed."""
    site.settings.mlflow_tracking_uris = (url,)
    run = site.job.mlflow_run
    assert run is not None
    changed = run.model_copy(update={"tracking_uri": url})
    await site._change(lambda job: job.model_copy(update={"mlflow_run": changed}))
