"""Tests of compose.yaml, as podman-compose reads it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import service
from service.config import Settings
from tests.cached import ROOT

COMPOSE = ROOT / "deploy" / "compose"
PROGRAM = Path(sys.executable).with_name("podman-compose")
VARIABLES = {"MODEL": "tiny", "MODELS_DIR": "/models", "VALKEY_PASSWORD": "p", "ENGINE_KEY": "k"}
PARTS = {"valkey", "api", "worker-cpu", "worker-gpu", "engine"}
OURS = PARTS - {"valkey"}


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
