"""The table of docs/audit.md: which operations leave which entries.

`python -m tests.audit.table --write` writes it.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from typing import Final

from fastapi.routing import APIRoute

from service.app import create_app
from service.config import Settings
from service.inference.gateway.schemas import router as inference_routes
from service.web.audit_events import AuditEvent
from service.web.permissions import event_of

PAGE: Final = Path(__file__).parents[2] / "docs" / "audit.md"
_BEGIN, _END = "| event | operations |\n|---|---|\n", "\n\n"
OTHERS: Final = {
    AuditEvent.LOGIN_FAILED: "all, with a key that is missing, unknown, expired or misplaced; "
    "`completeSignIn` that failed",
    AuditEvent.ACCESS_DENIED: "all, with a key whose role lacks the permission",
    AuditEvent.CAPTURE_ENABLED: "`updateProject` with settings of `capture`",
    AuditEvent.CAPTURE_DISABLED: "`updateProject` with `null` as `capture`",
    AuditEvent.CAPTURE_DELEGATED: "`updateProject` with `capture_managed_by`, but no `capture`",
    AuditEvent.FILE_ROWS_REVEALED: "`listDatasetReportRows` and `listDatasetDiffRows` with "
    "`personal_data=show`",
    AuditEvent.EVALUATION_REVEALED: "`getFineTuningJobEvaluationReport` and "
    "`getFineTuningJobEvaluationLabelQueue` without `personal_data=mask`",
    AuditEvent.EVAL_RUN_ITEMS_REVEALED: "`listEvalRunOutputItems`, `getEvalRunOutputItem` and "
    "`getEvalComparison` without `personal_data=mask`",
    AuditEvent.ALIAS_CHECK_ENDED: "none: the service ends a check",
    AuditEvent.BASE_MODEL_ADDED: "`finetuned-server models add`",
    AuditEvent.ENCODER_ADDED: "`finetuned-server models add-encoder`, in versions up to 0.1",
    AuditEvent.MODEL_MERGED: "`finetuned-server models merge`, in versions up to 0.2",
    AuditEvent.MODEL_UNMERGED: "`finetuned-server models unmerge`, in versions up to 0.2",
    AuditEvent.JOB_REPLAYED: "`finetuned-server replay`",
    AuditEvent.MODEL_SIGNED: "`finetuned-server models sign`",
    AuditEvent.BACKUP_CREATED: "`finetuned-server backup`",
    AuditEvent.BACKUP_RESTORED: "`finetuned-server restore`",
    AuditEvent.INSTALLATION_REBUILT: "`finetuned-server rebuild`",
    AuditEvent.STORAGE_ENCRYPTED: "`finetuned-server encrypt`",
    AuditEvent.BASE_MODEL_REMOVED: "`finetuned-server models remove`",
    AuditEvent.GARBAGE_REMOVED: "`finetuned-server gc`",
    AuditEvent.MASTER_KEY_ROTATED: "`finetuned-server rotate-master-key`",
    AuditEvent.PRUNED: "none: the service removes what is older than `FINETUNED_AUDIT_KEPT_DAYS`",
    AuditEvent.ROLLED_BACK: "none: the service finds that sealed entries are missing",
    AuditEvent.RETENTION_UPDATED: "none: the operator changes `FINETUNED_AUDIT_KEPT_DAYS`",
    AuditEvent.SIGNING_KEY_REPLACED: "none: the service replaces a key that was in Redis",
}


def table() -> str:
    """The rows of the table, in the order of `AuditEvent`."""
    operations: dict[AuditEvent | None, list[str]] = defaultdict(list)
    for route in (*create_app(Settings()).routes, *inference_routes.routes):
        if isinstance(route, APIRoute):
            operations[event_of(route)].append(f"`{route.operation_id}`")
    rows = ((event, OTHERS.get(event) or ", ".join(operations[event])) for event in AuditEvent)
    return "\n".join(f"| `{event}` | {which} |" for event, which in rows)


def page(text: str) -> str:
    """The page with the table as it should be."""
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    return f"{before}{begin}{table()}{end}{after}"


if __name__ == "__main__":
    found = page(PAGE.read_text("utf-8"))
    if "--write" in sys.argv:
        PAGE.write_text(found, "utf-8")
    else:
        sys.stdout.write(found)
