"""Every handler that changes something is an actor."""

from __future__ import annotations

from service.app import create_app
from service.config import Settings
from tests.faults.actor.every import BY_NAME

# Handlers that store nothing but usage, or that send what a worker stores.
_WITHOUT = frozenset(
    {"runGrader", "validateGrader", "estimateFineTuningJob", "testWebhookEndpoint"}
    | {"verifyAuditLogs"}
    | {"createChatCompletion", "createCompletion", "createResponse", "createEmbedding"}
)
# They refuse a base model that no engine serves.
_WITH_AN_ENGINE = frozenset(
    {"createTrainingAdvice", "cancelTrainingAdvice", "deleteTrainingAdvice"}
)


def test_every_handler_that_changes_something_is_an_actor(settings: Settings):
    paths = create_app(settings).openapi()["paths"].values()
    changing = {
        operation["operationId"]
        for path in paths
        for method, operation in path.items()
        if method in {"post", "put", "patch", "delete"}
    }
    missing = changing - _WITHOUT - _WITH_AN_ENGINE - BY_NAME.keys()
    assert not missing, f"add them to tests/faults/actor/: {sorted(missing)}"
