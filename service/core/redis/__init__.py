"""Redis (or Valkey): the client, its connections, users and transactions, and room for records.

This package knows keys and bytes, and no kind of record. Import the client from here.
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
