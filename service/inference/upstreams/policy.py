"""How replicas are judged and loaded: the numbers, in one place."""

from __future__ import annotations

from dataclasses import dataclass

from service.config import Settings


@dataclass(frozen=True)
class Policy:
    """When a replica is left out, how it comes back, and how much of the load it gets."""

    probe_every_s: float = 2.0
    probe_timeout_s: float = 5.0
    max_failed_probes: int = 3
    """So many in a row; one alone may be an engine that is busy."""
    max_failures: int = 3
    """Requests in a row that were sent and got no whole answer."""
    backoff_s: float = 1.0
    """The shortest time that a replica is left out; doubled while it keeps falling out."""
    max_backoff_s: float = 30.0
    warmup_s: float = 10.0
    """Until a replica that came (back) has its full share."""
    load_factor: float = 1.25
    """Most that one replica takes, as a multiple of its share of all requests in flight."""
    spill_above: int = 8
    """Requests in flight that a replica may have whatever the others have."""
    dns_every_s: float = 5.0

    @classmethod
    def from_settings(cls, settings: Settings) -> Policy:
        """As the operator set it."""
        return cls(
            probe_every_s=settings.upstream_probe_every_s,
            probe_timeout_s=settings.upstream_probe_timeout_s,
            max_failures=settings.upstream_max_failures,
            max_backoff_s=settings.upstream_max_backoff_s,
            warmup_s=settings.upstream_warmup_s,
            load_factor=settings.upstream_load_factor,
            spill_above=settings.upstream_spill_above,
            dns_every_s=settings.upstream_dns_every_s,
        )
