"""How an engine is told to send its spans to where ours go; nothing where tracing is off."""

from __future__ import annotations

from collections.abc import Mapping

from service.core import tracing


def flags() -> list[str]:
    """vLLM's own option."""
    url = tracing.endpoint()
    return [] if url is None else [f"--otlp-traces-endpoint={url}"]


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """What vLLM's exporter reads beside it."""
    if tracing.endpoint() is None:
        return {}
    return {
        "OTEL_SERVICE_NAME": given.get("OTEL_SERVICE_NAME", "finetuned-inference"),
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": tracing.PROTOCOL,  # vLLM's default is gRPC
    }
