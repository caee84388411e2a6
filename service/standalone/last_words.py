"""One-line reason for a process's death, extracted from the end of its log."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

_MAX_BYTES = 1024 * 1024
_MAX_CHARS = 300
# Matches what our own commands print before they exit, and Python's exception lines, after the
# prefix that vLLM puts before each line of its processes. vLLM wraps the cause in further
# exceptions, so the first match counts.
_ERROR = re.compile(
    r"^(?:\([^()]*\) )?(?:ERROR [^\]\n]*\] )?"
    r"(?:finetuned-server: |(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception): )(?P<what>.+)",
    re.MULTILINE,
)
_RAISED = re.compile(r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*: (?P<what>.+)")
_PYDANTIC = re.compile(r"[0-9]+ validation errors? for ")


_USER = re.compile(r"(?<=://)[^/@\s]*@")


def last_words(log: Path, start: int, secrets: Iterable[str] = ()) -> str:
    """First error in a log from `start` on, or else its last line; empty for an empty log.

    Without the secrets, and without the passwords in URLs.
    """
    words = _USER.sub("", _found(log, start))
    for secret in secrets:
        words = words.replace(secret, "***")
    return words[:_MAX_CHARS]


def _found(log: Path, start: int) -> str:
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(start, size - _MAX_BYTES))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    found = _ERROR.search(text)
    if found is None:
        lines = [line.strip() for line in text.split("\n") if line.strip()]
        return _logged(lines) or next(reversed(lines), "")
    what = found["what"].strip()
    if _PYDANTIC.match(what):  # the actual error is on the next line
        what = text[found.end() :].strip().partition("\n")[0].strip()
    return what


def _logged(lines: Sequence[str]) -> str:
    """Return the last error in JSON logs, one with a traceback if there is any."""
    errors: list[str] = []
    for line in lines:
        with contextlib.suppress(ValueError, TypeError, KeyError):
            record = json.loads(line)
            if record["level"] in ("ERROR", "CRITICAL"):
                errors.append(record.get("exc_info") or record["message"])
    raised = [error for error in errors if "Traceback" in error]
    last = next(reversed(raised or errors), "").strip().rpartition("\n")[2]
    found = _RAISED.fullmatch(last)
    return found["what"] if found else last
