"""Tests of the engine's command line, without starting it."""

from __future__ import annotations

import json
import logging.config
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from service.config import Settings
from service.inference.engine.launch import (
    EngineConfigError,
    Machine,
    claim_cache,
    engine_command,
)
from service.models.catalogue import BaseModelEntry
from tests.models.folders import with_template

CPU = Machine(has_gpu=False, has_bf16=True, cores=(0, 1))
GPU = Machine(has_gpu=True, has_bf16=True, cores=tuple(range(64)))
MODEL = BaseModelEntry(id="org/tiny", path=Path("/m/tiny"), license="mit", context_length=8192)


@pytest.fixture
def settings(monkeypatch, tmp_path):
    monkeypatch.setenv("FINETUNED_UPSTREAM_API_KEY", "inner-key")
    monkeypatch.setenv("FINETUNED_DATA_DIR", str(tmp_path))

    def make(**changes) -> Settings:
        return Settings(**changes)

    return make


def test_the_operator_may_choose_the_cores_of_an_engine(settings, monkeypatch):
    monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", "1")
    assert command(settings).env["VLLM_CPU_OMP_THREADS_BIND"] == "1"


def test_the_operator_may_choose_how_an_engine_logs(settings, monkeypatch):
    ours = Path(command(settings).env["VLLM_LOGGING_CONFIG_PATH"])
    logging.config.dictConfigClass(json.loads(ours.read_text("utf-8")))
    monkeypatch.setenv("VLLM_LOGGING_CONFIG_PATH", "/etc/logging.json")
    assert command(settings).env["VLLM_LOGGING_CONFIG_PATH"] == "/etc/logging.json"


def command(settings, machine=CPU, model=MODEL, **changes):
    return engine_command(settings(**changes), model, 8100, machine=machine)


def test_an_engine_knows_how_many_gpus_it_costs(settings):
    assert command(settings).env["FINETUNED_ENGINE_GPUS"] == "0"
    assert command(settings, machine=GPU).env["FINETUNED_ENGINE_GPUS"] == "1"
    divided = engine_command(settings(), MODEL, 8100, machine=GPU, extra=["-tp", "4"])
    assert divided.env["FINETUNED_ENGINE_GPUS"] == "4"


def test_serves_the_model_under_its_id(settings):
    argv = command(settings).argv
    assert argv[1:3] == ("-m", "service.inference.engine.server")
    for flag in (
        "--model=/m/tiny",
        "--served-model-name=org/tiny",
        "--max-model-len=8192",
        "--enable-lora",
        "--host=127.0.0.1",
        "--port=8100",
        "--middleware=service.inference.engine.guard.EngineGuard",
        "--scheduling-policy=priority",
    ):
        assert flag in argv


def test_the_key_is_in_the_environment_alone(settings):
    engine = command(settings)
    assert engine.env["VLLM_API_KEY"] == "inner-key"
    assert "inner-key" not in " ".join(engine.argv)
    assert "inner-key" not in repr(engine)


def test_an_engine_on_several_machines_has_an_address_that_they_reach(settings, monkeypatch):
    divided = engine_command(settings(), MODEL, 8100, machine=CPU, extra=["--nnodes=2"])
    assert "VLLM_HOST_IP" not in divided.env
    monkeypatch.setenv("VLLM_HOST_IP", "192.0.2.1")
    assert "VLLM_HOST_IP" not in command(settings).env  # the operator's value stays


def test_nothing_calls_out_and_no_prompt_is_logged(settings):
    engine = command(settings)
    assert engine.env["HF_HUB_OFFLINE"] == "1"
    assert engine.env["VLLM_NO_USAGE_STATS"] == "1"
    assert engine.env["DO_NOT_TRACK"] == "1"
    assert engine.env["VLLM_HOST_IP"] == "127.0.0.1"
    assert "--no-enable-log-requests" in engine.argv
    assert "--allowed-media-domains=none.invalid" in engine.argv
    assert "trust" not in " ".join(engine.argv)


def test_on_a_cpu(settings):
    engine = command(settings, cpu_kv_cache_gib=3)
    assert "--dtype=bfloat16" in engine.argv
    assert engine.env["VLLM_CPU_KVCACHE_SPACE"] == "3"
    assert engine.env["VLLM_CPU_OMP_THREADS_BIND"] == "0,1"
    assert engine.env["TORCHDYNAMO_DISABLE"] == "1"
    assert not any(flag.startswith("--gpu") for flag in engine.argv)


def test_on_a_cpu_without_bfloat16(settings):
    old = Machine(has_gpu=False, has_bf16=False, cores=tuple(range(32)))
    engine = command(settings, old)
    assert "--dtype=float32" in engine.argv
    assert engine.env["VLLM_CPU_OMP_THREADS_BIND"] == "auto"


def test_on_a_gpu(settings):
    engine = command(settings, GPU, gpu_memory_utilization=0.5)
    assert "--gpu-memory-utilization=0.5" in engine.argv
    assert "--dtype=auto" in engine.argv
    assert "--enable-sleep-mode" not in engine.argv
    assert not any(name.startswith(("VLLM_CPU", "TORCHDYNAMO")) for name in engine.env)


def test_on_a_gpu_in_turns_with_trainings_it_can_sleep(settings):
    assert "--enable-sleep-mode" in command(settings, GPU, gpu_sharing="time-slice").argv
    assert "--enable-sleep-mode" not in command(settings, CPU, gpu_sharing="time-slice").argv


def test_the_guard_checks_with_the_engines_rank(settings):
    engine = command(settings, max_lora_rank=9)
    assert engine.env["FINETUNED_MAX_LORA_RANK"] == "16"


@pytest.mark.parametrize(("wanted", "given"), [(1, 1), (8, 8), (9, 16), (48, 64), (512, 512)])
def test_ranks_are_those_that_vllm_takes(settings, wanted, given):
    assert f"--max-lora-rank={given}" in command(settings, max_lora_rank=wanted).argv


def test_a_rank_too_large_is_refused(settings):
    with pytest.raises(EngineConfigError, match="up to 512"):
        command(settings, max_lora_rank=513)


def test_the_context_is_never_longer_than_the_models(settings):
    assert "--max-model-len=2048" in command(settings, max_model_len=2048).argv
    assert "--max-model-len=8192" in command(settings, max_model_len=1_000_000).argv


def test_memory_slots_are_no_fewer_than_the_engines(settings):
    argv = command(settings, max_loras=8, max_cpu_loras=4).argv
    assert "--max-loras=8" in argv
    assert "--max-cpu-loras=8" in argv


def test_tools_are_off_without_a_parser(settings):
    assert "--enable-auto-tool-choice" not in command(settings).argv
    argv = command(settings, tool_call_parser="hermes").argv
    assert "--enable-auto-tool-choice" in argv
    assert "--tool-call-parser=hermes" in argv


def test_the_parser_of_tool_calls_is_detected_from_the_chat_template(settings, tmp_path):
    model = MODEL.model_copy(update={"path": with_template(tmp_path / "base", "qwen3")})
    argv = command(settings, model=model).argv
    assert "--enable-auto-tool-choice" in argv
    assert "--tool-call-parser=hermes" in argv


def test_the_parser_of_thoughts_is_detected_from_the_chat_template(settings, tmp_path):
    model = MODEL.model_copy(update={"path": with_template(tmp_path / "base", "qwen3")})
    assert "--reasoning-parser=qwen3" in command(settings, model=model).argv
    assert not [
        one for one in command(settings, model=MODEL).argv if one.startswith("--reasoning-parser")
    ]


def test_a_cache_of_another_user_is_told(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("service.inference.engine.launch.os.open", refuse)
    with pytest.raises(EngineConfigError, match="belongs to another user"):
        claim_cache(tmp_path, "org/tiny")


CLAIM = """
import sys, time
from pathlib import Path
from service.inference.engine.launch import claim_cache
print(claim_cache(Path(sys.argv[1]), "org/tiny").name, flush=True)
time.sleep(60)
"""


def test_each_engine_has_a_cache_of_its_own_and_finds_it_again(tmp_path):
    def start() -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [sys.executable, "-c", CLAIM, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        return process, process.stdout.readline().strip()

    one, first = start()
    two, second = start()
    assert (first, second) == ("org--tiny-0", "org--tiny-1")
    one.kill()
    one.communicate()
    three, third = start()
    assert third == first
    for process in (two, three):
        process.kill()
        process.communicate()


def test_the_cache_is_told_to_the_engine(settings, tmp_path):
    cache = tmp_path / "mine"
    engine = engine_command(settings(), MODEL, 8100, machine=CPU, cache=cache)
    assert engine.env["FINETUNED_ADAPTER_CACHE_DIR"] == str(cache)


def test_without_a_key_it_does_not_start(settings, monkeypatch):
    monkeypatch.delenv("FINETUNED_UPSTREAM_API_KEY")
    with pytest.raises(EngineConfigError, match="FINETUNED_UPSTREAM_API_KEY"):
        command(settings)


def test_the_environment_is_added_to_the_parents(settings):
    env = command(settings, upstream_api_key=SecretStr("k")).environment({"PATH": "/bin"})
    assert env["PATH"] == "/bin"
    assert env["VLLM_API_KEY"] == "k"
    # The segments of trainers (training/contract/environment.py) slow down engines that sleep.
    assert not any("ALLOC_CONF" in name for name in env)


def served(**changes) -> BaseModelEntry:
    """The model with other weights in its engines."""
    return BaseModelEntry.model_validate(MODEL.model_dump() | changes)


@pytest.mark.parametrize(("template", "form"), [("llama3", "string"), ("gemma4", "openai")])
def test_chats_are_tokenized_as_in_trainings(settings, tmp_path, template, form):
    folder = with_template(tmp_path / "model", template)
    for name in ("model", "consolidated"):  # as in the folders of Mistral's models
        (folder / f"{name}.safetensors").touch()
    engine = command(settings, model=served(path=str(folder)))
    flags = {
        "--tokenizer-mode=hf",
        f"--chat-template-content-format={form}",
        "--config-format=hf",
        "--load-format=hf",
    }
    assert flags <= {*engine.argv}


def test_weights_are_loaded_as_they_are_stored_by_default(settings):
    engine = command(settings)
    assert not any(flag.startswith(("--quantization", "--tokenizer=")) for flag in engine.argv)
    assert engine.env["VLLM_PLUGINS"] == "finetuned_resolver"


def test_weights_in_fp8(settings):
    engine = command(settings, model=served(serving_quantization="fp8"))
    assert "--quantization=fp8_per_tensor" in engine.argv
    assert engine.env["VLLM_PLUGINS"] == "finetuned_resolver"


def test_weights_in_nf4_are_quantized_by_a_plugin_of_vllm(settings, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (tmp_path / "vllm_bnb_plugin").mkdir()
    (tmp_path / "vllm_bnb_plugin" / "__init__.py").touch()
    engine = command(settings, model=served(serving_quantization="nf4"))
    assert "--quantization=bitsandbytes" in engine.argv
    assert engine.env["VLLM_PLUGINS"] == "finetuned_resolver,bitsandbytes"


def test_an_engine_without_the_plugin_says_what_to_install(settings, monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "vllm_bnb_plugin", raising=False)
    with pytest.raises(EngineConfigError, match="needs the package vllm-bnb-plugin"):
        command(settings, model=served(serving_quantization="nf4"))


def test_a_quantized_folder_is_served_in_place_of_the_one_for_trainings(settings):
    engine = command(settings, model=served(serving_path="/m/tiny-awq"))
    assert {"--model=/m/tiny-awq", "--tokenizer=/m/tiny"} <= {*engine.argv}
    assert engine.env["FINETUNED_ENGINE_MODEL_PATH"] == "/m/tiny-awq"
    assert engine.env["FINETUNED_ENGINE_LAYOUT_PATH"] == "/m/tiny"
