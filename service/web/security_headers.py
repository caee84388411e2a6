"""Security headers of every response.

A response may set its own: pages allow their styles and scripts, and files of the reference may be
cached.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

Header = tuple[bytes, bytes]

SAFE: Final[tuple[Header, ...]] = (
    (b"x-content-type-options", b"nosniff"),
    # Responses contain data of a project: no browser and no proxy may keep them.
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
)
STREAM: Final[tuple[Header, ...]] = (*SAFE, (b"x-accel-buffering", b"no"))
"""For event streams, which a proxy must not buffer."""


def missing(headers: Iterable[Header]) -> Iterable[Header]:
    """Return the headers that a response does not have."""
    names = {name.lower() for name, _ in headers}
    return [header for header in SAFE if header[0] not in names]
