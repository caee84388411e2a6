"""Tests of single checks of the doctor."""

from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli import doctor
from service.cli.app import app
from service.cli.plan import BadGpus, parse_gpus
from service.config import GIB, Settings
from service.fleet.nvml import Gpu
from service.fleet.ray_cluster import require_ray
from tests.standalone.models import folder_with


@pytest.mark.parametrize(
    ("capability", "level", "words"),
    [
        ((7, 5), "note", "Tesla T4: training and engines compute in float16"),
        ((8, 9), "ok", "on the GPU"),
        (None, "ok", "on GPUs since Ampere"),
    ],
)
def test_doctor_reports_the_precision_of_a_gpu(capability, level, words):
    found = doctor._bf16([Gpu("GPU-1", "Tesla T4", 16 * GIB, capability)])
    assert found.level == level
    assert words in found.found


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data folder whose catalog has Qwen3-8B."""
    return folder_with("Qwen3-8B", tmp_path)


def plan(data_dir: Path, *words: str):
    return CliRunner().invoke(app, ["plan", "--data-dir", str(data_dir), *words])


def test_the_plan_of_the_docs_is_what_the_command_prints(data_dir):
    page = (Path(__file__).parents[2] / "docs" / "serving.md").read_text("utf-8")
    done = plan(data_dir, "--gpus", "4x24GiB", "--memory", "128")
    assert done.exit_code == 0
    assert f"```text\n{done.stdout}```\n" in page


@pytest.mark.parametrize("gpus", ["48GiB", "24GiB"])
def test_the_plans_of_the_docs_for_a_large_model_are_what_the_command_prints(tmp_path, gpus):
    page = (Path(__file__).parents[2] / "docs" / "serving.md").read_text("utf-8")
    data_dir = folder_with("Qwen3-32B", tmp_path)
    settings = {"FINETUNED_GPU_SHARING": "time-slice"}
    words = ["plan", "--data-dir", str(data_dir), "--gpus", gpus]
    done = CliRunner().invoke(app, words, env=settings)
    assert f"```text\n{done.stdout}```\n" in page


def test_the_plan_is_printed_as_json(data_dir):
    found = json.loads(plan(data_dir, "--gpus", "24GiB,80GiB", "--json").stdout)
    assert [gpu["memory_bytes"] for gpu in found["gpus"]] == [24 * GIB, 80 * GIB]
    assert found["engines"][0]["gpus"] == [0]
    (training,) = found["trainings"]
    assert (training["fits"], training["gpus"]) == (True, 1)


def test_a_plan_for_long_rows_has_their_inputs_on_the_host(data_dir):
    (short,) = json.loads(plan(data_dir, "--gpus", "2x24GiB", "--json").stdout)["trainings"]
    assert (short["fits"], short["inputs_on_host"], short["host_bytes"]) == (True, False, None)
    text = plan(data_dir, "--gpus", "2x24GiB", "--row-tokens", "32768").stdout
    assert "8 rows of up to 32,768 tokens in a batch" in text
    assert (
        "✓ training of qwen3-8b: 19.9 GiB of 21.6 GiB, 32,768 tokens at once, with gradient "
        "checkpointing, inputs of layers in the machine's memory (about 9.0 GiB)"
    ) in text


def test_a_plan_without_room_fails_with_advice(data_dir):
    done = plan(data_dir, "--gpus", "8GiB")
    assert done.exit_code == 1
    assert "✗ engine of qwen3-8b" in done.stdout
    assert "→" in done.stdout


def test_the_plan_explains_how_a_latency_budget_shares_a_gpu(data_dir, monkeypatch):
    monkeypatch.setenv("FINETUNED_TRAIN_SLO_MS", "800")
    roomy, tight = (plan(data_dir, "--gpus", gpu).stdout for gpu in ("48GiB", "24GiB"))
    assert "• share: " in roomy
    assert "next to engines and rest to keep the p95 of chats below 800 ms" in roomy
    assert "• time-slice: " in tight
    assert "• FINETUNED_TRAIN_SLO_MS: " in tight
    assert "so engines sleep while a job trains" in tight


@pytest.mark.parametrize("text", ["", "x", "4x", "0x24GiB", "4x0GiB", "65x24GiB", "-1x24"])
def test_gpus_that_cannot_be_read_are_refused(text):
    with pytest.raises(BadGpus, match="not a list of GPUs"):
        parse_gpus(text)


def test_gpus_are_read():
    assert parse_gpus("2x24GiB, 80gb,1X16") == (24 * GIB, 24 * GIB, 80 * GIB, 16 * GIB)


@pytest.fixture
def ray_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package named ray."""
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)


def test_the_doctor_looks_for_ray_only_if_a_cluster_is_named(monkeypatch):
    assert doctor._ray(Settings()) == []
    monkeypatch.setattr("sys.path", [])
    (found,) = doctor._ray(Settings(ray_address="ray://127.0.0.1:1", trainer_gpus=2))
    assert found.level == "missing"
    assert "package ray is not installed" in found.found
    assert "finetuned-server[ray]" in found.how


@pytest.mark.usefixtures("ray_installed")
def test_the_doctor_connects_to_the_ray_cluster():
    with socket.create_server(("127.0.0.1", 0)) as head:
        address = f"127.0.0.1:{head.getsockname()[1]}"
        for form in (address, f"ray://{address}"):
            (found,) = doctor._ray(Settings(ray_address=form, trainer_gpus=16))
            assert (found.level, found.found) == ("ok", f"{form}; a training uses 16 of its GPUs")
    (found,) = doctor._ray(Settings(ray_address=address, trainer_gpus=16))
    assert found.level == "missing"
    assert f"{address} cannot be reached" in found.found


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed")
def test_a_worker_without_ray_refuses_a_ray_cluster_at_its_start(monkeypatch):
    monkeypatch.setenv("FINETUNED_RAY_ADDRESS", "ray://127.0.0.1:1")
    monkeypatch.setenv("FINETUNED_TRAINER_GPUS", "2")
    with pytest.raises(SystemExit, match=r"needs the package ray.*finetuned-server\[ray\]"):
        require_ray(Settings())


def test_a_port_of_this_installation_is_no_fault_although_its_holder_is_hidden(tmp_path):
    """The service of a server has a capability, which hides its sockets even from its user."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        subprocess.Popen(["bash", "-c", "exec -a finetuned-server sleep 60"]) as up,
    ):
        port = server.getsockname()[1]
        try:
            lock = tmp_path / "lock"
            lock.write_text(f"pid {up.pid}, port {port}")
            words = ["doctor", "--data-dir", str(tmp_path), "--port", str(port)]
            found = CliRunner().invoke(app, words)
            assert f"port {port}: in use by this installation (pid {up.pid})" in found.stdout
            lock.write_text(f"pid {up.pid}, port {port + 1}")
            found = CliRunner().invoke(app, words)
            assert f"✗ port {port}" in found.stdout
        finally:
            up.kill()
