"""OpenTelemetry traces, off unless the standard variables ask for them.

With `OTEL_EXPORTER_OTLP_ENDPOINT` (or `…_TRACES_ENDPOINT`) set, and not `OTEL_SDK_DISABLED=true`,
spans go out over OTLP/HTTP; sampling and the rest are the SDK's own variables. Where tracing is
off nothing of OpenTelemetry is imported, and requests pass no code of this module.

A span tells what happened, to what, and how long it took: names, ids, counts, states. No prompt,
no training text, no error's words.
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
"""`traceparent` and `tracestate` of W3C, as they stand in headers and in a job's record."""

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
PROTOCOL = "http/protobuf"


class Span:
    """One span, or nothing at all where tracing is off."""

    def __init__(self, real: Any = None) -> None:
        self._real = real

    def set(self, **attributes: Value) -> None:
        """Tell more of it; names get the prefix `finetuned.`."""
        if self._real is not None:
            self._real.set_attributes({f"finetuned.{k}": v for k, v in attributes.items()})

    def set_standard(self, attributes: Mapping[str, Value]) -> None:
        """Tell what OpenTelemetry has a name for."""
        if self._real is not None:
            self._real.set_attributes(attributes)

    def rename(self, name: str) -> None:
        """Give it a better name than it had at its beginning."""
        if self._real is not None:
            self._real.update_name(name)

    def event(self, name: str) -> None:
        """Mark a moment in it."""
        if self._real is not None:
            self._real.add_event(name)

    def fail(self, kind: str) -> None:
        """It did not end well; `kind` is a class or code, never a message."""
        if self._real is not None:
            from opentelemetry.trace import StatusCode

            self._real.set_attribute("error.type", kind)
            self._real.set_status(StatusCode.ERROR)

    def end(self) -> None:
        """It is over. Only for spans that `begin` made."""
        if self._real is not None:
            self._real.end()


_NOTHING = Span()
_tracer: Any = None


def endpoint(environ: Mapping[str, str] = os.environ) -> str | None:
    """The URL that spans are sent to; None where tracing is off."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    if environ.get("OTEL_TRACES_EXPORTER", "otlp").strip() != "otlp":
        return None
    own, common = (environ.get(name, "").strip() for name in _ENDPOINTS)
    if own or not common:
        return own or None
    return common.rstrip("/") + "/v1/traces"


def start(process: str, version: str) -> None:
    """Trace from now on, where the environment asks for it."""
    global _tracer  # noqa: PLW0603 - one a process, as the logs' configuration
    if endpoint() is None or _tracer is not None:
        return
    asked = next((os.environ[name] for name in _PROTOCOLS if os.environ.get(name)), PROTOCOL)
    if asked != PROTOCOL:
        log.warning(
            "no traces: of the protocols of OTLP %s is spoken here, not %s", PROTOCOL, asked
        )
        return
    try:
        _tracer = _make_tracer(process, version)
    except ModuleNotFoundError:
        log.warning("no traces: install finetuned-server[tracing]")
        return
    log.info("traces are sent")


def is_on() -> bool:
    """Whether this process traces."""
    return _tracer is not None


def stop() -> None:
    """Send what is left, and trace no more."""
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
    _provider = TracerProvider(resource=resource)  # at exit it sends what is left
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return _provider.get_tracer("finetuned", version)


@contextlib.contextmanager
def span(
    name: str, *, parent: Carrier | None = None, kind: str = "internal", **attributes: Value
) -> Iterator[Span]:
    """A span around the block, the parent of those made inside it.

    `parent` is where it belongs; without one, below the span that is open here, if any.
    """
    if _tracer is None:
        yield _NOTHING
        return
    from opentelemetry import trace

    made = begin(name, parent=parent, kind=kind)
    made.set(**attributes)
    # An exception's message may be anything, so the library must not record it.
    with trace.use_span(
        made._real,  # noqa: SLF001
        end_on_exit=True,
        record_exception=False,
        set_status_on_exception=False,
    ):
        try:
            yield made
        except BaseException as e:
            made.fail(type(e).__name__)
            raise


def begin(
    name: str,
    *,
    parent: Carrier | None = None,
    kind: str = "internal",
    ago_s: float = 0.0,
    **attributes: Value,
) -> Span:
    """A span that began so long ago, and lasts until its `end()`. It is no parent."""
    if _tracer is None:
        return _NOTHING
    from opentelemetry.trace import SpanKind

    real = _tracer.start_span(
        name,
        context=None if parent is None else _context(parent),
        kind=SpanKind[kind.upper()],
        start_time=time.time_ns() - int(ago_s * 1e9),
    )
    made = Span(real)
    made.set(**attributes)
    return made


def carrier() -> dict[str, str]:
    """The span that is open here, to be passed on; empty where there is none."""
    found: dict[str, str] = {}
    if _tracer is not None:
        _propagator().inject(found)
    return found


def _context(parent: Carrier) -> Any:
    from opentelemetry.context import Context

    return _propagator().extract(parent, context=Context())


def _propagator() -> Any:
    # W3C's trace context alone: baggage carries whatever a caller put into it.
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator()
