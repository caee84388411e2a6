"""Numeric settings of replica health and load balancing, in one place."""

from __future__ import annotations

from dataclasses import dataclass

from service.config import Settings
from service.inference.upstreams.turns import MAX_WAITING


@dataclass(frozen=True)
class Policy:
    """When a replica is ejected, how it returns, and how much of the load it gets."""

    probe_every_s: float = 2.0
    probe_timeout_s: float = 5.0
    max_failed_probes: int = 3
    """Consecutive failed probes. A single one may only mean that the engine is busy."""
    max_failures: int = 3
    """Consecutive requests that were sent but got no complete response."""
    backoff_s: float = 1.0
    """Minimum ejection time in seconds. Doubles while the replica keeps failing."""
    max_backoff_s: float = 30.0
    warmup_s: float = 10.0
    """Seconds until a new or returning replica has its full share."""
    load_factor: float = 1.25
    """Maximum load of one replica, as a multiple of its share of all requests in flight."""
    spill_above: int = 8
    """Requests in flight that a replica can always have, regardless of the others' load."""
    dns_every_s: float = 5.0
    requests_at_once: int = 256
    """Answers that all API processes let an engine work on at once. Further requests wait."""
    max_waiting: int = MAX_WAITING
    """Maximum number of requests that wait for the engines of a model in this process."""

    @classmethod
    def from_settings(cls, settings: Settings) -> Policy:
        """Create the policy from the operator's settings."""
        return cls(
            probe_every_s=settings.upstream_probe_every_s,
            probe_timeout_s=settings.upstream_probe_timeout_s,
            max_failures=settings.upstream_max_failures,
            max_backoff_s=settings.upstream_max_backoff_s,
            warmup_s=settings.upstream_warmup_s,
            load_factor=settings.upstream_load_factor,
            spill_above=settings.upstream_spill_above,
            dns_every_s=settings.upstream_dns_every_s,
            requests_at_once=settings.engine_requests_at_once,
        )
