"""Per-project salts for vLLM's prefix cache, so that no project can probe another's prompts.

vLLM shares its cached work on prompts between all callers. A prompt with a cached prefix is
answered faster, and `cached_tokens` gives the length of that prefix. Without salts, any caller
could find out what other projects send.
"""

from __future__ import annotations

import functools
import hmac
from collections.abc import Callable

_REMEMBERED = 4096


def cache_salts(secret: str) -> Callable[[str], str]:
    """Return a function that maps a project ID to its salt.

    All replicas of the API share the secret and therefore the cache. A salt is 64 hexadecimal
    digits: vLLM accepts this form, and no model has such a name. vLLM has mistaken a salt for the
    adapter of the same name.
    """
    key = secret.encode()

    @functools.lru_cache(maxsize=_REMEMBERED)
    def salt_of(project_id: str) -> str:
        return hmac.digest(key, f"cache_salt {project_id}".encode(), "sha256").hex()

    return salt_of


def salt_members(secret: str) -> Callable[[str], bytes]:
    """Return a function that maps a project ID to the member of a request that has its salt."""
    salt_of = cache_salts(secret)

    @functools.lru_cache(maxsize=_REMEMBERED)
    def member_of(project_id: str) -> bytes:
        return b'"cache_salt":"%b"' % salt_of(project_id).encode()

    return member_of
