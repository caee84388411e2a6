"""Integrations of a job: where its metrics are sent."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from service.jobs.tracking.records import MlflowRun

_URI_EXAMPLE = "https://mlflow.example.com"
_RESERVED = ("mlflow.", "finetuned.")


def _printable(text: str) -> str:
    if not text.isprintable() or not text.strip():
        raise ValueError("must have visible characters and no control characters")
    return text


def _unreserved(tags: dict[str, str]) -> dict[str, str]:
    if any(key.startswith(_RESERVED) for key in tags):
        raise ValueError(f"no key may start with {' or '.join(_RESERVED)}: these are set for you")
    return tags


_Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]
_TagKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./ -]{0,63}$")]
_TagValue = Annotated[str, StringConstraints(max_length=200)]
_Tags = Annotated[dict[_TagKey, _TagValue], Field(max_length=16), AfterValidator(_unreserved)]


class MlflowSettings(BaseModel):
    """Settings of the MLflow run that receives the metrics of a job."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    experiment_name: _Name = Field(
        description="Name of the experiment. It is created if it does not exist.",
        examples=["support-answers"],
    )
    run_name: _Name | None = Field(
        default=None, description="Name of the run. Defaults to the ID of the job."
    )
    tags: _Tags | None = Field(
        default=None,
        description="Tags of the run; up to 16. Keys have up to 64 characters, values up to 200.",
    )
    tracking_uri: str | None = Field(
        default=None,
        min_length=1,
        max_length=2048,
        description="URL of the MLflow server, which must be one that the operator allows. "
        "Defaults to the operator's first.",
        examples=[_URI_EXAMPLE],
    )


class MlflowIntegration(BaseModel):
    """MLflow integration of a job. Not part of OpenAI's API."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    type: Literal["mlflow"] = Field(description="Type of the integration.")
    mlflow: MlflowSettings = Field(description="Settings of the run.")


class WandbSettings(BaseModel):
    """Settings of a Weights & Biases run, as in OpenAI's API."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    project: str = Field(min_length=1, max_length=200, description="Name of the project.")
    entity: str | None = Field(default=None, max_length=200, description="Team or user.")
    name: str | None = Field(default=None, max_length=200, description="Name of the run.")
    tags: list[Annotated[str, StringConstraints(max_length=200)]] | None = Field(
        default=None, max_length=64, description="Tags of the run."
    )


class WandbIntegration(BaseModel):
    """Weights & Biases integration, which is rejected with the code `unsupported_integration`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    type: Literal["wandb"] = Field(description="Type of the integration.")
    wandb: WandbSettings = Field(description="Settings of the run.")


Integration = Annotated[MlflowIntegration | WandbIntegration, Field(discriminator="type")]


class MlflowRunObject(BaseModel):
    """The MLflow run that receives the metrics of a job."""

    tracking_uri: str = Field(description="URL of the MLflow server.", examples=[_URI_EXAMPLE])
    experiment_name: str = Field(description="Name of the experiment.")
    run_name: str = Field(description="Name of the run.")
    tags: dict[str, str] = Field(description="Tags that were set when the job was created.")
    run_id: str | None = Field(
        description="ID of the run. Null until the server has created it, when the job starts."
    )


class MlflowIntegrationObject(BaseModel):
    """MLflow integration of a job."""

    type: Literal["mlflow"] = Field(default="mlflow", description="Type of the integration.")
    mlflow: MlflowRunObject = Field(description="The run.")

    @classmethod
    def of(cls, run: MlflowRun) -> Self:
        """Build the API object from a record."""
        return cls(mlflow=MlflowRunObject.model_validate(run, from_attributes=True))
