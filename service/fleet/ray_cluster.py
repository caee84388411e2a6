"""Checks that a worker can use its Ray cluster, without importing Ray."""

from __future__ import annotations

import importlib.util
import socket
import sys
from urllib.parse import urlsplit

from service.config import Settings

_CONNECT_S = 3.0
INSTALL = "pip install 'finetuned-server[ray]'"


def lacks_ray(settings: Settings) -> bool:
    """Return whether the settings name a Ray cluster, but the package is missing."""
    return settings.ray_address is not None and importlib.util.find_spec("ray") is None


def require_ray(settings: Settings) -> None:
    """Exit this process if it cannot use the Ray cluster of its settings.

    A cluster that is down passes: each training waits for it.
    """
    if lacks_ray(settings):
        sys.exit(
            "finetuned-server: FINETUNED_RAY_ADDRESS needs the package ray, which is not "
            f"installed: {INSTALL}, in the same version as on the cluster"
        )


def connection_fault(address: str) -> str | None:
    """Return why the port of a cluster, as HOST:PORT or ray://HOST:PORT, cannot be reached."""
    place = urlsplit(address if "://" in address else f"ray://{address}")
    try:
        socket.create_connection((place.hostname, place.port), _CONNECT_S).close()
    except OSError as e:
        return e.strerror or type(e).__name__
    return None
