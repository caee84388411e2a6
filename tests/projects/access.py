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
    _ALL: (
        *("getCaller", "listModels", "getModel"),
        *("createSession", "getSession", "deleteSession"),
    ),
    # Requests to engines.
    (*_TRAIN, "inference"): (
        *("createChatCompletion", "createCompletion", "createResponse", "createEmbedding"),
    ),
    # Records without training data.
    (*_TRAIN, "reader", "auditor"): (
        *("listFiles", "getFile", "getUpload", "listUploadParts"),
        *("listModelImports", "getModelImport"),
        *("listDatasetDiffs", "getDatasetDiff"),
        *("listDatasetMerges", "getDatasetMerge"),
        *("listDatasetReports", "getDatasetReport"),
        *("listDatasetPreviews", "getDatasetPreview"),
        *("listDatasetCleanings", "getDatasetCleaning"),
        *("listDatasetGenerations", "getDatasetGeneration"),
        *("listFineTuningJobs", "getFineTuningJob", "estimateFineTuningJob"),
        *("listFineTuningJobEvents", "listFineTuningJobCheckpoints", "getFineTuningJobMetrics"),
        *("listTrainingAdvice", "getTrainingAdvice"),
        *("listModelExports", "getModelExport"),
        *("listEvals", "getEval", "validateGrader", "listBatches", "getBatch"),
        *("listErasureReceipts", "getErasureReceipt"),
        *("listAliases", "getAlias", "listAliasHistory", "listModelApprovals"),
        *("listAliasChecks", "getAliasCheck"),
        *("listWebhookEndpoints", "getWebhookEndpoint"),
        *("listWebhookEndpointDeliveries", "listWebhookEventTypes"),
        "getCompletionsUsage",
    ),
    # Training data, answers and weights.
    (*_TRAIN, "reader"): (
        *("createDatasetReport", "getDatasetReportContent", "listDatasetReportRows"),
        *("createDatasetPreview", "getDatasetPreviewContent"),
        *("createDatasetDiff", "getDatasetDiffContent", "listDatasetDiffRows"),
        *("listChatCompletions", "getChatCompletion", "listChatCompletionMessages"),
        *("getFileContent", "listRecognizers", "getRecognizer"),
        *("getFineTuningJobEvaluation", "getFineTuningJobEvaluationReport"),
        *("putFineTuningJobEvaluationLabel", "deleteFineTuningJobEvaluationLabels"),
        *("listFineTuningJobEvaluationLabels", "getFineTuningJobEvaluationLabelQueue"),
        *("listEvalRuns", "getEvalRun", "listEvalRunOutputItems", "getEvalRunOutputItem"),
        "getEvalComparison",
        *("listRowReviews", "getRowReview"),
        "getModelExportContent",
    ),
    _TRAIN: (
        *("createFile", "deleteFile"),
        *("createUpload", "createUploadPart", "completeUpload", "cancelUpload"),
        *("updateChatCompletion", "deleteChatCompletion", "createStoredChatFile"),
        *("putRecognizer", "deleteRecognizer"),
        *("putRowReview", "deleteRowReview"),
        *("cancelDatasetReport", "deleteDatasetReport"),
        *("cancelDatasetPreview", "deleteDatasetPreview"),
        *("cancelDatasetDiff", "deleteDatasetDiff"),
        *("createDatasetMerge", "cancelDatasetMerge", "deleteDatasetMerge"),
        *("createDatasetCleaning", "cancelDatasetCleaning", "deleteDatasetCleaning"),
        *("createDatasetGeneration", "cancelDatasetGeneration", "deleteDatasetGeneration"),
        *("createFineTuningJob", "cancelFineTuningJob"),
        *("pauseFineTuningJob", "resumeFineTuningJob", "restartFineTuningJobEvaluation"),
        *("createTrainingAdvice", "cancelTrainingAdvice", "deleteTrainingAdvice"),
        *("createEval", "updateEval", "deleteEval", "runGrader"),
        *("createEvalRun", "cancelEvalRun", "cancelEvalRunByPath", "deleteEvalRun"),
        *("createBatch", "cancelBatch"),
    ),
    # What users of the project's models notice, and what leaves the installation.
    _DEPLOY: (
        *("deleteModel", "putAlias", "rollbackAlias", "deleteAlias"),
        *("createAliasCheck", "cancelAliasCheck", "deleteAliasCheck"),
        *("createModelApproval", "deleteModelApproval"),
        *("createModelImport", "cancelModelImport", "deleteModelImport"),
        *("createModelExport", "cancelModelExport", "deleteModelExport"),
        *("createWebhookEndpoint", "updateWebhookEndpoint", "deleteWebhookEndpoint"),
        *("rotateWebhookEndpointSecret", "testWebhookEndpoint"),
    ),
    ("admin", "project_admin"): (
        *("createApiKey", "updateApiKey", "rotateApiKey", "deleteApiKey"),
        *("createServiceAccount", "updateServiceAccount", "deleteServiceAccount"),
        "createServiceAccountApiKey",
        *("createErasure", "getErasure", "listErasures", "cancelErasure"),
        *("deleteErasure", "deleteChatCompletions"),
        "updateProject",  # of which project admins may use the field `capture` only
        # Of models of the key's project. Admins may also revoke those of others.
        *("createFineTuningCheckpointPermission", "deleteFineTuningCheckpointPermission"),
    ),
    ("admin", "project_admin", "auditor"): (
        *("getProject", "listApiKeys", "getApiKey", "listAuditLogs"),
        *("listServiceAccounts", "getServiceAccount"),
        *("listFineTuningCheckpointPermissions", "getModelEvidence"),
    ),
    ("admin", "auditor"): (
        *("listProjects", "listAdminApiKeys", "getAdminApiKey"),
        *("listWorkers", "listQueues", "listEngines", "getDiagnostics"),
        "verifyAuditLogs",
    ),
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
            *("getProject", "listApiKeys", "getApiKey"),
            *("listServiceAccounts", "getServiceAccount"),
            "listFineTuningCheckpointPermissions",
        ),
        (): ("createFineTuningCheckpointPermission",),
    }.items()
    for operation in operations
}
"""The roles of keys that may use an operation on an object of another project: none on its data."""

PUBLIC: Final = frozenset({"getLiveness", "getReadiness", "listSignInMethods"})
"""Operations that need no key."""
