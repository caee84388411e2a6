"""JSON logs with IDs that correlate lines: request_id, job_id, project_id.

The IDs are context variables, so every line logged during a request or a job includes them.
Training text, prompts and keys are never logged: this module has no access to them, and no caller
passes them.
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
    """Set an ID for all lines logged inside the block."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def formatter(process: str) -> logging.Formatter:
    """Return the formatter of all log lines of a process, which is named in each of them."""
    return JsonFormatter(
        "%(asctime)s %(levelname)s %(name)s %(message)s %(request_id)s %(job_id)s",
        rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
        static_fields={"process": process},
        datefmt="%Y-%m-%dT%H:%M:%S%z",
    )


def configure(process: str, level: str = "INFO") -> None:
    """Send all log lines to stderr as JSON, labeled with the process that they come from."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_Ids())
    handler.setFormatter(formatter(process))
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
