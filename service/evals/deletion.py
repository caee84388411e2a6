"""Removal of what deleted evals and runs leave in Redis and storage.

The reconciler of every worker runs it. So the API answers a deletion at once, and a crash does not
interrupt it for good.
"""

from __future__ import annotations

from service.core.storage import Storage
from service.evals.records import Evals


async def sweep(evals: Evals, storage: Storage, member: str) -> None:
    """Remove what is left of the deleted eval or run with this name in the set."""
    project_id, eval_id, *run = member.split("/")
    if run:
        is_deleted = await evals.runs(eval_id).get(project_id, run[0]) is None
    else:
        is_deleted = await evals.evals.get(project_id, eval_id) is None
    if is_deleted:
        if not run:
            await evals.delete_runs_of(project_id, eval_id)
        await storage.delete_prefix("/".join([project_id, "evals", eval_id, *run]))
    await evals.swept(member)
