"""Redis keys of usage and limits.

    finetuned:{project}:usage:{1m|1h}:{start}   hash: "{key id} {model}" → sums (Counts)
    finetuned:usage:{1m|1h}:{start}             set: the projects that have this hash
    finetuned:limits:{key or project}           hash: {requests|tokens}_{used|at_s}
    finetuned:in-flight:{replica}               hash: key or project → "requests streams"
    finetuned:in-flight                         set: the replicas
    finetuned:usage-settled:{replica}           number of the last applied batch
    finetuned:audit-requests                    hash: "{minute} {project} {key id}" → requests

All keys expire, except the last, which a worker moves to the audit log. Days are summed from
hours.
"""

from __future__ import annotations

from service.core.records import PREFIX
from service.usage.sums import Width

_DAY_S = 24 * 3600
KEPT_S: dict[Width, int] = {"1m": 2 * _DAY_S, "1h": 400 * _DAY_S}
LIMITS_KEPT_S = 180  # a bucket at its maximum is empty after two minutes
SETTLED_KEPT_S = 2 * _DAY_S

# Maximum number of key and model pairs with separate sums per interval and project; the rest
# share one. One hour of a project is then at most 300 KB.
MAX_GROUPS = 2000
OF_BATCHES = " batch"  # end of the fields of batches; names of models have no spaces
OVERFLOW = "other other"

REPLICAS = f"{PREFIX}:in-flight"
IN_FLIGHT = f"{REPLICAS}:"
AUDITED = f"{PREFIX}:audit-requests"


def usage(project_id: str, width: Width, start_s: int) -> str:
    """The key of one project's sums in one interval."""
    return f"{PREFIX}:{project_id}:usage:{width}:{start_s}"


def usage_index(width: Width, start_s: int) -> str:
    """The key of the set of projects with usage in one interval."""
    return f"{PREFIX}:usage:{width}:{start_s}"


def limits(subject_id: str) -> str:
    """The key of the current limit usage of an API key or project."""
    return f"{PREFIX}:limits:{subject_id}"


def settled(replica: str) -> str:
    """The key of the number of a replica's last applied batch."""
    return f"{PREFIX}:usage-settled:{replica}"


def audited(project_id: str, key_id: str, minute_s: int, *, batch: bool) -> str:
    """The field of a key's requests in a minute, until the audit log has an entry about them."""
    return f"{minute_s} {project_id} {key_id}{OF_BATCHES if batch else ''}"
