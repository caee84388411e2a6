"""Tests two of each process on Redis and S3: any of them can serve a request or be killed.

The tests build on one another: later ones use the models that the first one trained.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import openai
import pytest
import redis
from openai.types.fine_tuning import FineTuningJob
from openai.types.fine_tuning.job_create_params import Hyperparameters

from service.backup.journal import JOURNALED_AT
from service.config import GIB
from service.fleet.capacity import memory_bytes
from service.standalone.up import DEMO_MODEL
from tests.core.conftest import Valkey
from tests.e2e.chats import QUESTION, load, said, until
from tests.e2e.conftest import wait_for
from tests.e2e.jobs import attempt_of, messages, small_file, wait_for_message, wait_for_success
from tests.e2e.seaweed import Seaweed
from tests.e2e.site import Node, Site
from tests.inference.engine.support import ENGINE_KEY, headers

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        "FINETUNED_STATELESS" not in os.environ,
        reason="6 minutes: 'make proof NAME=stateless' runs it",
    ),
]

MIB = 1024 * 1024
_MIN_MEMORY_GIB = 16
_TRAINED: list[str] = []
_CHECKPOINTS: list[str] = []
"""Names of the models that were trained here, and of their checkpoints."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, demo_model_path) -> Iterator[Site]:
    if memory_bytes() < _MIN_MEMORY_GIB * GIB:
        pytest.skip(f"two engines and two trainers take up to {_MIN_MEMORY_GIB} GiB of memory")
    folder = tmp_path_factory.mktemp("site")
    with ExitStack() as running:
        s3 = Seaweed(folder / "weed")
        running.callback(s3.close)
        s3.start()
        site = Site(folder, demo_model_path, Valkey(folder / "valkey"), s3)
        running.callback(site.close)
        try:
            site.start()
            yield site
        except BaseException:
            print(site.logs())
            raise


@pytest.fixture(autouse=True)
def told_at_failure(site: Site) -> Iterator[None]:
    """Print output that pytest shows if the test fails."""
    yield
    print(site.logs())


@pytest.fixture(scope="module")
def sdks(site: Site) -> Iterator[tuple[openai.OpenAI, openai.OpenAI]]:
    """The SDK for each api, without retries."""
    with site.client(site.apis[0], max_retries=0) as a, site.client(site.apis[1]) as b:
        yield a, b


def start_job(sdk: openai.OpenAI, file_id: str, epochs: int) -> str:
    asked: Hyperparameters = {"n_epochs": epochs, "batch_size": 4}
    job = sdk.fine_tuning.jobs.create(
        model=DEMO_MODEL, training_file=file_id, seed=3, hyperparameters=asked
    )
    return job.id


def trained(job: FineTuningJob) -> str:
    assert job.fine_tuned_model is not None
    return job.fine_tuned_model


def models() -> list[str]:
    return [DEMO_MODEL, *_TRAINED]


def uploads_in(site: Site) -> list[str]:
    return [key for key in site.s3.objects() if "/uploads/" in key]


def test_upload_begun_on_one_api_is_finished_on_the_other(site: Site, sdks):
    a, b = sdks
    parts = [os.urandom(40 * MIB), os.urandom(40 * MIB), b"odd"]
    whole = b"".join(parts)
    upload = a.uploads.create(
        filename="large.bin", purpose="user_data", bytes=len(whole), mime_type="text/plain"
    )
    sent = [
        sdk.uploads.parts.create(upload.id, data=part).id
        for sdk, part in zip((a, b, a), parts, strict=True)
    ]
    assert len(uploads_in(site)) == len(parts)
    md5 = hashlib.md5(whole).hexdigest()
    done = b.uploads.complete(upload.id, part_ids=sent, md5=md5)
    assert a.uploads.complete(upload.id, part_ids=sent, md5=md5).file.id == done.file.id
    for sdk in sdks:
        assert hashlib.md5(sdk.files.content(done.file.id).content).hexdigest() == md5
    wait_for(lambda: uploads_in(site) == [], 60, "the end of the parts")
    assert site.s3.unfinished() == 0
    assert b.files.delete(done.file.id).deleted
    with pytest.raises(openai.NotFoundError):
        a.files.content(done.file.id)


def test_two_jobs_at_once_and_a_worker_is_killed(site: Site, sdks):
    """Each worker trains one job. The job of the killed worker continues on the other."""
    a, b = sdks
    file_id = small_file(a)
    assert b.files.content(file_id).content == a.files.content(file_id).content
    jobs = [start_job(a, file_id, 2), start_job(b, file_id, 2)]
    for job_id in jobs:
        wait_for_message(b, job_id, "Step 2/")
    one, two = (site.trainer_of(job_id) for job_id in jobs)
    assert one is not None
    assert two is not None
    assert {one.name, two.name} == {"worker-0", "worker-1"}
    wait_for_message(a, jobs[0], "Checkpoint saved")
    one.kill()
    acknowledged = a.files.create(file=("kept.txt", b"kept"), purpose="user_data")
    first, second = (wait_for_success(b, job_id) for job_id in jobs)
    one.start()
    assert (attempt_of(first), attempt_of(second)) == (2, 1)
    assert any("resuming at step" in told for told in messages(b, first.id))
    rows = b.files.content(first.result_files[0]).text.splitlines()[1:]
    assert [int(row.split(",")[0]) for row in rows] == list(range(1, 17))  # 32 × 2 / 4
    assert b.files.content(acknowledged.id).content == b"kept"
    _TRAINED.extend(map(trained, (first, second)))


def test_every_adapter_answers_on_every_engine_and_through_every_api(site: Site, sdks):
    answers = {model: {said(sdk, model) for sdk in sdks} for model in _TRAINED}
    body = {"messages": QUESTION, "max_tokens": 8, "temperature": 0}
    for engine in site.engines:
        for model in _TRAINED:
            answer = httpx.post(
                f"{engine.url}/v1/chat/completions",
                json=body | {"model": model},
                headers=headers(model),
                timeout=60,
            )
            assert answer.status_code == 200, answer.text
            answers[model].add(answer.json()["choices"][0]["message"]["content"])
    base = said(sdks[0], DEMO_MODEL)
    assert len(answers) == 2
    for told in answers.values():
        assert len(told) == 1, "the engines do not agree"
        assert told != {base}
    names = [{model.id for model in sdk.models.list()} for sdk in sdks]
    assert names[0] == names[1] >= {DEMO_MODEL, *_TRAINED}


def test_chats_go_on_when_an_engine_is_killed(site: Site, sdks):
    doomed = site.engines[0]
    with site.client(site.apis[1], max_retries=0) as b, load((sdks[0], b), models()) as chats:
        until(chats, lambda c: len(c) >= 12)
        assert {c.error for c in chats} == {None}
        doomed.kill()
        gone_at = time.monotonic()
        until(chats, lambda c: sum(x.began_at > gone_at for x in c) >= 12)
        doomed.launch()
    lost = [c for c in chats if c.error is not None]
    assert {c.error for c in lost} <= {"engine_lost"}
    assert all(c.began_at < gone_at for c in lost), "only what it was at work on is lost"
    doomed.until_ready()
    wait_for(site.serves, 60, "the engine's return")


def test_what_an_api_acknowledged_outlives_it(site: Site, sdks):
    """The api is killed during uploads and chats. The other one has all data and continues."""
    b = sdks[1]
    doomed, kept = site.apis[0], []
    with site.client(doomed, max_retries=0) as a, load((b,), models(), callers=2) as chats:

        def upload() -> None:
            for i in range(1000):
                data = f"file {i} ".encode() * 1000
                kept.append((a.files.create(file=("f", data), purpose="user_data").id, data))

        with ThreadPoolExecutor(1) as pool:
            uploading = pool.submit(upload)
            wait_for(lambda: len(kept) >= 20, 60, "some uploads")
            doomed.kill()
            with pytest.raises(openai.APIConnectionError):
                uploading.result()
        until(chats, lambda c: len(c) >= 6)
    assert {c.error for c in chats} == {None}
    listed = {f.id for f in b.files.list(purpose="user_data")}
    assert {file_id for file_id, _ in kept} <= listed
    for file_id, data in kept:
        assert b.files.content(file_id).content == data
    for file_id in listed:
        b.files.delete(file_id)
    doomed.start()
    assert said(sdks[0], _TRAINED[0])


def test_a_job_outlives_redis_killed_and_s3_away_for_a_minute(site: Site, sdks):
    a, b = sdks
    file_id = small_file(b)
    job_id = start_job(a, file_id, 3)
    wait_for_message(b, job_id, "Step 2/")
    before = {f.id for f in b.files.list()}
    site.store.kill()
    site.store.start()
    wait_for(lambda: {f.id for f in httpx_files(site)} == before, 60, "Redis' return")

    site.s3.kill()
    gone_at = time.monotonic()
    with pytest.raises(openai.InternalServerError) as refused:
        a.files.create(file=("f", b"1"), purpose="user_data")
    assert refused.value.status_code == 503
    assert time.monotonic() - gone_at < 20, "a request must not wait for S3"
    assert parts_of(site.apis[0]) == {"redis": "ok", "storage": "away"}
    while time.monotonic() - gone_at < 55:  # S3 itself takes a few seconds more to start
        assert said(b, _TRAINED[0])
        time.sleep(1)
    assert a.fine_tuning.jobs.retrieve(job_id).status == "running"
    site.s3.start()
    wait_for(lambda: parts_of(site.apis[0])["storage"] == "ok", 60, "S3's return")
    job = wait_for_success(b, job_id)
    assert attempt_of(job) == 1, messages(b, job_id)
    assert said(a, trained(job))
    assert b.files.content(job.result_files[0]).text.count("\n") == 25
    _TRAINED.append(trained(job))


def httpx_files(site: Site) -> list[Any]:
    with site.client(site.apis[1]) as sdk:
        return list(sdk.files.list())


def parts_of(api: Node) -> dict[str, str]:
    return httpx.get(f"{api.url}/readyz", timeout=60).json()["parts"]


def test_redis_that_lost_everything_is_rebuilt_from_the_bucket(site: Site, sdks):
    a, b = sdks
    jobs = outcomes(a)
    for job_id in jobs:
        kept = a.fine_tuning.jobs.checkpoints.list(job_id)
        _CHECKPOINTS.extend(checkpoint.fine_tuned_model_checkpoint for checkpoint in kept)
    asked = [*_TRAINED, _CHECKPOINTS[0]]
    before = {model: said(a, model) for model in asked}
    files = {f.id: b.files.content(f.id).content for f in b.files.list()}
    asked_at = time.time()
    wait_for(lambda: journaled_at(site) > asked_at, 60, "the journal")
    for node in (*site.apis, *site.workers):
        node.kill()
    site.store.kill()
    shutil.rmtree(site.folder / "valkey")
    (site.folder / "valkey").mkdir()
    site.store.start()
    told = site.run("rebuild")
    assert told.startswith("restored "), told
    newer = re.search(r"is newer: 0 projects, (\d+) files, 0 models, 0 checkpoints,", told)
    assert newer, told
    for node in (*site.apis, *site.workers):
        node.start()
    wait_for(site.serves, 60, "both engines being seen by both apis")
    for sdk in sdks:  # with the key of before
        assert outcomes(sdk) == jobs
        assert {model: said(sdk, model) for model in asked} == before
        found = {f.id: sdk.files.content(f.id).content for f in sdk.files.list()}
        assert found.items() >= files.items()
        # The upload whose api was killed may have been complete, though not acknowledged.
        assert len(found) - len(files) == int(newer[1]) <= 1


def outcomes(sdk: openai.OpenAI) -> dict[str, tuple[str, str | None]]:
    """Return the status and the model of each job."""
    return {job.id: (job.status, job.fine_tuned_model) for job in sdk.fine_tuning.jobs.list()}


def journaled_at(site: Site) -> float:
    with redis.Redis.from_url(site.store.url) as client:
        return float(client.get(JOURNALED_AT) or 0)


def test_deleting_leaves_nothing_in_the_bucket(site: Site, sdks):
    """What was written of the upload whose api was killed is noted, and removed after a day."""
    a, b = sdks
    for model in [*_TRAINED, *_CHECKPOINTS]:
        b.models.delete(model)
    for file in b.files.list():
        a.files.delete(file.id)
    noted = unfinished_uploads(site)
    assert [key for key in objects_of(site) if not key.startswith(noted)] == []
    assert site.s3.unfinished() == 0
    site.run("gc", "--older-than", "0")
    assert objects_of(site) == []
    for sdk in sdks:
        with pytest.raises(openai.NotFoundError):
            said(sdk, _TRAINED[0])


def objects_of(site: Site) -> list[str]:
    """Return the keys of all objects that belong to a project."""
    others = ("site/audit/", "site/audit-heads/", "site/journal/", "site/.health")
    return [key for key in site.s3.objects() if not key.startswith(others)]


def unfinished_uploads(site: Site) -> tuple[str, ...]:
    """Return the folders of files that were not acknowledged, and that workers will remove."""
    with redis.Redis.from_url(site.store.url) as client:
        notes: Any = client.zrangebyscore("finetuned:files-leftover", time.time() + 3600, "+inf")
    return tuple("site/{}/files/{}/".format(*note.decode().split("/")) for note in notes)


def test_no_secret_is_in_any_log(site: Site):
    for node in site.nodes:
        for secret in (site.s3.secret, site.key, ENGINE_KEY):
            assert secret not in node.log, node.name
