"""Ids of objects: made here, checked here, by one pattern each.

An id goes into Redis keys and storage paths, so nothing but the characters below may
ever pass: no slash, no dot, no wildcard.
"""

from __future__ import annotations

import itertools
import re
import secrets
import time

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_RANDOM_CHARS = 24  # 124 bits: not to be guessed, never twice

FILE = "file-"
UPLOAD = "upload_"
PART = "part_"
JOB = "ftjob-"
EVENT = "ftevent-"
CHECKPOINT = "ftckpt_"
PROJECT = "proj_"
KEY = "key_"
REQUEST = "req_"
REPORT = "filereport-"
CLEANING = "fileclean-"
MEASURE = "filemeasure-"
WEBHOOK = "webhook_"
WEBHOOK_EVENT = "evt_"
WEBHOOK_DELIVERY = "whdelivery-"

# Of this process: by chance, then counted.
_REQUEST_PREFIX = f"{REQUEST}{secrets.token_hex(10)}"
_REQUESTS = itertools.count(1)

_ID = re.compile(
    r"(?:file-|fileclean-|upload_|part_|ftjob-|ftckpt_|proj_|key_|webhook_)[0-9A-Za-z]{1,64}"
)


def random_part(chars: int = _RANDOM_CHARS) -> str:
    """Random lower-case letters and digits from the system's secure source."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(chars))


def new(prefix: str) -> str:
    """A fresh id with the given prefix."""
    return prefix + random_part()


def request_id() -> str:
    """A fresh id of a request: never twice, but no secret, for it is made at every request."""
    return f"{_REQUEST_PREFIX}{next(_REQUESTS):08x}"


def is_valid(value: str, prefix: str) -> bool:
    """Whether `value` is a well-formed id of this kind."""
    return value.startswith(prefix) and _ID.fullmatch(value) is not None


def now_s() -> int:
    """UTC seconds, as every time on the wire."""
    return int(time.time())
