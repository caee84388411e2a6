"""Where usage and limits are in Redis.

    finetuned:{project}:usage:{1m|1h}:{start}   hash: "{key id} {model}" → sums (Counts)
    finetuned:usage:{1m|1h}:{start}             set: the projects that have such a hash
    finetuned:limits:{key or project}           hash: {requests|tokens}_{used|at_s}
    finetuned:in-flight:{replica}               hash: key or project → "requests streams"
    finetuned:in-flight                         set: the replicas
    finetuned:usage-settled:{replica}           number of the last batch that was added

All expire. A day is the sum of its hours.
"""

from __future__ import annotations

from service.core.records import PREFIX
from service.usage.rows import Width

_DAY_S = 24 * 3600
KEPT_S: dict[Width, int] = {"1m": 2 * _DAY_S, "1h": 400 * _DAY_S}
LIMITS_KEPT_S = 180  # a bucket that is as full as can be is empty after two minutes
SETTLED_KEPT_S = 2 * _DAY_S

# Most pairs of key and model with sums of their own in one span of one project; the rest
# share one. A project's hour is then at most 300 KB.
MAX_GROUPS = 2000
OVERFLOW = "other other"

REPLICAS = f"{PREFIX}:in-flight"
IN_FLIGHT = f"{REPLICAS}:"


def usage(project_id: str, width: Width, start_s: int) -> str:
    """The sums of one project in one span."""
    return f"{PREFIX}:{project_id}:usage:{width}:{start_s}"


def usage_index(width: Width, start_s: int) -> str:
    """The projects with usage in one span."""
    return f"{PREFIX}:usage:{width}:{start_s}"


def limits(subject_id: str) -> str:
    """What a key or project used of its limits."""
    return f"{PREFIX}:limits:{subject_id}"


def settled(replica: str) -> str:
    """The number of a replica's last batch."""
    return f"{PREFIX}:usage-settled:{replica}"
