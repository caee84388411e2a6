"""Removal of objects that deleted, failed and cancelled exports leave in storage.

The reconciler of every worker runs it. So the API answers a deletion at once, and a crash does not
interrupt it for good.
"""

from __future__ import annotations

from service.core.storage import Storage
from service.exports.records import Exports


async def sweep(exports: Exports, storage: Storage, member: str) -> None:
    """Remove the remains of the export with this name in the set."""
    project_id, export_id = member.split("/", 1)
    record = await exports.records.get(project_id, export_id)
    if record is None or (record.is_final and record.key is None):
        await storage.delete_prefix(f"{project_id}/exports/{export_id}")
    await exports.swept(member)
