"""Reads scraped metrics by name and labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

Samples = Mapping[tuple[str, frozenset[Any]], float]


def parsed(text: str) -> Samples:
    return {
        (s.name, frozenset(s.labels.items())): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float | None:
    """Return one sample of a finetuned metric; None if it is missing."""
    return samples.get((f"finetuned_{name}", frozenset(labels.items())))


def current() -> Samples:
    """Return this process's samples, without writing and parsing them as text."""
    return {
        (s.name, frozenset(s.labels.items())): s.value
        for family in REGISTRY.collect()
        for s in family.samples
    }


class Since:
    """Growth of this process's samples since the object was created."""

    def __init__(self) -> None:
        self._before = current()

    def grown(self, name: str, **labels: str) -> float:
        now = current()
        return (value(now, name, **labels) or 0) - (value(self._before, name, **labels) or 0)
