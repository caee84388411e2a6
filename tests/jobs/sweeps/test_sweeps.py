"""Tests of sweeps over HTTP: creation, refusals, lists, cancel, and what the trials do."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from service.core import outbox
from service.jobs import lifecycle
from service.jobs.records import Status
from service.jobs.sweeps.halving import advance
from service.work.records import AttemptSuperseded
from tests.conftest import BASE_MODEL, Api, checked, upload
from tests.faults.children import ScriptedTrainer
from tests.jobs.sweeps.conftest import RATES, SHARE, SWEEPS, ended

JOBS = "/v1/fine_tuning/jobs"


@pytest.fixture
async def file_id(http, chats) -> str:
    return (await upload(http, chats(16))).json()["id"]


async def post(http: httpx.AsyncClient, file_id: str, **fields: Any) -> httpx.Response:
    body = {"model": BASE_MODEL, "training_file": file_id, "values": RATES} | SHARE | fields
    headers = {"idempotency-key": key} if (key := body.pop("key", None)) else {}
    return await http.post(SWEEPS, json=body, headers=headers)


async def create(http: httpx.AsyncClient, file_id: str, **fields: Any) -> dict[str, Any]:
    answer = await post(http, file_id, **fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def jobs_of(http: httpx.AsyncClient, sweep: dict[str, Any]) -> list[dict[str, Any]]:
    return [(await http.get(f"{JOBS}/{t['job_id']}")).json() for t in sweep["trials"]]


async def messages(http: httpx.AsyncClient, job_id: str) -> list[str]:
    events = (await http.get(f"{JOBS}/{job_id}/events", params={"limit": 100})).json()["data"]
    return [event["message"] for event in events]


async def ends_told(api: Api) -> list[str]:
    """The types of all events that report the end of a sweep, processed or not."""
    redis = api.app.state.redis
    counted = await outbox.processed_by_type(redis)
    waiting = [
        outbox.Event.model_validate_json(e) for e in await redis.zrange(outbox.OUTBOX, 0, -1)
    ]
    types = [event.type for event in waiting]
    types += [kind for kind, number in counted.items() for _ in range(number)]
    return [kind for kind in types if kind.startswith("fine_tuning.sweep.")]


async def test_each_combination_of_values_is_a_job(http, file_id):
    values = {"learning_rate": [0.001, 0.002], "lora": {"r": [4, 8]}}
    sweep = await create(http, file_id, values=values, metadata={"team": "a"}, suffix="Shop")
    assert (sweep["object"], sweep["status"], sweep["result"]) == ("sweep", "in_progress", None)
    assert sweep["progress"] == {"completed": 0, "total": 4, "step": None}
    assert [trial["hyperparameters"] for trial in sweep["trials"]] == [
        {"learning_rate": rate, "lora": {"r": rank}} for rate in (0.001, 0.002) for rank in (4, 8)
    ]
    jobs = await jobs_of(http, sweep)
    chosen = [job["method"]["supervised"]["hyperparameters"] for job in jobs]
    assert [(c["learning_rate"], c["lora"]["r"], c["validation_share"]) for c in chosen] == [
        (rate, rank, 0.25) for rate in (0.001, 0.002) for rank in (4, 8)
    ]
    assert {job["seed"] for job in jobs} == {sweep["seed"]}
    assert {job["sweep_id"] for job in jobs} == {sweep["id"]}
    assert all((job["metadata"], job["suffix"]) == ({"team": "a"}, "shop") for job in jobs)
    assert (await http.get(f"{SWEEPS}/{sweep['id']}")).json() == sweep


async def test_sweeps_are_filtered_by_their_creator(http, file_id):
    sweep = await create(http, file_id)
    key_id = (await http.get("/v1/whoami")).json()["api_key"]["id"]
    for created_by, expected in ((key_id, [sweep["id"]]), ("key_other", [])):
        page = (await http.get(SWEEPS, params={"created_by": created_by})).json()
        assert [one["id"] for one in page["data"]] == expected


async def test_mixed_files_are_those_of_all_trials(http, file_id, chats):
    other = (await upload(http, chats(12), name="other.jsonl")).json()["id"]
    mixed = [{"file": other, "weight": 0.5}]
    sweep = await create(http, file_id, mixed_files=mixed)
    assert sweep["mixed_files"] == mixed
    assert [job["mixed_files"] for job in await jobs_of(http, sweep)] == [mixed] * 4


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"hyperparameters": {}}, "give a validation_file, or set the hyperparameter"),
        ({"values": {"learning_rate": [0.1]}}, "1 combinations; a sweep has 2 to 16 trials"),
        (
            {"values": {"n_epochs": list(range(1, 7)), "batch_size": [1, 2, 4]}},
            "18 combinations; a sweep has 2 to 16 trials",
        ),
        ({"values": {"learning_rate": [0.1, 0.1]}}, "a value is repeated"),
        ({"values": {"learning_rate": [0.1, 2]}}, "a value <= 1"),
        ({"values": {"seed": [1, 2]}}, "Unknown parameter: 'values.seed'"),
        ({"values": {"lora": {"r": [1, 513]}}}, "a value <= 512"),
        (
            {"values": {"learning_rate": [0.1, 0.2], "learning_rate_multiplier": [1, 2]}},
            "learning_rate or learning_rate_multiplier, not both",
        ),
        (
            {"hyperparameters": {"validation_share": 0.1, "learning_rate": 0.1}},
            "give learning_rate in 'values' or in the hyperparameters, not both",
        ),
        (
            {
                "values": {"lora": {"r": [4, 8]}},
                "hyperparameters": {"validation_share": 0.1, "lora": {"r": 4}},
            },
            "give lora.r in 'values' or in the hyperparameters, not both",
        ),
        (
            {
                "method": {"type": "kto", "kto": {"hyperparameters": {"validation_share": 0.1}}},
                "hyperparameters": None,
                "values": {"batch_size": [2, 4]},
            },
            "the loss of 'kto' depends on the batch size",
        ),
        (
            {
                "values": {"lora": {"r": [4, 8]}},
                "hyperparameters": {"validation_share": 0.1, "warm_start": "ft:x"},
            },
            "Omit values.lora",
        ),
        ({"values": {"lora": {"r": [4, 512]}}}, "the highest rank that the serving engine"),
    ],
)
async def test_what_is_refused(http, file_id, fields, words):
    answer = await post(http, file_id, **fields)
    assert answer.status_code == 400, answer.text
    assert words in answer.json()["error"]["message"]
    assert (await http.get(JOBS)).json()["data"] == []


async def test_a_sweep_must_fit_the_queue(api: Api, http, file_id):
    api.settings.max_queued_jobs_per_project = 3
    answer = await post(http, file_id)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "limit_reached")
    assert (await http.get(JOBS)).json()["data"] == []


async def test_a_request_that_is_sent_again_creates_one_sweep(http, file_id):
    first = await create(http, file_id, key="a")
    assert await create(http, file_id, key="a") == first
    listed = (await http.get(SWEEPS)).json()
    assert [sweep["id"] for sweep in listed["data"]] == [first["id"]]
    assert len((await http.get(JOBS)).json()["data"]) == 4


@pytest.mark.usefixtures("scripted")
async def test_losers_are_stopped_and_the_winner_is_reported(api: Api, http, file_id, work):
    sweep = await create(http, file_id)
    async with work("cpu", "gpu"):
        await checked(http, file_id)
        done = await ended(http, sweep["id"])
    assert done["status"] == "completed", done
    states = [(trial["status"], trial["held_out_loss"]) for trial in done["trials"]]
    assert states == [("cancelled", 4), ("succeeded", 1), ("cancelled", 3), ("cancelled", 2)]
    best = done["trials"][1]
    assert done["result"] == {
        "best_job_id": best["job_id"],
        "fine_tuned_model": best["fine_tuned_model"],
    }
    assert [trial["stopped"] for trial in done["trials"]] == [
        f"Stopped by the sweep {sweep['id']}: held-out loss {loss}{after} of the training"
        if loss
        else None
        for loss, after in (
            ("4.0000 > 2.0000", " after a third"),
            ("", ""),
            ("3.0000 > 2.0000", " after a third"),
            ("2.0000 > 1.0000", " after two thirds"),
        )
    ]
    told = await messages(http, done["trials"][0]["job_id"])
    assert told[0] == done["trials"][0]["stopped"]
    assert "The trainer stopped; the trial waits for the others of its sweep" in told
    winner = [job for job, _ in ScriptedTrainer.starts if job == best["job_id"]]
    assert len(winner) == 3  # to the first rung, to the second one, and to the end
    assert await ends_told(api) == ["fine_tuning.sweep.succeeded"]


@pytest.mark.usefixtures("scripted")
async def test_a_cancelled_trial_does_not_keep_the_others_from_training(http, file_id, work):
    sweep = await create(http, file_id)
    _, second, *_ = (trial["job_id"] for trial in sweep["trials"])
    await http.post(f"{JOBS}/{second}/cancel")
    async with work("cpu", "gpu"):
        done = await ended(http, sweep["id"])
    states = [(trial["status"], trial["held_out_loss"]) for trial in done["trials"]]
    assert states == [("cancelled", 4), ("cancelled", None), ("cancelled", 3), ("succeeded", 2)]
    assert [trial["stopped"] is None for trial in done["trials"]] == [False, True, False, True]


async def test_only_its_sweep_resumes_a_trial_that_waits(api: Api, http, file_id):
    sweep = await create(http, file_id)
    path = f"{JOBS}/{sweep['trials'][0]['job_id']}"
    job = (await http.get(path)).json()
    await api.app.state.jobs.change(
        job["organization_id"],
        job["id"],
        lambda one: one.model_copy(update={"status": Status.PAUSED, "waits_for_sweep": True}),
    )
    assert (await http.get(f"{SWEEPS}/{sweep['id']}")).json()["trials"][0]["is_waiting"]
    for action in ("resume", "pause"):
        refused = await http.post(f"{path}/{action}")
        words = f"is waiting for the other trials of its sweep and cannot be {action}d"
        assert (refused.status_code, words in refused.json()["error"]["message"]) == (409, True)
    assert (await http.post(f"{path}/cancel")).json()["status"] == "cancelled"


async def test_without_stopping_no_trial_waits(api: Api, http, file_id):
    sweep = await create(http, file_id, stop_losers=False)
    store = api.app.state.jobs
    jobs = [await store.get(j["organization_id"], j["id"]) for j in await jobs_of(http, sweep)]
    assert [job.pause_after for job in jobs] == [None] * 4


async def test_cancel_ends_the_sweep_and_its_jobs(api: Api, http, file_id):
    sweep = await create(http, file_id)
    cancelled = (await http.post(f"{SWEEPS}/{sweep['id']}/cancel")).json()
    assert (cancelled["status"], cancelled["result"]) == ("cancelled", None)
    assert {trial["status"] for trial in cancelled["trials"]} == {"cancelled"}
    told = await messages(http, cancelled["trials"][0]["job_id"])
    assert told[0] == f"The sweep {sweep['id']} was cancelled"
    assert await ends_told(api) == ["fine_tuning.sweep.cancelled"]
    again = await http.post(f"{SWEEPS}/{sweep['id']}/cancel")
    assert (again.status_code, again.json()) == (200, cancelled)


async def test_an_ended_sweep_can_be_deleted(http, file_id):
    url = f"{SWEEPS}/{(sweep := await create(http, file_id))['id']}"
    refused = await http.delete(url)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "invalid_state")
    await http.post(f"{url}/cancel")
    gone = {"id": sweep["id"], "object": "sweep.deleted", "deleted": True}
    assert (await http.delete(url)).json() == gone
    assert (await http.get(url)).status_code == 404
    assert len(await jobs_of(http, sweep)) == 4


async def test_a_sweep_that_has_ended_cannot_be_cancelled(api: Api, http, file_id, work):
    sweep = await create(http, file_id)
    for trial in sweep["trials"]:
        await http.post(f"{JOBS}/{trial['job_id']}/cancel")
    async with work("cpu"):
        done = await ended(http, sweep["id"])  # the reconciler sees that all jobs have
    assert (done["status"], done["error"]["code"]) == ("failed", "no_trial_succeeded")
    refused = await http.post(f"{SWEEPS}/{sweep['id']}/cancel")
    assert refused.status_code == 409
    assert "has already ended with status 'failed'" in refused.json()["error"]["message"]
    assert await ends_told(api) == ["fine_tuning.sweep.failed"]


async def test_an_older_view_of_a_sweep_moves_no_trial_back(api: Api, http, file_id):
    """A process decided long ago, and does it after others have gone on."""
    sweep = await create(http, file_id)
    store, trial = api.app.state.jobs, sweep["trials"][0]
    project = (await jobs_of(http, sweep))[0]["organization_id"]
    ahead = await store.change(
        project,
        trial["job_id"],
        lambda job: job.model_copy(update={"status": Status.RUNNING, "pause_after": 2 / 3}),
    )
    await advance(api.app.state.sweeps, project, sweep["id"])
    assert (await store.get(project, trial["job_id"])).pause_after == 2 / 3
    with pytest.raises(AttemptSuperseded):
        lifecycle.pass_rung(ahead, 1 / 3, 1)
    assert lifecycle.pass_rung(ahead, None, 1).pause_after is None


async def test_a_page_of_sweeps(http, file_id):
    made = [(await create(http, file_id))["id"] for _ in range(3)]
    first = (await http.get(SWEEPS, params={"limit": 2})).json()
    assert [sweep["id"] for sweep in first["data"]] == [made[2], made[1]]
    rest = (await http.get(SWEEPS, params={"after": first["last_id"]})).json()
    assert ([sweep["id"] for sweep in rest["data"]], rest["has_more"]) == ([made[0]], False)
    unknown = await http.get(SWEEPS, params={"after": "ftsweep-x"})
    assert unknown.status_code == 400
