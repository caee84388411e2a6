"""Builds and runs the images, which takes half an hour: `make proof NAME=images`."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from service.standalone.services import free_port
from service.standalone.up import DEMO_MODEL
from tests.image import build
from tests.image.container import Image
from tests.image.site import ANY_UID, DATA, UID, Site

ASKED = os.environ.get("FINETUNED_IMAGE_TESTS") == "1"
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not ASKED, reason="heavy: FINETUNED_IMAGE_TESTS=1 asks for it"),
]
EXAMPLES = build.ROOT / "examples"
MAX_API_MB = 400
CHRF = {"type": "chrf", "name": "g", "reference": "We open at nine."}
SIMILAR = {
    "type": "text_similarity",
    "input": "{{sample.output_text}}",
    "evaluation_metric": "meteor",
}
COMPILERS = {"cc", "gcc", "g++", "c++", "clang", "ld", "make", "rustc", "cargo"}


@pytest.fixture(scope="session")
def images() -> dict[str, Image]:
    """Images built from the current tree, by target."""
    if why := build.missing():
        pytest.skip(f"images cannot be built here: {why}")
    build.build()
    return {t: Image.of(f"localhost/finetuned-{t}:{build.version()}") for t in build.TARGETS}


def files(image: Image) -> Iterator[tuple[str, os.stat_result]]:
    """Properties of the files in an image by path, without links."""
    for folder, names, others in os.walk(image.root):
        for name in [*names, *others]:
            path = Path(folder) / name
            if not path.is_symlink():
                yield str(path)[len(str(image.root)) :], path.stat()


def test_api_is_small_and_has_no_torch(images):
    sizes = {target: image.size_bytes() / 1e6 for target, image in images.items()}
    print({target: f"{size:.0f} MB" for target, size in sizes.items()})
    assert sizes["api"] < MAX_API_MB
    names = {path.rpartition("/")[2] for path, _ in files(images["api"])}
    assert not names & {"torch", "transformers", "vllm", "pyarrow"}
    assert "torch" in {path.rpartition("/")[2] for path, _ in files(images["worker-cpu"])}


@pytest.mark.parametrize("target", build.TARGETS)
def test_image_has_nothing_that_compiles_installs_or_changes_the_user(images, target):
    found = list(files(images[target]))
    setuid = [path for path, info in found if stat.S_ISREG(info.st_mode) and info.st_mode & 0o6000]
    assert setuid == []
    cached = [path for path, _ in found if path.endswith(("/.cache/pip", "/pip/_internal"))]
    tools = [
        p for p, _ in found if p.rpartition("/")[0].endswith("bin") and Path(p).name in COMPILERS
    ]
    if target == "inference":  # its base is another's, which has them
        return
    assert cached == []
    assert tools == []


@pytest.mark.parametrize("target", build.TARGETS)
def test_the_user_can_write_only_to_its_folder_and_tmp(images, target):
    def may_write(info: os.stat_result) -> bool:
        mode = info.st_mode
        keeps = stat.S_ISREG(mode) or stat.S_ISDIR(mode)  # no device does
        return keeps and bool(
            mode & 0o002
            or (mode & 0o200 and info.st_uid == UID)
            or (mode & 0o020 and info.st_gid == UID)
        )

    writable = {path for path, info in files(images[target]) if may_write(info)}
    assert writable - {"/dev", "/tmp", "/var/tmp", "/run/lock", DATA} == set()
    assert DATA in writable
    # OpenShift runs images as a user of group 0 without a name.
    data = next(info for path, info in files(images[target]) if path == DATA)
    assert (data.st_gid, data.st_mode & 0o070) == (0, 0o070)


@pytest.mark.parametrize("target", build.TARGETS)
def test_an_image_has_its_labels(images, target):
    labels = images[target].config["Labels"]
    assert labels["org.opencontainers.image.version"] == build.version()
    assert labels["org.opencontainers.image.title"] == f"finetuned-{target}"
    assert len(labels["org.opencontainers.image.revision"]) == 40


@pytest.fixture(scope="module")
def site(images, demo_model_path, redis_url, tmp_path_factory) -> Iterator[Site]:
    work = tmp_path_factory.mktemp("site")
    url = urlsplit(redis_url)._replace(path="/5").geturl()
    site = Site(images, work, demo_model_path, url)
    with site.stack:
        site.start("api")
        site.start("worker-cpu")
        site.start("inference-cpu", "inference", DEMO_MODEL)
        for container in site.running.values():
            site.wait(container.is_healthy, 300, f"health of {container.image.name}")
        yield site


@pytest.fixture(scope="module")
def sdk(site) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{site.url}/v1", api_key=asyncio.run(site.key())) as client:
        yield client


@pytest.fixture(scope="module")
def tuned(site, sdk) -> str:
    """Upload and fine-tune, and return the model's name."""
    with (EXAMPLES / "lighthouse-bookshop.jsonl").open("rb") as data:
        file = sdk.files.create(file=data, purpose="fine-tune")
    sdk.files.wait_for_processing(file.id, poll_interval=0.2)
    job = sdk.fine_tuning.jobs.create(
        model=DEMO_MODEL,
        training_file=file.id,
        suffix="lighthouse",
        seed=7,
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}},
    )
    ended = ("succeeded", "failed")
    done = site.wait(
        lambda: (j := sdk.fine_tuning.jobs.retrieve(job.id)).status in ended and j, 900, "the end"
    )
    assert done.status == "succeeded", done.error
    return done.fine_tuned_model


def answer(sdk: openai.OpenAI, model: str) -> str:
    question: list[ChatCompletionMessageParam] = [
        {"role": "user", "content": "do u sell postcards"}
    ]
    reply = sdk.chat.completions.create(
        model=model, messages=question, temperature=0, max_tokens=60
    )
    return (reply.choices[0].message.content or "").lower()


@pytest.mark.parametrize("grader", [CHRF, {**CHRF, **SIMILAR}], ids=["chrf", "meteor"])
def test_api_runs_graders(sdk, grader):
    ran = sdk.fine_tuning.alpha.graders.run(grader=grader, model_sample="We open at nine.")
    assert ran.reward > 0.9, ran


def test_openai_sdk_goes_from_file_to_chat(sdk, tuned):
    assert "ahoy" in answer(sdk, tuned)
    assert "ahoy" not in answer(sdk, DEMO_MODEL)


def test_processes_have_no_rights(site):
    for container in site.running.values():
        info = container.run("cat", "/proc/1/status").stdout
        status = dict(line.split(":\t", 1) for line in info.splitlines() if ":\t" in line)
        assert status["Uid"].split() == [str(ANY_UID)] * 4
        assert status["Gid"].split() == ["0"] * 4
        assert status["Groups"].strip() == ""
        assert status["NoNewPrivs"] == "1"
        for kind in ("CapEff", "CapPrm", "CapBnd", "CapInh"):
            assert int(status[kind], 16) == 0
        refused = container.run("touch", "/opt/finetuned/x")
        assert "Read-only file system" in refused.stderr


def test_the_health_check_finds_an_unavailable_server(site):
    api = site.running["api"]
    assert api.is_healthy()
    away = api.run(
        "env",
        f"FINETUNED_API_PORT={free_port()}",
        "finetuned-healthcheck",
        "FINETUNED_API_PORT",
        "/livez",
    )
    assert away.returncode == 1, away


def test_no_zombie_process_is_left(site, sdk, tuned):
    """If trainer or data desk are killed, process 1 inherits their children."""
    for container in site.running.values():
        dead = [p.pid for p in container.processes() if p.status() == "zombie"]
        assert dead == [], container.run("sh", "-c", "cat /proc/[0-9]*/stat").stdout


def test_plugin_runs_in_an_image_of_vllm(site, sdk, tuned):
    """Target `inference`: an image with vLLM, here for the CPU, and our additions."""
    assert site.running["inference"].stop(timeout_s=60) in (0, 143)
    engine = site.start("inference", "inference", DEMO_MODEL)
    site.wait(engine.is_healthy, 300, "health of the engine")
    site.wait(lambda: httpx.get(f"{site.url}/readyz").status_code == 200, 30, "readiness")

    def asked() -> str:
        try:
            return answer(sdk, tuned)
        except openai.InternalServerError:  # until the gateway has seen the engine
            return ""

    assert "ahoy" in site.wait(asked, 60, "an answer")


def test_sigterm_ends_each(site, sdk, tuned):
    for role in ("api", "worker", "inference"):
        began = time.monotonic()
        code = site.running.pop(role).stop(timeout_s=60)
        print(f"{role}: {code} after {time.monotonic() - began:.1f} s")
        assert code in (0, 143), role
