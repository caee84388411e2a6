"""The types of events in the audit log. A route declares its type beside its permission.

Names that OpenAI's audit log has are OpenAI's, and the others are in the same style.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class AuditEvent(StrEnum):
    """Type of an entry in the audit log."""

    # Access.
    LOGIN_FAILED = "login.failed"
    ACCESS_DENIED = "access.denied"
    SESSION_CREATED = "session.created"
    SESSION_DELETED = "session.deleted"
    AUDIT_LOGS_READ = "audit_logs.read"
    AUDIT_LOGS_VERIFIED = "audit_logs.verified"

    # Projects and keys.
    PROJECT_CREATED = "project.created"
    PROJECT_UPDATED = "project.updated"
    CAPTURE_ENABLED = "project.capture.enabled"
    CAPTURE_DISABLED = "project.capture.disabled"
    CAPTURE_DELEGATED = "project.capture.delegated"
    PROJECT_ARCHIVED = "project.archived"
    PROJECT_DELETED = "project.deleted"
    SERVICE_ACCOUNT_CREATED = "service_account.created"
    SERVICE_ACCOUNT_UPDATED = "service_account.updated"
    SERVICE_ACCOUNT_DELETED = "service_account.deleted"
    API_KEY_CREATED = "api_key.created"
    API_KEY_UPDATED = "api_key.updated"
    API_KEY_ROTATED = "api_key.rotated"
    API_KEY_DELETED = "api_key.deleted"

    # Files and their contents.
    FILE_CREATED = "file.created"
    FILE_DELETED = "file.deleted"
    FILE_CONTENT_READ = "file.content.read"
    FILE_PREVIEW_CREATED = "file.preview.created"
    FILE_PREVIEW_CANCELLED = "file.preview.cancelled"
    FILE_PREVIEW_DELETED = "file.preview.deleted"
    FILE_PREVIEW_READ = "file.preview.read"
    FILE_REPORT_CREATED = "file.report.created"
    FILE_REPORT_CANCELLED = "file.report.cancelled"
    FILE_REPORT_DELETED = "file.report.deleted"
    FILE_REPORT_READ = "file.report.read"
    FILE_ROWS_READ = "file.rows.read"
    FILE_ROWS_REVEALED = "file.rows.revealed"
    FILE_DIFF_CREATED = "file.diff.created"
    FILE_DIFF_CANCELLED = "file.diff.cancelled"
    FILE_DIFF_DELETED = "file.diff.deleted"
    FILE_DIFF_READ = "file.diff.read"
    FILE_DIFF_ROWS_READ = "file.diff.rows.read"
    REVIEWS_READ = "file.reviews.read"
    REVIEW_UPDATED = "file.review.updated"
    REVIEW_DELETED = "file.review.deleted"
    FILE_CLEANING_CREATED = "file.cleaning.created"
    FILE_CLEANING_CANCELLED = "file.cleaning.cancelled"
    FILE_CLEANING_DELETED = "file.cleaning.deleted"
    FILE_MERGE_CREATED = "file.merge.created"
    FILE_MERGE_CANCELLED = "file.merge.cancelled"
    FILE_MERGE_DELETED = "file.merge.deleted"
    UPLOAD_CREATED = "upload.created"
    UPLOAD_PART_ADDED = "upload.part.added"
    UPLOAD_COMPLETED = "upload.completed"
    UPLOAD_CANCELLED = "upload.cancelled"
    RECOGNIZER_READ = "recognizer.read"
    RECOGNIZER_UPDATED = "recognizer.updated"
    RECOGNIZER_DELETED = "recognizer.deleted"
    GENERATION_CREATED = "dataset.generation.created"
    GENERATION_CANCELLED = "dataset.generation.cancelled"
    GENERATION_DELETED = "dataset.generation.deleted"

    ROWS_ERASED = "organization.erasure.created"
    ERASURE_CANCELLED = "organization.erasure.cancelled"
    ERASURE_DELETED = "organization.erasure.deleted"

    # Stored chat completions.
    STORED_CHATS_READ = "chat.completions.read"
    STORED_CHATS_DELETED = "chat.completions.deleted"
    STORED_CHAT_READ = "chat.completion.read"
    STORED_CHAT_UPDATED = "chat.completion.updated"
    STORED_CHAT_DELETED = "chat.completion.deleted"

    # Fine-tuning.
    JOB_CREATED = "fine_tuning.job.created"
    JOB_CANCELLED = "fine_tuning.job.cancelled"
    JOB_PAUSED = "fine_tuning.job.paused"
    JOB_RESUMED = "fine_tuning.job.resumed"
    JOB_REPLAYED = "fine_tuning.job.replayed"
    EVALUATION_READ = "fine_tuning.job.evaluation.read"
    EVALUATION_REVEALED = "fine_tuning.job.evaluation.revealed"
    EVALUATION_RESTARTED = "fine_tuning.job.evaluation.restarted"
    EVALUATION_LABELS_READ = "fine_tuning.job.evaluation.labels.read"
    EVALUATION_LABEL_UPDATED = "fine_tuning.job.evaluation.label.updated"
    EVALUATION_LABELS_DELETED = "fine_tuning.job.evaluation.labels.deleted"
    ADVICE_CREATED = "fine_tuning.advice.created"
    ADVICE_CANCELLED = "fine_tuning.advice.cancelled"
    ADVICE_DELETED = "fine_tuning.advice.deleted"

    # Evals and batches.
    EVAL_CREATED = "eval.created"
    EVAL_UPDATED = "eval.updated"
    EVAL_DELETED = "eval.deleted"
    EVAL_RUN_CREATED = "eval.run.created"
    EVAL_RUN_CANCELLED = "eval.run.cancelled"
    EVAL_RUN_DELETED = "eval.run.deleted"
    EVAL_RUN_READ = "eval.run.read"
    EVAL_RUN_ITEMS_READ = "eval.run.output_items.read"
    EVAL_RUN_ITEMS_REVEALED = "eval.run.output_items.revealed"
    GRADER_RUN = "grader.run"
    BATCH_CREATED = "batch.created"
    BATCH_CANCELLED = "batch.cancelled"

    # Models.
    MODEL_REQUESTED = "model.requested"
    MODEL_IMPORT_CREATED = "model.import.created"
    MODEL_IMPORT_CANCELLED = "model.import.cancelled"
    MODEL_IMPORT_DELETED = "model.import.deleted"
    MODEL_EVIDENCE_READ = "model.evidence.read"
    MODEL_DELETED = "model.deleted"
    MODEL_APPROVED = "model.approved"
    MODEL_APPROVAL_REVOKED = "model.approval.deleted"
    MODEL_SHARED = "model.shared"
    MODEL_UNSHARED = "model.unshared"
    ALIAS_UPDATED = "alias.updated"
    ALIAS_ROLLED_BACK = "alias.rolled_back"
    ALIAS_DELETED = "alias.deleted"
    ALIAS_CHECK_CREATED = "alias.check.created"
    ALIAS_CHECK_ENDED = "alias.check.ended"
    ALIAS_CHECK_CANCELLED = "alias.check.cancelled"
    ALIAS_CHECK_DELETED = "alias.check.deleted"
    EXPORT_CREATED = "export.created"
    EXPORT_CANCELLED = "export.cancelled"
    EXPORT_DELETED = "export.deleted"
    EXPORT_CONTENT_READ = "export.content.read"

    # Webhooks.
    WEBHOOK_CREATED = "webhook_endpoint.created"
    WEBHOOK_UPDATED = "webhook_endpoint.updated"
    WEBHOOK_DELETED = "webhook_endpoint.deleted"
    WEBHOOK_SECRET_ROTATED = "webhook_endpoint.secret.rotated"  # noqa: S105 - not a secret
    WEBHOOK_TESTED = "webhook_endpoint.tested"

    # What the operator does on the server.
    BASE_MODEL_ADDED = "base_model.added"
    BASE_MODEL_REMOVED = "base_model.removed"
    ENCODER_ADDED = "encoder.added"
    MODEL_MERGED = "model.merged"
    MODEL_UNMERGED = "model.unmerged"
    MODEL_SIGNED = "model.signed"
    BACKUP_CREATED = "backup.created"
    BACKUP_RESTORED = "backup.restored"
    INSTALLATION_REBUILT = "installation.rebuilt"
    STORAGE_ENCRYPTED = "storage.encrypted"
    GARBAGE_REMOVED = "storage.garbage.removed"
    MASTER_KEY_ROTATED = "master_key.rotated"

    # The log itself.
    PRUNED = "audit_log.pruned"
    ROLLED_BACK = "audit_log.rolled_back"
    RETENTION_UPDATED = "audit_log.retention.updated"
    SIGNING_KEY_REPLACED = "audit_log.signing_key.replaced"

    @property
    def is_read(self) -> bool:
        """Whether the event is a read of data, not a change."""
        return self.endswith((".read", ".revealed"))


OF_THE_LOG: Final = frozenset(
    {
        AuditEvent.PRUNED,
        AuditEvent.ROLLED_BACK,
        AuditEvent.RETENTION_UPDATED,
        AuditEvent.SIGNING_KEY_REPLACED,
    }
)
"""Entries that only the worker that seals the log writes, in addition to those of the stream."""
