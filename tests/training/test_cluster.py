"""Tests parts of a run on Ray that need no cluster; the proof `multi-node` starts one."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from service.training import EXIT_FAILED, StopCommand, TrainSpec, encode
from service.training.contract.child_process import Channel, StopFlag, Traffic
from service.training.model.base_folder import base_digest
from service.training.parallel.launcher import LOOPBACK, Cluster, RankOutput, RankSpec
from service.training.parallel.ray_node import RankHost, interface_of, rank_environment
from service.training.parallel.ray_supervisor import Run, require_bare_name
from tests.e2e.conftest import wait_for

HAS_RAY = importlib.util.find_spec("ray") is not None
CLUSTER = Cluster(address="ray://127.0.0.1:1", device="cuda")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RankHost]:
    monkeypatch.setenv("FINETUNED_SCRATCH_DIR", str(tmp_path / "scratch"))
    host = RankHost()
    yield host
    host.end()
    host.clear()


@pytest.mark.skipif(HAS_RAY, reason="Ray is installed")
def test_worker_without_ray_says_what_to_install(tiny_spec, tmp_path):
    from service.training.contract.failures import TrainingFailure
    from service.training.parallel.ray_supervisor import supervise_on_ray

    with (
        (tmp_path / "out").open("wb") as out,
        pytest.raises(TrainingFailure, match=r"install finetuned-server\[ray\]"),
    ):
        supervise_on_ray(CLUSTER, tiny_spec, Channel(out.fileno()), StopFlag(), Traffic())


@pytest.mark.skipif(sys.platform != "linux", reason="names of Linux's network interfaces")
def test_ranks_talk_over_the_interface_of_the_node(monkeypatch):
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)
    assert interface_of(LOOPBACK) == "lo"
    assert interface_of("192.0.2.200") is None
    assert rank_environment("cpu", LOOPBACK, 1)["GLOO_SOCKET_IFNAME"] == "lo"
    assert "GLOO_SOCKET_IFNAME" not in rank_environment("cpu", "192.0.2.200", 1)
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "ib0")
    assert rank_environment("cpu", LOOPBACK, 1)["GLOO_SOCKET_IFNAME"] == "ib0"


def test_rank_gets_its_device_and_no_secret(monkeypatch):
    for name in ("FINETUNED_REDIS_URL", "AWS_SECRET_ACCESS_KEY", "RAY_AUTH_TOKEN", "WORLD_SIZE"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    on_gpu, on_cpu = (rank_environment(device, LOOPBACK, 2) for device in ("cuda", "cpu"))
    assert "x" not in on_gpu.values()
    assert (on_gpu["CUDA_VISIBLE_DEVICES"], on_cpu["CUDA_VISIBLE_DEVICES"]) == ("3", "")
    assert on_gpu["OMP_NUM_THREADS"] == str(max((os.cpu_count() or 1) // 2, 1))


def test_files_arrive_on_a_node_in_parts_and_in_any_order(host):
    folder = host.prepare()
    host.write(f"{folder}/checkpoint-4/b", 3, b"def")
    host.write(f"{folder}/checkpoint-4/b", 0, b"abc")
    host.write(f"{folder}/checkpoint-4/empty", 0, b"")
    assert host.files(f"{folder}/checkpoint-4") == {"b": 6, "empty": 0}
    assert host.read_file(f"{folder}/checkpoint-4/b", 2, 3) == b"cde"
    host.discard(f"{folder}/checkpoint-4")
    assert not Path(folder, "checkpoint-4").exists()
    host.clear()
    assert not Path(folder).exists()


def test_folders_of_killed_actors_are_removed_and_those_of_living_ones_are_not(host):
    mine = Path(host.prepare())
    abandoned = mine.with_name("finetuned-ray-abandoned")
    abandoned.mkdir()
    (abandoned / ".claimed").touch()
    for folder in (mine, abandoned):
        os.utime(folder / ".claimed", (0, 0))
    other = RankHost()
    other.prepare()
    other.clear()
    assert mine.exists()
    assert not abandoned.exists()


@pytest.mark.e2e
def test_folder_of_an_actor_is_removed_when_it_is_killed(tmp_path):
    code = (
        "from service.training.parallel.ray_node import RankHost\n"
        "host = RankHost(); print(host.prepare(), flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"FINETUNED_SCRATCH_DIR": str(tmp_path)},
    ) as actor:
        assert actor.stdout is not None
        folder = Path(actor.stdout.readline().decode().strip())
        (folder / "training.jsonl").write_text("{}")
        actor.kill()
        assert folder.exists()
    wait_for(lambda: not folder.exists(), 60, "the removal of the folder")


def test_base_model_is_identified_on_a_node(host, tiny_model_path, tmp_path):
    assert host.digest(str(tiny_model_path)) == base_digest(tiny_model_path)
    assert host.digest(str(tmp_path / "missing")) is None
    copy = shutil.copytree(tiny_model_path, tmp_path / "copy")
    (copy / "config.json").write_text((copy / "config.json").read_text() + " ")
    assert host.digest(str(copy)) not in (None, base_digest(tiny_model_path))


def test_every_path_of_a_spec_becomes_one_of_the_node(make_spec, tmp_path):
    for name in ("valid.jsonl", "checkpoint-4/a", "warm-start/b"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    spec = make_spec(
        tmp_path / "out",
        validation_file=tmp_path / "valid.jsonl",
        resume_from=tmp_path / "checkpoint-4",
        warm_start_path=tmp_path / "warm-start",
    )
    run = Run(None, CLUSTER, spec, Channel(0), StopFlag(), Traffic())
    there = run.spec_in("/node")
    paths = {n: v for n, v in there if isinstance(v, Path) and n != "base_model_path"}
    assert {path.parent for path in paths.values()} == {Path("/node")}
    assert paths.keys() == {n for n, v in spec if isinstance(v, Path)} - {"base_model_path"}
    names = {path.relative_to("/node") for path in paths.values()}
    sent = {Path(name) for _, name in run.inputs()}
    assert {Path(name).parts[0] for name in map(str, sent)} == {str(n) for n in names} - {"out"}
    assert all(path.is_file() for path, _ in run.inputs())


@pytest.mark.parametrize("name", ["../a", "a/b", "..", "", "/etc/passwd"])
def test_node_names_no_file_outside_a_folder(name):
    with pytest.raises(RuntimeError, match="outside"):
        require_bare_name(name)


@pytest.mark.e2e
def test_actor_reads_what_its_rank_says_and_kills_it(host, tiny_spec: TrainSpec):
    """The rank fails before it loads the libraries; the proof `multi-node` has ranks that train."""
    folder = Path(host.prepare())
    spec = tiny_spec.model_copy(
        update={"output_dir": folder / "out", "base_model_path": folder / "missing"}
    )
    place = RankSpec(rank=0, host=LOOPBACK, port=host.meet(LOOPBACK))
    host.start(spec.model_dump_json(), place.model_dump_json(), "cpu", LOOPBACK, 1)
    output = RankOutput(0)
    while output.code is None:
        chunk, output.code = host.read(1.0)
        output.take(chunk, lambda message: pytest.fail(str(message)))
    assert output.code == EXIT_FAILED
    assert output.failed is not None, host.log_tail().decode()
    assert output.failed.code == "invalid_model"
    host.send(encode(StopCommand()))  # nobody reads it now
    host.end()

    host.start(spec.model_dump_json(), place.model_dump_json(), "cpu", LOOPBACK, 1)
    assert host._process is not None
    started = psutil.Process(host._process.pid)
    host.end()
    assert not started.is_running()
