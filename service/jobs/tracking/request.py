"""The run that the integrations of a new job ask for."""

from __future__ import annotations

from collections.abc import Sequence

from service.core.errors import BadRequest
from service.jobs.schemas.integrations import MlflowIntegration, MlflowSettings, WandbIntegration
from service.jobs.tracking.records import MlflowRun

_SETTING = "FINETUNED_MLFLOW_TRACKING_URIS"


def requested_run(
    integrations: Sequence[MlflowIntegration | WandbIntegration],
    job_id: str,
    allowed_uris: Sequence[str],
) -> MlflowRun | None:
    """Return the MLflow run of a new job, or None. Raises BadRequest."""
    for number, integration in enumerate(integrations):
        param = f"integrations[{number}]"
        if isinstance(integration, WandbIntegration):
            raise BadRequest(
                "The integration 'wandb' is not supported, because Weights & Biases does not "
                "document an HTTP API for metrics. Use the integration 'mlflow', or log the events "
                "of the job from your own program, with Weights & Biases' SDK.",
                param=f"{param}.type",
                code="unsupported_integration",
            )
        asked = integration.mlflow
        return MlflowRun(
            tracking_uri=_allowed_uri(asked, f"{param}.mlflow", allowed_uris),
            experiment_name=asked.experiment_name,
            run_name=asked.run_name or job_id,
            tags=asked.tags or {},
        )
    return None


def _allowed_uri(asked: MlflowSettings, param: str, allowed_uris: Sequence[str]) -> str:
    if not allowed_uris:
        raise BadRequest(
            "Integrations are disabled on this server. To enable them, the operator must list the "
            f"MLflow servers that jobs may send metrics to in {_SETTING}.",
            param="integrations",
            code="integrations_disabled",
        )
    uri = allowed_uris[0] if asked.tracking_uri is None else asked.tracking_uri.rstrip("/")
    if uri not in allowed_uris:
        raise BadRequest(
            f"This server does not allow the tracking_uri. Use {allowed_uris[0]}, or "
            f"omit it; or ask the operator to add yours to {_SETTING}.",
            param=f"{param}.tracking_uri",
            code="host_not_allowed",
        )
    return uri
