"""JSON logs with the ids that tie lines together: request_id, job_id, project_id.

The ids live in context variables, so a line logged anywhere below a request or a job
carries them. Training text, prompts and keys are never logged; nothing here could know
them, and no call site passes them.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from contextvars import ContextVar

from pythonjsonlogger.json import JsonFormatter

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
job_id: ContextVar[str | None] = ContextVar("job_id", default=None)

_QUIET = ("uvicorn.access", "httpx", "aiohttp.access")


class _Ids(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id.get()
        record.job_id = job_id.get()
        return True


@contextlib.contextmanager
def bound(variable: ContextVar[str | None], value: str) -> Iterator[None]:
    """Set an id for all lines logged inside the block."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def configure(process: str, level: str = "INFO") -> None:
    """Send every logger's lines to stderr as JSON, named by the process they come from."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_Ids())
    handler.setFormatter(
        JsonFormatter(
            "%(asctime)s %(levelname)s %(name)s %(message)s %(request_id)s %(job_id)s",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
            static_fields={"process": process},
            datefmt="%Y-%m-%dT%H:%M:%S%z",
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
