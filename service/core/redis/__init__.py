"""Redis (or Valkey). This package knows keys and bytes, and no kind of record.

Import the client from here. `transactions.py` makes a transaction exactly once, `record_quota.py`
decides when a project may store no more, `acl.py` lists what each process may do, `rewriting.py`
removes deleted data from Redis' files, and `time_sync.py` follows the clock of Redis.
"""

from service.core.redis.client import (
    BEYOND_LIMIT,
    REDIS_ERRORS,
    Client,
    Confirmation,
    Purpose,
    Unconfirmed,
    batched,
    beyond_limit,
    connect,
    from_json,
    is_refusal,
    processes,
    purpose,
    reply,
    set_purpose,
    text,
    to_json,
    why,
    writing_for,
)

__all__ = [
    "BEYOND_LIMIT",
    "REDIS_ERRORS",
    "Client",
    "Confirmation",
    "Purpose",
    "Unconfirmed",
    "batched",
    "beyond_limit",
    "connect",
    "from_json",
    "is_refusal",
    "processes",
    "purpose",
    "reply",
    "set_purpose",
    "text",
    "to_json",
    "why",
    "writing_for",
]
