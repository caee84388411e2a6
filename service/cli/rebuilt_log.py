"""What a `rebuild` says about the audit log: what is left of it, and what is not.

The entry that it leaves in the log has the same figures, so that later readers of the log know
between which times entries may be missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from service.audit.checkpoints import BadCheckpoint
from service.audit.stored_log import LogState, compare_with_redis
from service.backup.replay import Replayed
from service.cli.common import public_key, time_text
from service.cli.recorded import Chore, record
from service.core.audit_events import AuditEvent
from service.core.redis import Client
from service.core.signing import SigningKeyError
from service.core.storage import Storage, StorageError


class RebuiltLog:
    """The audit log of an installation whose Redis was lost."""

    def __init__(self, redis: Client, storage: Storage, data_dir: Path | None) -> None:
        self._redis = redis
        self._storage = storage
        self._data_dir = data_dir
        self.lines: list[str] = []
        """For the operator."""

    async def note(self, restored: Mapping[str, int], done: Replayed | None) -> None:
        """Look at the log, and record the rebuild in it."""
        counts = dict(restored) | ({"records": done.records} if done else {})
        try:
            keys = [public_key(self._data_dir)]
        except SigningKeyError:
            keys = []
        try:
            found = await compare_with_redis(self._redis, self._storage, keys)
        except (BadCheckpoint, msgspec.DecodeError, StorageError) as e:
            self.lines.append(f"the audit log in storage cannot be read ({e}): run 'audit verify'")
        else:
            whole_until = max(found.newest_at, done.taken_at if done else 0.0)
            counts["audit_entries_sealed"] = found.sealed
            counts["audit_entries_restored"] = found.unsealed
            counts["audit_whole_until"] = int(whole_until)
            self.lines += _lines(found, whole_until)
        await record(self._redis, AuditEvent.INSTALLATION_REBUILT, Chore(counts=counts))


def _lines(found: LogState, whole_until: float) -> list[str]:
    lines = []
    if found.sealed or found.unsealed:
        lines.append(
            f"the audit log continues: {found.sealed:,} entries are sealed in storage, and "
            f"{found.unsealed:,} are from the journal. What was recorded after "
            f"{time_text(whole_until)} is lost"
        )
    else:
        lines.append("the audit log is empty: none of its entries were in storage")
    if not found.is_signed_with:
        lines.append(
            "the key that signed the audit log is not here. Restore its file, or make another one "
            "(see FINETUNED_SIGNING_KEY_FILE), which signs from then on: 'audit verify' then needs "
            "both, as --key OLD.pem --key NEW.pem"
        )
    return lines
