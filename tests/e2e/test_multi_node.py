"""Tests of trainings on a Ray cluster of two nodes that share neither a network nor a disk.

`up`, with its worker, Redis and storage, runs on this machine. Each node has a network namespace of
its own, and sees of this machine's files only the programs and the base model.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import openai
import psutil
import pytest
from openai.types.fine_tuning.fine_tuning_job import Error

from service.standalone.services import free_port
from tests.e2e.conftest import ONE_THREAD, START_S, TINY_MODEL, Stack, started, wait_for
from tests.e2e.jobs import (
    attempt_of,
    messages,
    small_file,
    wait_for_message,
    wait_for_success,
)
from tests.e2e.ray_nodes import RayCluster, RayNode, ray_cluster, ray_packages, until_empty, why_not
from tests.inference.engine.support import ENGINE_KEY

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        "FINETUNED_MULTI_NODE" not in os.environ,
        reason="6 minutes: 'make proof NAME=multi-node' runs it",
    ),
]

ROWS, EPOCHS, BATCH = 32, 8, 4
STEPS = ROWS * EPOCHS // BATCH
# The tiny model's losses are near 10, and the ranks round differently.
TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stack")


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[RayCluster]:
    if reason := why_not():
        pytest.skip(reason)
    with ray_cluster(hidden=folder) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, tiny_model_path: Path) -> dict[int, float]:
    """The losses of a training by one process on this machine."""
    folder = tmp_path_factory.mktemp("alone")
    with started(folder, tiny(tiny_model_path), **ONE_THREAD) as stack, stack.client() as sdk:
        return losses(sdk, wait_for_success(sdk, start_job(sdk, small_file(sdk, ROWS))))


@pytest.fixture(scope="module")
def ray_stack(
    alone: dict[int, float], cluster: RayCluster, folder: Path, tiny_model_path: Path
) -> Iterator[Stack]:
    paths = os.pathsep.join([str(ray_packages()), os.environ.get("PYTHONPATH", "")])
    env = ONE_THREAD | {
        "FINETUNED_RAY_ADDRESS": cluster.address,
        "FINETUNED_RAY_DEVICE": "cpu",
        "FINETUNED_TRAINER_GPUS": "2",
        "PYTHONPATH": paths.rstrip(os.pathsep),
    }
    with started(folder, tiny(tiny_model_path), **env) as stack:
        yield stack


@pytest.fixture(scope="module")
def ray_sdk(ray_stack: Stack) -> Iterator[openai.OpenAI]:
    with ray_stack.client() as sdk:
        yield sdk


@pytest.fixture(scope="module")
def file_id(ray_sdk: openai.OpenAI) -> str:
    return small_file(ray_sdk, ROWS)


def tiny(path: Path) -> dict[str, object]:
    return {"id": TINY_MODEL, "path": str(path), "served": False}


def start_job(sdk: openai.OpenAI, file_id: str, epochs: int = EPOCHS) -> str:
    job = sdk.fine_tuning.jobs.create(
        model=TINY_MODEL,
        training_file=file_id,
        seed=3,
        hyperparameters={"n_epochs": epochs, "batch_size": BATCH},
    )
    return job.id


def losses(sdk: openai.OpenAI, job: openai.types.fine_tuning.FineTuningJob) -> dict[int, float]:
    """Return the training loss of each step, from the result file."""
    _, *rows = sdk.files.content(job.result_files[0]).text.splitlines()
    return {int(step): float(loss) for step, loss, *_ in (row.split(",") for row in rows)}


def wait_for_checkpoint(sdk: openai.OpenAI, job_id: str) -> int:
    """Wait until a checkpoint is stored, and return its step."""
    jobs = sdk.fine_tuning.jobs
    found = wait_for(lambda: jobs.checkpoints.list(job_id, limit=1).data, 400, "a checkpoint")
    return found[0].step_number


def test_two_nodes_train_as_one_process_does(ray_stack, ray_sdk, file_id, cluster, alone):
    job_id = start_job(ray_sdk, file_id)
    wait_for_message(ray_sdk, job_id, "Step 2/", timeout_s=400)
    assert [len(node.ranks()) for node in cluster.nodes] == [1, 1]
    job = wait_for_success(ray_sdk, job_id)
    told = messages(ray_sdk, job_id)
    assert "The training runs as 2 processes on 2 nodes of the Ray cluster" in told
    assert (attempt_of(job), list(alone)) == (1, list(range(1, STEPS + 1))), told
    assert losses(ray_sdk, job) == pytest.approx(alone, rel=TOLERANCE)
    assert len(ray_sdk.fine_tuning.jobs.checkpoints.list(job_id).data) == 3
    until_empty(cluster)


def test_killed_node_comes_back_and_the_job_resumes(ray_sdk, file_id, cluster, alone):
    """Raylet and rank of a node are killed. The newest checkpoint continues when it is back."""
    job_id = start_job(ray_sdk, file_id)
    step = wait_for_checkpoint(ray_sdk, job_id)
    assert cluster.other.ranks()
    cluster.other.kill()
    wait_for_message(ray_sdk, job_id, "Fine-tuning job restarted (attempt 2)")
    wait_for_message(ray_sdk, job_id, "Waiting until the Ray cluster has 2 free CPUs")
    assert not cluster.ranks()
    cluster.other.start()
    job = wait_for_success(ray_sdk, job_id)
    told = messages(ray_sdk, job_id)
    assert any("one of its nodes was lost" in message for message in told), told
    resumed = [int(m.split("resuming at step ")[1].split(",")[0]) for m in told if "resuming" in m]
    assert len(resumed) == 1
    assert step <= resumed[0] < STEPS
    assert attempt_of(job) == 2
    assert losses(ray_sdk, job) == pytest.approx(alone, rel=TOLERANCE)
    until_empty(cluster)


def test_paused_job_leaves_the_cluster_and_continues(ray_sdk, file_id, cluster, alone):
    job_id = start_job(ray_sdk, file_id)
    wait_for_message(ray_sdk, job_id, "Step 2/", timeout_s=400)
    ray_sdk.fine_tuning.jobs.pause(job_id)
    wait_for(status_of(ray_sdk, job_id, "paused"), 120, "the pause")
    until_empty(cluster)
    ray_sdk.fine_tuning.jobs.resume(job_id)
    job = wait_for_success(ray_sdk, job_id)
    assert any("resuming at step" in told for told in messages(ray_sdk, job_id))
    assert losses(ray_sdk, job) == pytest.approx(alone, rel=TOLERANCE)


def status_of(sdk: openai.OpenAI, job_id: str, status: str) -> Callable[[], bool]:
    return lambda: sdk.fine_tuning.jobs.retrieve(job_id).status == status


def test_cancelled_job_leaves_no_process(ray_stack, ray_sdk, file_id, cluster):
    job_id = start_job(ray_sdk, file_id)
    wait_for_message(ray_sdk, job_id, "Step 2/", timeout_s=400)
    ray_sdk.fine_tuning.jobs.cancel(job_id)
    until_empty(cluster)
    actors = [actor for node in cluster.nodes for actor in node.processes("RankHost")]
    psutil.wait_procs(actors, 60)
    assert not any(actor.is_running() for actor in actors)


PROMPTS = ["The capital of France is", "One, two, three,", "Dear reader,"]
FLOAT32 = "--dtype=float32"  # so that the order of a sum decides no word


def test_engine_on_two_nodes_answers_as_on_one(cluster, tmp_path, tiny_model_path):
    """Each node computes a half of every layer."""
    facts = "license: mit, context_length: 512, parameters: 200000"
    models = tmp_path / "models.yaml"
    models.write_text(f"models:\n- {{id: {TINY_MODEL}, path: {tiny_model_path}, {facts}}}\n")
    env = ONE_THREAD | {
        "FINETUNED_MODELS_FILE": str(models),
        "FINETUNED_UPSTREAM_API_KEY": ENGINE_KEY,
        "FINETUNED_INFERENCE_HOST": "0.0.0.0",
        "FINETUNED_REDIS_URL": "redis://127.0.0.1:1/0",  # away; Ray has the usual port
        "FINETUNED_MAX_LORA_RANK": "8",
    }
    words = [sys.executable, "-m", "service.cli", "inference", TINY_MODEL, FLOAT32]
    both = ["--tensor-parallel-size=2", "--nnodes=2", f"--master-addr={cluster.head.address}"]
    running = []
    try:
        for rank, node in enumerate(cluster.nodes):
            own = {
                "FINETUNED_DATA_DIR": str(node.folder / "data"),
                "VLLM_HOST_IP": node.address,
                "GLOO_SOCKET_IFNAME": interface(node),
            }
            part = [*both, f"--node-rank={rank}", *(["--headless"] if rank else [])]
            log = tmp_path / f"node-{rank}.log"
            running.append(node.run([*words, *part], env | own, log))
        divided = answers(f"http://{cluster.head.address}:8100", tmp_path / "node-0.log")
        assert cluster.other.processes("VLLM::Worker_TP1")
        with (tmp_path / "alone.log").open("wb") as output:
            port, own = free_port(), {"FINETUNED_DATA_DIR": str(tmp_path / "data")}
            running.append(
                subprocess.Popen(
                    [*words, f"--port={port}"],
                    env=os.environ | env | own,
                    stdout=output,
                    stderr=output,
                )
            )
        assert divided == answers(f"http://127.0.0.1:{port}", tmp_path / "alone.log")
    finally:
        for process in running:
            process.send_signal(signal.SIGINT)
        for process in running:
            process.wait(60)


def interface(node: RayNode) -> str:
    """Return the name of the node's interface in the cluster."""
    words = ["ip", "-n", node.namespace, "-o", "addr", "show", "to", node.address]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return told.split()[1]


def answers(engine: str, log: Path) -> list[str]:
    """Wait until the engine is ready, and return its answers to all prompts."""
    try:
        wait_for(lambda: httpx.get(f"{engine}/health").status_code == 200, START_S, engine)
    except AssertionError:
        print(log.read_text("utf-8", "replace")[-3000:])
        raise
    body = {"model": TINY_MODEL, "prompt": PROMPTS, "max_tokens": 12, "temperature": 0}
    told = httpx.post(
        f"{engine}/v1/completions",
        json=body,
        headers={"authorization": f"Bearer {ENGINE_KEY}"},
        timeout=120,
    )
    assert told.status_code == 200, told.text
    return [choice["text"] for choice in told.json()["choices"]]


def test_base_model_that_a_node_lacks_is_named(ray_sdk, file_id, cluster, tiny_model_path):
    cluster.other.kill()
    cluster.other.start(tiny_model_path)
    error = error_of(ray_sdk, start_job(ray_sdk, file_id, epochs=1))
    assert "is missing on 1 of 2 nodes of the Ray cluster" in error.message


def test_full_disk_of_a_node_is_named(ray_sdk, file_id, cluster):
    cluster.other.kill()
    cluster.other.start(full_disk=True)
    error = error_of(ray_sdk, start_job(ray_sdk, file_id, epochs=1))
    assert error.code == "disk_full"
    assert "a node of the Ray cluster" in error.message


def error_of(sdk: openai.OpenAI, job_id: str) -> Error:
    """Wait for the end of a job that fails, and return its error."""
    job = wait_for(
        lambda: (
            (j := sdk.fine_tuning.jobs.retrieve(job_id)).status in ("failed", "succeeded") and j
        ),
        240,
        "the end of the job",
    )
    assert job.error is not None, messages(sdk, job_id)
    return job.error
