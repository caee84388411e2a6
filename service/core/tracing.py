"""OpenTelemetry traces, disabled unless the standard environment variables enable them.

If `OTEL_EXPORTER_OTLP_ENDPOINT` (or `…_TRACES_ENDPOINT`) is set, and `OTEL_SDK_DISABLED=true` is
not, spans are exported over OTLP/HTTP. The SDK's own variables control sampling and the rest. If
tracing is disabled, OpenTelemetry is not imported and requests run no code of this module.

A span records what happened, to which object, and how long it took: names, IDs, counts, states. It
contains no prompts, training text or error messages.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

log = logging.getLogger(__name__)

Value = str | int | float | bool
Carrier = Mapping[str, str]
"""W3C `traceparent` and `tracestate`, as used in headers and in a job's record."""

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
PROTOCOL = "http/protobuf"


class Span:
    """A span, or a no-op if tracing is disabled."""

    def __init__(self, real: Any = None) -> None:
        self._real = real

    def set(self, **attributes: Value) -> None:
        """Set attributes. Names get the prefix `finetuned.`."""
        if self._real is not None:
            self._real.set_attributes({f"finetuned.{k}": v for k, v in attributes.items()})

    def set_standard(self, attributes: Mapping[str, Value]) -> None:
        """Set attributes with names defined by OpenTelemetry."""
        if self._real is not None:
            self._real.set_attributes(attributes)

    def rename(self, name: str) -> None:
        """Replace the span's name with a more specific one."""
        if self._real is not None:
            self._real.update_name(name)

    def event(self, name: str) -> None:
        """Add a timestamped event."""
        if self._real is not None:
            self._real.add_event(name)

    def fail(self, kind: str) -> None:
        """Mark the span as failed. `kind` is a class name or code, never a message."""
        if self._real is not None:
            from opentelemetry.trace import StatusCode

            self._real.set_attribute("error.type", kind)
            self._real.set_status(StatusCode.ERROR)

    def end(self) -> None:
        """End the span. Only for spans created by `begin`."""
        if self._real is not None:
            self._real.end()


_NOTHING = Span()
_tracer: Any = None


def endpoint(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the URL that spans are sent to; None if tracing is disabled."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    if environ.get("OTEL_TRACES_EXPORTER", "otlp").strip() != "otlp":
        return None
    own, common = (environ.get(name, "").strip() for name in _ENDPOINTS)
    if own or not common:
        return own or None
    return common.rstrip("/") + "/v1/traces"


def start(process: str, version: str) -> None:
    """Start tracing if the environment enables it."""
    global _tracer  # noqa: PLW0603 - one per process, like the logging configuration
    if endpoint() is None or _tracer is not None:
        return
    protocol = next((os.environ[name] for name in _PROTOCOLS if os.environ.get(name)), PROTOCOL)
    if protocol != PROTOCOL:
        log.warning("no traces: the only supported OTLP protocol is %s, not %s", PROTOCOL, protocol)
        return
    try:
        _tracer = _make_tracer(process, version)
    except ModuleNotFoundError:
        log.warning("no traces: install finetuned-server[tracing]")
        return
    log.info("sending traces")


def is_on() -> bool:
    """Return whether this process traces."""
    return _tracer is not None


def stop() -> None:
    """Export pending spans and stop tracing."""
    global _tracer  # noqa: PLW0603
    if _tracer is not None:
        _provider.shutdown()
        _tracer = None


_provider: Any = None


def _make_tracer(process: str, version: str) -> Any:
    global _provider  # noqa: PLW0603
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    name = os.environ.get("OTEL_SERVICE_NAME", f"finetuned-{process}")
    resource = Resource.create({"service.name": name, "service.version": version})
    _provider = TracerProvider(resource=resource)  # exports pending spans at exit
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return _provider.get_tracer("finetuned", version)


@contextlib.contextmanager
def span(
    name: str, *, parent: Carrier | None = None, kind: str = "internal", **attributes: Value
) -> Iterator[Span]:
    """Open a span around the block; spans created inside are its children.

    Without `parent`, the span becomes a child of the currently open span, if any.
    """
    if _tracer is None:
        yield _NOTHING
        return
    from opentelemetry import trace

    span = begin(name, parent=parent, kind=kind)
    span.set(**attributes)
    # An exception's message can contain anything, so the library must not record it.
    with trace.use_span(
        span._real,  # noqa: SLF001
        end_on_exit=True,
        record_exception=False,
        set_status_on_exception=False,
    ):
        try:
            yield span
        except BaseException as e:
            span.fail(type(e).__name__)
            raise


def begin(
    name: str,
    *,
    parent: Carrier | None = None,
    kind: str = "internal",
    ago_s: float = 0.0,
    **attributes: Value,
) -> Span:
    """Create a span that started `ago_s` seconds ago and stays open until its `end()`.

    It does not become the current span.
    """
    if _tracer is None:
        return _NOTHING
    from opentelemetry.trace import SpanKind

    real = _tracer.start_span(
        name,
        context=None if parent is None else _context(parent),
        kind=SpanKind[kind.upper()],
        start_time=time.time_ns() - int(ago_s * 1e9),
    )
    span = Span(real)
    span.set(**attributes)
    return span


def carrier() -> dict[str, str]:
    """Return the currently open span as a carrier to pass on; empty if there is none."""
    found: dict[str, str] = {}
    if _tracer is not None:
        _propagator().inject(found)
    return found


def _context(parent: Carrier) -> Any:
    from opentelemetry.context import Context

    return _propagator().extract(parent, context=Context())


def _propagator() -> Any:
    # Only W3C's trace context, because baggage would carry arbitrary data from callers.
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator()
