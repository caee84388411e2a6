"""Creates and validates object IDs, with one prefix per kind.

IDs become parts of Redis keys and storage paths, so only the characters below are allowed: no
slash, no dot, no wildcard.
"""

from __future__ import annotations

import itertools
import re
import secrets

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_RANDOM_CHARS = 24  # 124 bits: not guessable, never repeated

FILE = "file-"
UPLOAD = "upload_"
PART = "part_"
JOB = "ftjob-"
EVENT = "ftevent-"
CHECKPOINT = "ftckpt_"
PROJECT = "proj_"
KEY = "key_"
SESSION = "session_"
SERVICE_ACCOUNT = "svc_acct_"
MODEL_PERMISSION = "cp_"
APPROVAL = "approval_"
REQUEST = "req_"
REPORT = "filereport-"
PREVIEW = "filepreview-"
CLEANING = "fileclean-"
MEASURE = "filemeasure-"
OVERLAP = "fileoverlap-"
DIFF = "filediff-"
MERGE = "filemerge-"
MODEL_IMPORT = "modelimport-"
ADAPTER = "adapter-"
WEBHOOK = "webhook_"
WEBHOOK_EVENT = "evt_"
WEBHOOK_DELIVERY = "whdelivery-"
ADVICE = "ftadvice-"
EXPORT = "export-"
EVAL = "eval_"
EVAL_RUN = "evalrun_"
ALIAS_CHECK = "aliascheck-"
OUTPUT_ITEM = "outputitem_"
BATCH = "batch_"
BATCH_REQUEST = "batch_req_"
GENERATION = "dsgen_"
ERASURE = "erasure-"
RECEIPT = "receipt-"
# Version 0.2 called receipts `erasure-…`, and erasures this.
OLD_ERASURE = "erasuresearch-"

# A random prefix per process, followed by a counter.
_REQUEST_PREFIX = f"{REQUEST}{secrets.token_hex(10)}"
_REQUESTS = itertools.count(1)

_UNIQUE_PART = re.compile(r"[0-9A-Za-z]{1,64}")


def random_part(chars: int = _RANDOM_CHARS) -> str:
    """Return random lowercase letters and digits from the system's secure source."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(chars))


def new(prefix: str) -> str:
    """Return a new ID with the given prefix."""
    return prefix + random_part()


def request_id() -> str:
    """Return a new request ID. It is unique but not secret, because it is cheap to create."""
    return f"{_REQUEST_PREFIX}{next(_REQUESTS):08x}"


def is_valid(value: str, prefix: str) -> bool:
    """Return whether `value` is a well-formed ID of this kind."""
    return value.startswith(prefix) and _UNIQUE_PART.fullmatch(value, len(prefix)) is not None
