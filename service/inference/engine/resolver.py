"""vLLM's plugin: finds the adapter of a requested model name in the registry.

vLLM loads it in each of its processes (entry point `vllm.general_plugins`), also where
vLLM is used for something else; there it does nothing. Imports of the service are inside
the functions for that reason.
"""

from __future__ import annotations

import hashlib
import os

from vllm.exceptions import RetryableRequestError, VLLMServerError
from vllm.lora.request import LoRARequest
from vllm.lora.resolver import LoRAResolver, LoRAResolverRegistry


class RegistryResolver(LoRAResolver):
    """Asks the model registry; answers with a folder in the engine's cache."""

    async def resolve_lora(self, base_model_name: str, lora_name: str) -> LoRARequest | None:
        """The adapter, or None (vLLM answers 404).

        What is away raises an error that vLLM answers with 503, what is broken one that it
        answers with 500: an adapter that exists is never "not found", and the base model
        never answers in its place.
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
    """A positive number of 62 bits, the same for a name in every process.

    vLLM 0.32 replaces it by a counter of its own; other versions may not.
    """
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) >> 2 or 1


def register() -> None:
    """The entry point. Called once in each of vLLM's processes."""
    from service.inference.engine import process

    if not process.is_ours():
        return
    from service.inference.engine import cpu_lora, cpu_wait

    process.die_with_parent()
    cpu_lora.install()
    cpu_wait.install()
    LoRAResolverRegistry.register_resolver("finetuned", RegistryResolver())
