"""Salts of vLLM's prefix cache: one for each project, so that none can read another's prompts.

vLLM keeps its work on prompts, whoever sent them. A prompt that begins as one in the cache is
answered sooner, and `cached_tokens` says for how many tokens: without salts that tells any caller
what the other projects send.
"""

from __future__ import annotations

import functools
import hmac
from collections.abc import Callable

_REMEMBERED = 4096


def cache_salts(secret: str) -> Callable[[str], str]:
    """A function from a project's id to its salt.

    All replicas of an api share the secret, and so the cache. A salt is 64 hexadecimal digits,
    which vLLM accepts and no model is named: vLLM has taken a salt for the adapter of its name.
    """
    key = secret.encode()

    @functools.lru_cache(maxsize=_REMEMBERED)
    def salt_of(project_id: str) -> str:
        return hmac.digest(key, f"cache_salt {project_id}".encode(), "sha256").hex()

    return salt_of
