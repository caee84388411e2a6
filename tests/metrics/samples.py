"""Reads scraped metrics by name and labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client import generate_latest
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


class Since:
    """Growth of this process's samples since the object was created."""

    def __init__(self) -> None:
        self._before = parsed(generate_latest().decode())

    def grown(self, name: str, **labels: str) -> float:
        now = parsed(generate_latest().decode())
        return (value(now, name, **labels) or 0) - (value(self._before, name, **labels) or 0)
