"""vLLM plugin that finds the adapter of a requested model name in the registry.

vLLM loads it in each of its processes (entry point `vllm.general_plugins`), even where vLLM is
used for other purposes; there it does nothing. For that reason, the service is imported inside
the functions.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from pathlib import Path

from vllm.exceptions import RetryableRequestError, VLLMServerError
from vllm.lora.request import LoRARequest
from vllm.lora.resolver import LoRAResolver, LoRAResolverRegistry


class RegistryResolver(LoRAResolver):
    """Looks up adapters in the model registry and returns folders in the engine's cache."""

    async def resolve_lora(self, base_model_name: str, lora_name: str) -> LoRARequest | None:
        """Return the adapter, or None (vLLM answers 404).

        Raises an error that vLLM answers with 503 if a dependency is unavailable, and one that it
        answers with 500 if the adapter is broken. So an existing adapter is never "not found", and
        the base model never answers in its place.
        """
        from service.inference.engine import process
        from service.inference.engine.adapters import AdapterBroken, AdapterUnavailable

        if base_model_name != os.environ.get(process.MODEL_PATH_VARIABLE):
            return None
        try:
            async with process.adapters().hold(lora_name) as path:
                if path is None:
                    return None
                return LoRARequest(
                    lora_name=lora_name,
                    lora_int_id=stable_id(lora_name),
                    lora_path=str(path),
                )
        except AdapterUnavailable as e:
            raise RetryableRequestError(str(e)) from e
        except AdapterBroken as e:
            raise VLLMServerError(f"LoRA adapter '{lora_name}' cannot be served: {e}") from e


def stable_id(name: str) -> int:
    """Return a positive 62-bit number for a name, the same in every process.

    vLLM 0.32 replaces it with its own counter; other versions may not.
    """
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) >> 2 or 1


def register() -> None:
    """Register the plugin. The entry point, called once in each of vLLM's processes."""
    from service.inference.engine import process

    if not process.is_ours():
        return
    from service.inference.engine import constraint_limits, cpu, cpu_fork, cpu_lora, rotary

    base = Path(os.environ[process.MODEL_PATH_VARIABLE])
    process.die_with_parent()
    process.shield_workers()
    cpu_fork.install()
    cpu_lora.install()
    cpu.install_experts(base)
    rotary.install(base)
    cpu.install_wait()
    constraint_limits.install(is_server=multiprocessing.parent_process() is None)
    LoRAResolverRegistry.register_resolver("finetuned", RegistryResolver())
