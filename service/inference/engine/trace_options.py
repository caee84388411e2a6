"""Options that send an engine's spans where the service sends its own; none if tracing is off."""

from __future__ import annotations

from collections.abc import Mapping

from service.core import tracing


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
