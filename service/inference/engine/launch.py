"""Command line of an engine: vLLM's OpenAI server with the service's plugin and guard.

    finetuned-server inference MODEL

MODEL is a base model, which is served with its adapters. Settings, the catalog entry and the
machine determine all options. vLLM then replaces this process (`exec`), so that signals and exit
codes are vLLM's own.
"""

from __future__ import annotations

import asyncio
import fcntl
import importlib.util
import itertools
import logging
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from service import offline
from service.config import Settings
from service.core import logs, tracing
from service.core.redis import REDIS_ERRORS, connect
from service.datasets.chat_templates import content_format
from service.inference.engine.process import (
    GPUS_VARIABLE,
    LAYOUT_PATH_VARIABLE,
    MODEL_PATH_VARIABLE,
    MODEL_VARIABLE,
)
from service.inference.engine.server import HEADLESS
from service.inference.engine.sizing import BaseModelSizes, Sizes, SizingError, SizingInputs, size
from service.inference.engine.sizing_inputs import gather, on_this_gpu
from service.inference.engine.vllm_options import OptionError, parallel, with_options
from service.models.adapter_check import AdapterMismatch, BaseLayout
from service.models.adapters import highest_recorded_rank
from service.models.catalogue import BaseModelEntry, Catalogue
from service.models.model_folder import folder_fault, serving_fault
from service.models.parsers import ReasoningParsers, ToolCallParsers
from service.training.model.base_folder import has_mistral_format

log = logging.getLogger(__name__)


def flags() -> list[str]:
    """Return vLLM's command-line options for tracing."""
    url = tracing.endpoint()
    return [] if url is None else [f"--otlp-traces-endpoint={url}"]


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that vLLM's exporter reads in addition."""
    if tracing.endpoint() is None:
        return {}
    return {
        "OTEL_SERVICE_NAME": given.get("OTEL_SERVICE_NAME", "finetuned-inference"),
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": tracing.PROTOCOL,  # vLLM's default is gRPC
    }


_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
# vLLM's own variables, for operators. By default, it logs JSON as the other processes do.
_LOGGING = "VLLM_LOGGING_CONFIG_PATH"
# A CPU engine next to others is faster on its own cores.
_BIND = "VLLM_CPU_OMP_THREADS_BIND"
# A machine with few cores is one NUMA node, where vLLM's "auto" would leave a core unused.
_BIND_ALL_UP_TO_CORES = 8
_STORE_PATIENCE_S = 2.0
# vLLM's names. FP8 with one scale per tensor works from compute capability 7.5 on, with one per
# channel from 8.9 on.
_METHODS = {"fp8": "fp8_per_tensor", "nf4": "bitsandbytes"}
# vLLM 0.28 moved NF4 to a package of its own, which registers this plugin.
_NF4_PACKAGE, _NF4_PLUGIN = "vllm_bnb_plugin", "bitsandbytes"


class EngineConfigError(Exception):
    """The engine cannot start with these settings. The message says how to fix it."""


@dataclass(frozen=True)
class Machine:
    """The hardware that the engine runs on."""

    has_gpu: bool
    has_bf16: bool
    cores: tuple[int, ...]

    @classmethod
    def detect(cls) -> Machine:
        """Inspect this machine without importing torch."""
        return cls(
            has_gpu=any(Path(p).exists() for p in ("/dev/nvidia0", "/dev/nvidiactl", "/dev/kfd")),
            has_bf16=not _BF16_FLAGS.isdisjoint(_cpu_flags()),
            cores=tuple(sorted(os.sched_getaffinity(0))),
        )


@dataclass(frozen=True)
class EngineCommand:
    """A process to start: its arguments and the variables to add to its environment."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)  # contains the engine's key
    sizes: Sizes

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """Return the complete environment of the process."""
        # With this variable, vLLM would collect metrics from files that do not exist.
        kept = {name: value for name, value in base.items() if name != "PROMETHEUS_MULTIPROC_DIR"}
        # Otherwise CUDA numbers the fastest GPU 0, and NVML, by which GPUs are chosen, does not.
        return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", **kept, **self.env}


def engine_command(
    settings: Settings,
    model: BaseModelEntry,
    port: int,
    *,
    machine: Machine | None = None,
    facts: SizingInputs | None = None,
    cache: Path | None = None,
    extra: Sequence[str] = (),
) -> EngineCommand:
    """Build the command that starts a base model's engine on `settings.inference_host` and `port`.

    Sizes are derived from `facts`, by default this machine's. `cache` is the adapter folder used
    only by this engine. `extra` is appended, so it overrides other options; sizes take it into
    account, for example for an engine that is divided among GPUs. Raises EngineConfigError.
    """
    machine = machine or Machine.detect()
    path = model.served_path
    facts = facts or gather(model, [model], has_gpu=machine.has_gpu)
    try:
        sizes = size(
            with_options(settings, extra, facts.base.context_length),
            replace(facts, parallel=parallel(extra)),
        )
    except (SizingError, OptionError) as e:
        raise EngineConfigError(str(e)) from e
    if settings.upstream_api_key is None:
        raise EngineConfigError(
            "the engine needs a key shared with the API: set FINETUNED_UPSTREAM_API_KEY"
        )
    argv = (
        sys.executable,
        "-m",
        "service.inference.engine.server",
        *_what_it_serves(model.id, path, sizes),
        *_tokenizer_flags(model, path),
        *_format_flags(path),
        *_quantization_flags(sizes.base),
        *_lora_flags(model.path, sizes),
        *_tool_flags(ToolCallParsers(settings.tool_call_parser).choose(model)),
        *_reasoning_flags(ReasoningParsers(settings.reasoning_parser).choose(model)),
        *_where_it_listens(settings, port),
        *_machine_flags(settings, machine, sizes),
        *flags(),
        *extra,
    )
    env = {
        MODEL_VARIABLE: model.id,
        MODEL_PATH_VARIABLE: str(path),
        LAYOUT_PATH_VARIABLE: str(model.path),
        GPUS_VARIABLE: str(parallel(extra).gpus if machine.has_gpu else 0),
        "FINETUNED_MAX_LORA_RANK": str(sizes.max_lora_rank),  # for the guard's check
        # Required for resolvers. It also opens routes that load and unload adapters, which the
        # guard blocks.
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
        "FINETUNED_ADAPTER_CACHE_DIR": str(cache or settings.adapter_cache / f"engine-{port}"),
        "VLLM_API_KEY": settings.upstream_api_key.get_secret_value(),
        "VLLM_PLUGINS": ",".join(["finetuned_resolver", *_quantization_plugins(sizes.base)]),
        # Longer than the gateway keeps idle connections, see upstreams/client.py.
        "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "75",
        **offline.VARIABLES,
        "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0",
        _LOGGING: os.environ.get(_LOGGING) or str(Path(__file__).with_name("logging.json")),
        **_machine_env(settings, machine),
        **_network_env(extra, os.environ),
        **environment(os.environ),
    }
    return EngineCommand(argv, env, sizes)


def _network_env(extra: Sequence[str], environ: Mapping[str, str]) -> dict[str, str]:
    """Keep the connections between an engine's own processes on loopback.

    vLLM would find the machine's address by connecting a socket to 8.8.8.8, and listen on it. The
    parts of an engine on several machines need that address.
    """
    is_divided = any(word.partition("=")[0] == "--nnodes" for word in extra)
    return {} if is_divided or "VLLM_HOST_IP" in environ else {"VLLM_HOST_IP": "127.0.0.1"}


def _what_it_serves(name: str, path: Path, sizes: Sizes) -> list[str]:
    return [
        f"--model={path}",
        f"--served-model-name={name}",
        f"--max-model-len={sizes.max_model_len}",
        "--enable-prompt-tokens-details",
        # Evaluations send a priority behind that of users. Equal priorities keep their order.
        "--scheduling-policy=priority",
        # The fingerprint reveals version and configuration, and moves within a stream if usage is
        # requested. Without it, a stream is the same whether or not the caller asks for usage.
        "--fingerprint-mode=none",
        # A request can reference an image by URL. This allows only data: URLs.
        "--allowed-media-domains=none.invalid",
        "--no-use-tqdm-on-load",  # progress bars are no log lines
    ]


def _tokenizer_flags(model: BaseModelEntry, path: Path) -> list[str]:
    # Trainings format chats with the base model's own template and tokenizer.json. By default, vLLM
    # uses Mistral's own tokenizer if the folder has it, and for some models no template.
    flags = [
        "--tokenizer-mode=hf",
        f"--chat-template-content-format={content_format(model.path)}",
    ]
    return [*flags, f"--tokenizer={model.path}"] if path == model.serving_path else flags


def _format_flags(path: Path) -> list[str]:
    # By default, vLLM prefers Mistral's own form of the config and of the weights.
    return ["--config-format=hf", *(["--load-format=hf"] if has_mistral_format(path) else [])]


def _quantization_flags(base: BaseModelSizes) -> list[str]:
    name = _METHODS.get(base.quantization)
    return [] if name is None else [f"--quantization={name}"]


def _quantization_plugins(base: BaseModelSizes) -> list[str]:
    if base.quantization != "nf4":
        return []
    if importlib.util.find_spec(_NF4_PACKAGE) is None:
        raise EngineConfigError(
            f"the engine of '{base.id}' needs the package vllm-bnb-plugin to load weights in NF4: "
            f"install it, or choose another serving_quantization in the catalog"
        )
    return [_NF4_PLUGIN]


def _lora_flags(path: Path, sizes: Sizes) -> list[str]:
    if not sizes.max_loras:
        return []
    flags = [
        "--enable-lora",
        f"--max-loras={sizes.max_loras}",
        f"--max-cpu-loras={sizes.max_cpu_loras}",
        f"--max-lora-rank={sizes.max_lora_rank}",
    ]
    # Otherwise vLLM would allocate memory in each slot for an adapter on all experts of a mixture,
    # and would not start on a CPU, whose kernels take none.
    layers = _served_layers(path)
    return [*flags, "--lora-target-modules", *layers] if layers else flags


def _served_layers(path: Path) -> list[str] | None:
    try:
        return BaseLayout.read(path).served_layers()
    except (AdapterMismatch, OSError, ValueError):
        return None  # vLLM reports what is wrong with the folder


def _tool_flags(parser: str | None) -> list[str]:
    if parser is None:
        return []
    # The last constrains the arguments of calls also if their tools are not `strict`.
    choice, level = "--enable-auto-tool-choice", "--tool-strict-level=parameter"
    return [choice, f"--tool-call-parser={parser}", level]


def _reasoning_flags(parser: str | None) -> list[str]:
    return [f"--reasoning-parser={parser}"] if parser else []


def _where_it_listens(settings: Settings, port: int) -> list[str]:
    return [
        f"--host={settings.inference_host}",
        f"--port={port}",
        # By default, vLLM aborts all requests at SIGTERM.
        f"--shutdown-timeout={math.ceil(settings.stop_grace_s)}",
        "--middleware=service.inference.engine.guard.EngineGuard",
        "--disable-fastapi-docs",
        # Prompts and answers are never logged.
        "--no-enable-log-requests",
        "--no-enable-log-outputs",
        "--disable-uvicorn-access-log",
    ]


def _machine_flags(settings: Settings, machine: Machine, sizes: Sizes) -> list[str]:
    if machine.has_gpu:
        flags = ["--dtype=auto", f"--gpu-memory-utilization={sizes.gpu_memory_utilization}"]
        # Without this mode, vLLM cannot be made to release the GPU.
        return [*flags, "--enable-sleep-mode"] if settings.gpu_sharing == "time-slice" else flags
    # A CPU without bfloat16 emulates it, slower than float32. vLLM uses eager mode for adapters
    # anyway; without adapters it would compile, which needs a C++ compiler.
    return [f"--dtype={'bfloat16' if machine.has_bf16 else 'float32'}", "--enforce-eager"]


def _machine_env(settings: Settings, machine: Machine) -> dict[str, str]:
    if machine.has_gpu:
        return {}
    few = len(machine.cores) <= _BIND_ALL_UP_TO_CORES
    return {
        "VLLM_CPU_KVCACHE_SPACE": str(settings.cpu_kv_cache_gib),
        _BIND: os.environ.get(_BIND) or (",".join(map(str, machine.cores)) if few else "auto"),
        # Even in eager mode, vLLM compiles a comparison at the first request for log probabilities.
        # This needs a C++ compiler; without one, as in our image, the engine crashed.
        "TORCHDYNAMO_DISABLE": "1",
    }


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return set()
    return {
        flag
        for line in lines
        if line.startswith(("flags", "Features"))
        for flag in line.partition(":")[2].split()
    }


def main(model_id: str, *, port: int | None = None, extra: Sequence[str] = ()) -> None:
    """Become the engine of a model. Raises EngineConfigError; otherwise does not return.

    Of an engine on several machines, only the first has the server. It downloads the adapters, into
    a folder that all of them see.
    """
    settings = Settings()
    logs.configure("inference", settings.log_level)
    catalogue = Catalogue(settings.models_file)
    model = catalogue.get(model_id)
    if model is None:
        raise EngineConfigError(
            f"the catalog {catalogue.file} has no model '{model_id}': add it with "
            "'finetuned-server models add'"
        )
    for folder in {model.path, model.served_path}:
        if fault := folder_fault(folder):
            raise EngineConfigError(f"the base model '{model.id}' cannot be loaded: {fault}")
    if fault := serving_fault(model):
        raise EngineConfigError(f"the base model '{model.id}' cannot be served: {fault}")
    machine = Machine.detect()
    highest = asyncio.run(highest_rank(settings, model.id))
    cache = settings.adapter_cache
    if HEADLESS not in extra:
        cache = claim_cache(cache, model.id)
    command = engine_command(
        settings,
        model,
        port or settings.inference_port,
        machine=machine,
        facts=gather(
            model,
            on_this_gpu(settings.gpu_models, catalogue.all()),
            has_gpu=machine.has_gpu,
            highest_rank=highest or 0,
        ),
        cache=cache,
        extra=extra,
    )
    for reason in command.sizes.reasons:
        log.info("%s: %s", model_id, reason)
    os.execve(command.argv[0], command.argv, command.environment(os.environ))  # noqa: S606


def claim_cache(root: Path, model_id: str) -> Path:
    """Claim a folder below `root` for this process until it ends, including after `exec`.

    A cache tracks only its own engine's requests. An engine that restarts, on any port, reuses what
    the previous one downloaded. Raises EngineConfigError.
    """
    root.mkdir(parents=True, exist_ok=True)
    for number in itertools.count():
        folder = root / f"{model_id.replace('/', '--')}-{number}"
        file = folder.with_suffix(f"{folder.suffix}.lock")
        try:
            lock = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        except PermissionError as e:
            raise EngineConfigError(
                f"{file} belongs to another user: run engines as the same user, or set "
                "FINETUNED_ADAPTER_CACHE_DIR"
            ) from e
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        os.set_inheritable(lock, True)
        return folder
    raise AssertionError("not reached: there is always a next number")


async def highest_rank(settings: Settings, model_id: str) -> int | None:
    """Return the highest rank of the base model's adapters; None if the store is unavailable."""
    url = settings.redis_url.get_secret_value()
    redis = connect(url, retries=0, timeout_s=_STORE_PATIENCE_S)
    try:
        return await highest_recorded_rank(redis, model_id)
    except REDIS_ERRORS:
        return None
    finally:
        await redis.aclose(close_connection_pool=True)
