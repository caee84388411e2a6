"""Which roles may use which operation, as a reviewer would write it down.

The tests compare it with what the app does. It is deliberately not derived from
`service/web/permissions.py`.
"""

from __future__ import annotations

from typing import Final

_ALL: Final = ("admin", "project_admin", "member", "trainer", "inference", "reader", "auditor")
_DEPLOY: Final = ("admin", "project_admin", "member")
_TRAIN: Final = (*_DEPLOY, "trainer")

_OPERATIONS: Final = {
    _ALL: ("retrieveCaller", "listModels", "retrieveModel"),
    # Requests to engines.
    (*_TRAIN, "inference"): (
        *("createChatCompletion", "createCompletion", "createResponse", "createEmbedding"),
    ),
    # Records without training data.
    (*_TRAIN, "reader", "auditor"): (
        *("listFiles", "retrieveFile", "retrieveUpload", "listUploadParts"),
        *("listFileCleanings", "retrieveFileCleaning", "listFileMerges", "retrieveFileMerge"),
        *("listFileImports", "retrieveFileImport"),
        *("listModelImports", "getModelImport", "listModelImportEvents"),
        *("listDatasetDiffs", "getDatasetDiff", "listDatasetDiffEvents"),
        *("listDatasetMerges", "getDatasetMerge", "listDatasetMergeEvents"),
        *("listDatasetReports", "getDatasetReport", "listDatasetReportEvents"),
        *("listDatasetPreviews", "getDatasetPreview", "listDatasetPreviewEvents"),
        *("listDatasetCleanings", "getDatasetCleaning", "listDatasetCleaningEvents"),
        *("listDatasetGenerations", "retrieveDatasetGeneration"),
        *("listFineTuningJobs", "retrieveFineTuningJob", "estimateFineTuningJob"),
        *("listFineTuningEvents", "listFineTuningJobCheckpoints", "retrieveFineTuningAdvice"),
        *("listFineTuningSweeps", "retrieveFineTuningSweep"),
        *("listEvals", "getEval", "validateGrader", "listBatches", "retrieveBatch"),
        *("listExports", "retrieveExport", "listErasureReceipts", "retrieveErasureReceipt"),
        *("listAliases", "retrieveAlias", "listAliasHistory"),
        *("listWebhookEndpoints", "retrieveWebhookEndpoint"),
        *("listWebhookEndpointDeliveries", "listWebhookEventTypes"),
        "getUsageCompletions",
    ),
    # Training data, answers and weights.
    (*_TRAIN, "reader"): (
        *("downloadFile", "createFilePreview", "retrieveFileReport", "listFileRows"),
        *("createDatasetReport", "getDatasetReportContent", "listDatasetReportRows"),
        *("createDatasetPreview", "getDatasetPreviewContent"),
        *("createDatasetDiff", "getDatasetDiffContent", "listDatasetDiffRows"),
        *("listChatCompletions", "getChatCompletion", "getChatCompletionMessages"),
        *("retrieveFileDiff", "listFileDiffRows", "listRecognizers", "retrieveRecognizer"),
        *("retrieveFineTuningJobEvaluation", "retrieveFineTuningJobEvaluationReport"),
        *("getEvalRuns", "getEvalRun", "getEvalRunOutputItems", "getEvalRunOutputItem"),
        "downloadExport",
    ),
    _TRAIN: (
        *("createFile", "deleteFile"),
        *("createUpload", "addUploadPart", "completeUpload", "cancelUpload"),
        *("updateChatCompletion", "deleteChatCompletion", "createStoredChatFile"),
        *("createFileCleaning", "createFileMerge", "setRecognizer", "deleteRecognizer"),
        *("cancelDatasetReport", "deleteDatasetReport"),
        *("cancelDatasetPreview", "deleteDatasetPreview"),
        *("cancelDatasetDiff", "deleteDatasetDiff"),
        *("createDatasetMerge", "cancelDatasetMerge", "deleteDatasetMerge"),
        *("createDatasetCleaning", "cancelDatasetCleaning", "deleteDatasetCleaning"),
        *("createDatasetGeneration", "cancelDatasetGeneration", "deleteDatasetGeneration"),
        *("createFineTuningJob", "cancelFineTuningJob"),
        *("pauseFineTuningJob", "resumeFineTuningJob", "restartFineTuningJobEvaluation"),
        *("createFineTuningAdvice", "deleteFineTuningAdvice"),
        *("createFineTuningSweep", "cancelFineTuningSweep"),
        *("createEval", "updateEval", "deleteEval", "runGrader"),
        *("createEvalRun", "cancelEvalRun", "cancelEvalRunByPath", "deleteEvalRun"),
        *("createBatch", "cancelBatch"),
    ),
    # What users of the project's models notice, and what leaves the installation.
    _DEPLOY: (
        *("importModel", "deleteModel", "setAlias", "rollbackAlias", "deleteAlias"),
        *("createModelImport", "cancelModelImport", "deleteModelImport"),
        *("createExport", "cancelExport", "deleteExport"),
        *("createWebhookEndpoint", "updateWebhookEndpoint", "deleteWebhookEndpoint"),
        *("rotateWebhookEndpointSecret", "testWebhookEndpoint"),
    ),
    ("admin", "project_admin"): (
        *("createApiKey", "updateApiKey", "rotateApiKey", "deleteApiKey"),
        *("createServiceAccount", "updateServiceAccount", "deleteServiceAccount"),
        "createServiceAccountApiKey",
        *("createErasure", "retrieveErasure", "deleteChatCompletions"),
        "updateProject",  # of which project admins may use the field `capture` only
        # Of models of the key's project. Admins may also revoke those of others.
        *("createFineTuningCheckpointPermission", "deleteFineTuningCheckpointPermission"),
    ),
    ("admin", "project_admin", "auditor"): (
        *("retrieveProject", "listApiKeys", "retrieveApiKey", "listAuditLogs"),
        *("listServiceAccounts", "retrieveServiceAccount"),
        "listFineTuningCheckpointPermissions",
    ),
    ("admin", "auditor"): ("listProjects", "listAdminApiKeys", "retrieveAdminApiKey"),
    ("admin",): (
        *("createProject", "archiveProject", "deleteProject"),
        *("createAdminApiKey", "deleteAdminApiKey"),
    ),
}

ROLES_OF: Final = {
    operation: frozenset(roles)
    for roles, operations in _OPERATIONS.items()
    for operation in operations
}
"""The roles that may use an operation, by its ID."""

OF_OTHER_PROJECTS: Final = {
    operation: frozenset(roles)
    for roles, operations in {
        ("admin",): (
            *("updateProject", "archiveProject", "deleteProject"),
            *("createApiKey", "updateApiKey", "rotateApiKey", "deleteApiKey"),
            *("createServiceAccount", "updateServiceAccount", "deleteServiceAccount"),
            *("createServiceAccountApiKey", "deleteFineTuningCheckpointPermission"),
        ),
        ("admin", "auditor"): (
            *("retrieveProject", "listApiKeys", "retrieveApiKey"),
            *("listServiceAccounts", "retrieveServiceAccount"),
            "listFineTuningCheckpointPermissions",
        ),
        (): ("createFineTuningCheckpointPermission",),
    }.items()
    for operation in operations
}
"""The roles of keys that may use an operation on an object of another project: none on its data."""

PUBLIC: Final = frozenset({"livez", "readyz"})
"""Operations that need no key."""
