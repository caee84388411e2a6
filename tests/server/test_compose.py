"""Tests of compose.yaml, as podman-compose reads it, and with FINETUNED_IMAGE_TESTS=1 runs it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import service
from service.config import Settings
from tests.cached import ROOT
from tests.image import build, stand_in

COMPOSE = ROOT / "deploy" / "compose"
PROGRAM = Path(sys.executable).with_name("podman-compose")
VARIABLES = {"MODEL": "tiny", "MODELS_DIR": "/models", "VALKEY_PASSWORD": "p", "ENGINE_KEY": "k"}
PARTS = {"valkey", "api", "worker-cpu", "worker-gpu", "engine"}
OURS = PARTS - {"valkey"}
VALKEY = """
FROM {base}
RUN apt-get update -qq && apt-get install -qq --yes --no-install-recommends valkey-server \\
    valkey-tools && install -d -o 999 -g 999 /data
WORKDIR /data
"""
# Podman in namespaces of its own, on machines without systemd, and without control groups of
# version 2 alone.
RUN = """
set -eu
umount -l /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /run
ip link set lo up
# As timers of systemd do.
(while sleep 3; do for id in $(podman ps --quiet); do podman healthcheck run $id; done; done) \
    >/dev/null 2>&1 &
compose() { podman-compose --file compose.yaml --file compose.cpu.yaml "$@" </dev/null; }
trap 'compose logs; compose down --volumes' EXIT
compose run --rm -T api models add "/models/$FOLDER" --id tiny --license apache-2.0
compose up --detach
SECONDS=0
until curl --silent --fail http://127.0.0.1:8000/readyz; do sleep 1; [ $SECONDS -lt 900 ]; done
echo "ready after $SECONDS s"
podman ps --format '{{.Names}} {{.Status}}'
for name in api worker-cpu worker-gpu engine; do
    podman exec ${PWD##*/}_${name}_1 sh -c 'id; touch /opt/x; grep CapBnd /proc/1/status' 2>&1
done
key=$(compose run --rm -T api keys create --project default | grep -o 'sk-ft-.*')
curl --silent --fail http://127.0.0.1:8000/v1/chat/completions -H "authorization: Bearer $key" \
    -H 'content-type: application/json' \
    -d '{"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}'
echo
SECONDS=0
compose stop
echo "stopped after $SECONDS s"
"""


def config(tmp_path: Path, *files: str, env: dict[str, str]) -> tuple[int, str, str]:
    # `config` asks Podman for its version, and for nothing else.
    podman = tmp_path / "podman"
    podman.write_text("#!/bin/sh\necho podman version 5.4.2\n", "ascii")
    podman.chmod(0o755)
    done = subprocess.run(
        [PROGRAM, *(f"--file={COMPOSE / file}" for file in files), "config"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path), **env},
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def services(tmp_path: Path) -> dict[str, Any]:
    code, text, errors = config(tmp_path, "compose.yaml", env=VARIABLES)
    assert code == 0, errors
    found: dict[str, Any] = yaml.safe_load(text)["services"]
    return found


def test_it_has_all_parts_in_images_of_this_version(services):
    assert services.keys() == PARTS
    for name in OURS:
        assert services[name]["image"].endswith(f":{service.__version__}")


@pytest.mark.parametrize("name", VARIABLES)
def test_a_missing_variable_is_named(tmp_path: Path, name: str):
    env = {key: value for key, value in VARIABLES.items() if key != name}
    code, _, errors = config(tmp_path, "compose.yaml", env=env)
    assert code != 0
    assert "set it in .env" in errors


def test_gpus_are_reserved_where_one_is_used(services):
    for name in ("engine", "worker-gpu"):
        (device,) = services[name]["deploy"]["resources"]["reservations"]["devices"]
        assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    assert not any("deploy" in services[name] for name in ("api", "worker-cpu", "valkey"))


def test_a_machine_without_a_gpu_needs_none(tmp_path: Path):
    env = VARIABLES | {"BUILD": "-cpu"}
    code, text, errors = config(tmp_path, "compose.yaml", "compose.cpu.yaml", env=env)
    assert code == 0, errors
    found = yaml.safe_load(text)["services"]
    assert not any(found[name].get("deploy") for name in PARTS)
    assert found["engine"]["image"] == f"finetuned-inference-cpu:{service.__version__}"


def test_every_variable_is_a_setting(services):
    known = {f"FINETUNED_{name.upper()}" for name in Settings.model_fields}
    for name in OURS:
        ours = {key for key in services[name]["environment"] if key.startswith("FINETUNED_")}
        assert ours <= known


def test_containers_are_hardened_and_run_nothing_from_a_noexec_folder(services):
    for name in PARTS:
        one = services[name]
        assert one["read_only"]
        assert one["cap_drop"] == ["ALL"]
        assert one["security_opt"] == ["no-new-privileges:true"]
        assert one["tmpfs"] == ["/tmp"]
    for name in OURS:
        for variable in ("HOME", "TORCHINDUCTOR_CACHE_DIR"):
            assert services[name]["environment"][variable].startswith("/var/lib/finetuned/")


def test_each_part_may_end_in_its_own_time(services):
    grace_s = Settings().stop_grace_s
    for name in OURS:
        times = 2 if name.startswith("worker") else 1
        assert services[name]["stop_grace_period"] == f"{times * grace_s + 15:.0f}s"


def test_only_the_api_is_reachable_and_only_from_this_machine(services):
    assert services["api"]["ports"] == ["127.0.0.1:8000:8000"]
    assert not any("ports" in services[name] for name in PARTS - {"api"})


@pytest.mark.e2e
@pytest.mark.timeout(3600)
@pytest.mark.skipif(
    os.environ.get("FINETUNED_IMAGE_TESTS") != "1",
    reason="builds images: FINETUNED_IMAGE_TESTS=1 asks for it",
)
def test_it_starts_answers_and_stops(tmp_path: Path, demo_model_path: Path):
    path = f"{os.environ['PATH']}:/usr/lib/podman:/usr/libexec/podman"
    tools = ("podman", "netavark", "ip")
    missing = [name for name in tools if shutil.which(name, path=path) is None]
    if why := build.missing() or (missing and f"not installed: {', '.join(missing)}"):
        pytest.skip(str(why))
    build.build(("api", "worker-cpu", "inference-cpu"))
    (tmp_path / "Dockerfile").write_text(VALKEY.format(base=stand_in.NAME), "utf-8")
    build.buildah("build", "--pull=never", *build.limits(), "--tag=localhost/valkey", tmp_path)
    conf = '[containers]\ncgroups = "disabled"\npids_limit = 0\n'
    (tmp_path / "containers.conf").write_text(conf, "ascii")
    for file in ("compose.yaml", "compose.cpu.yaml"):
        shutil.copy(COMPOSE / file, tmp_path)
    given = {
        **VARIABLES,
        "BUILD": "-cpu",
        "MODELS_DIR": str(demo_model_path.parent),
        "REGISTRY": "localhost/",
        "VALKEY_IMAGE": "localhost/valkey",
    }
    spaces = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    done = subprocess.run(
        ["unshare", *spaces, "--propagation=private", "bash", "-c", RUN],
        cwd=tmp_path,
        env=build.environment()
        | given
        | {
            "CONTAINERS_CONF": str(tmp_path / "containers.conf"),
            "FOLDER": demo_model_path.name,
            "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0
    for name in PARTS:
        assert f"{tmp_path.name}_{name}_1 Up" in done.stdout
    assert done.stdout.count("uid=10001(finetuned)") == len(OURS)
    assert done.stdout.count("'/opt/x': Read-only file system") == len(OURS)
    assert done.stdout.count("CapBnd:\t0000000000000000") == len(OURS)
    answer = next(line for line in done.stdout.splitlines() if '"choices"' in line)
    assert json.loads(answer)["usage"]["completion_tokens"] > 0
