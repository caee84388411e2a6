"""Reads the metrics of an engine: what vLLM exports, and what this service adds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Self

from prometheus_client.parser import text_string_to_metric_families

_RUNNING: Final = "vllm:num_requests_running"
_WAITING: Final = "vllm:num_requests_waiting"
_CACHE: Final = "vllm:kv_cache_usage_perc"
_ADAPTERS_IN_USE: Final = "vllm:lora_requests_info"
_ADAPTERS: Final = "finetuned_adapters"
_BUILD: Final = "finetuned_build_info"
_WANTED: Final = (_RUNNING, _WAITING, _CACHE, _ADAPTERS_IN_USE, _ADAPTERS, _BUILD)


@dataclass(frozen=True)
class EngineMetrics:
    """What an engine does now. A figure is None if the engine does not export it."""

    running: int | None = None
    waiting: int | None = None
    cache_usage: float | None = None
    """Used share of the memory for the tokens of requests, from 0 to 1."""
    adapters_loaded: int | None = None
    adapters_on_disk: int | None = None
    running_adapters: tuple[str, ...] = ()
    waiting_adapters: tuple[str, ...] = ()
    version: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse metrics in the text format of Prometheus. Of a text with faults, nothing is read:
        one engine must not keep those of the others from being listed.
        """
        try:
            return cls._parse(text)
        except ValueError:
            return cls()

    @classmethod
    def _parse(cls, text: str) -> Self:
        # An engine exports thousands of lines, and the parser takes 10 µs for each.
        lines = [line for line in text.splitlines() if line.startswith(_WANTED)]
        figures: dict[tuple[str, str], float] = {}
        labels: dict[str, dict[str, str]] = {}
        newest = -math.inf
        for family in text_string_to_metric_families("\n".join([*lines, ""])):
            for sample in family.samples:
                if sample.name == _ADAPTERS_IN_USE:
                    if sample.value <= newest:
                        continue  # vLLM keeps a series of each set of adapters
                    newest = sample.value
                labels[sample.name] = sample.labels
                key = (sample.name, sample.labels.get("place", ""))
                # The engines of data parallelism have series of their own. A share is that of the
                # fullest one; the other figures are sums.
                before = figures.get(key, 0.0)
                is_share = sample.name == _CACHE
                figures[key] = max(before, sample.value) if is_share else before + sample.value
        in_use = labels.get(_ADAPTERS_IN_USE, {})
        return cls(
            running=_whole(figures.get((_RUNNING, ""))),
            waiting=_whole(figures.get((_WAITING, ""))),
            cache_usage=figures.get((_CACHE, "")),
            adapters_loaded=_whole(figures.get((_ADAPTERS, "memory"))),
            adapters_on_disk=_whole(figures.get((_ADAPTERS, "disk"))),
            running_adapters=_names(in_use.get("running_lora_adapters")),
            waiting_adapters=_names(in_use.get("waiting_lora_adapters")),
            version=labels.get(_BUILD, {}).get("version"),
        )


def _whole(value: float | None) -> int | None:
    return None if value is None or not math.isfinite(value) else int(value)


def _names(listed: str | None) -> tuple[str, ...]:
    return tuple(sorted(filter(None, (listed or "").split(","))))
