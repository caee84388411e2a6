"""Request body for creating or estimating a fine-tuning job."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from service.jobs.schemas.methods import Hyperparameters, Method
from service.jobs.tracking.records import MlflowRun
from service.models.aliases.schemas import Gate
from service.training.contract.hyperparameters import Requested
from service.training.contract.methods import MethodName
from service.web.names import VisibleName
from service.web.validation import Metadata

_URI_EXAMPLE = "https://mlflow.example.com"
_RESERVED = ("mlflow.", "finetuned.")
_TagKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./ -]{0,63}$")]
_TagValue = Annotated[str, StringConstraints(max_length=200)]
_MOST_MIXED: Final = 8
BaselinePrompt = Annotated[
    str,
    Field(
        min_length=1,
        max_length=32_768,
        description="System prompt of your own, such as the one that you use today. The evaluation "
        "compares the tuned model with it, alone and with examples, and with prompts that the "
        "service finds; the best of them counts. Not part of OpenAI's API.",
        examples=["You are the assistant of a bookshop. Answer in one sentence."],
    ),
]


def _unreserved(tags: dict[str, str]) -> dict[str, str]:
    if any(key.startswith(_RESERVED) for key in tags):
        raise ValueError(f"no key may start with {' or '.join(_RESERVED)}: these are set for you")
    return tags


_Name = Annotated[VisibleName, Field(min_length=1, max_length=200)]
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
    """Weights & Biases integration, which is rejected with the code `invalid_value`."""

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
    def from_record(cls, run: MlflowRun) -> Self:
        """Build the API object from a record."""
        return cls(mlflow=MlflowRunObject.model_validate(run, from_attributes=True))


class MixedFile(BaseModel):
    """A file whose rows are mixed with those of the training file. Not part of OpenAI's API."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    file: str = Field(
        min_length=1,
        max_length=128,
        description="ID of the file, which has the row format of the training file.",
        examples=["file-abc123"],
    )
    weight: float = Field(
        default=1.0,
        ge=0.001,
        le=100,
        allow_inf_nan=False,
        strict=True,
        description="Number of times that an epoch draws each row of the file, 0.001 to 100. With "
        "0.25, each epoch has a different quarter of the rows; with 2, it has every row twice. "
        "Rows of the training file are drawn once.",
    )


class CreateJob(BaseModel):
    """Request body for creating a fine-tuning job."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    model: str = Field(
        min_length=1,
        max_length=256,
        examples=["smollm2-135m-instruct"],
        description="ID of the base model from the catalog.",
    )
    training_file: str = Field(
        min_length=1,
        max_length=128,
        examples=["file-abc123"],
        description="ID of the training file. The file may still be processing.",
    )
    validation_file: str | None = Field(
        default=None,
        max_length=128,
        description="ID of the validation file, whose rows are used to measure the model.",
    )
    mixed_files: list[MixedFile] | None = Field(
        default=None,
        max_length=_MOST_MIXED,
        description="Files whose rows are mixed with those of the training file, up to "
        f"{_MOST_MIXED}; for example, general chats, so that the model keeps what it can do. Not "
        "part of OpenAI's API.",
    )
    suffix: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="Suffix to include in the name of the fine-tuned model.",
    )
    seed: int | None = Field(
        default=None,
        ge=0,
        le=2147483647,
        description="Random seed of the training. Generated if omitted.",
    )
    metadata: Metadata | None = Field(
        default=None,
        description="Key-value pairs for filtering; up to 16. Keys have up to 64 characters, "
        "values up to 512.",
    )
    method: Method | None = Field(
        default=None,
        description="Training method and its hyperparameters. Defaults to `supervised`.",
    )
    hyperparameters: Hyperparameters | None = Field(
        default=None,
        description="Hyperparameters of supervised training. Deprecated by OpenAI in favor of "
        "`method`, but still accepted.",
    )
    priority: int = Field(
        default=0,
        ge=-100,
        le=100,
        description="Priority of the job. Higher values run first. Not part of OpenAI's API.",
    )
    gate: Gate | None = Field(
        default=None,
        description="Conditions that the evaluation of the job must meet, such as "
        '`{"chrf_gain": ">=5"}`. An alias does not point at a model of the job that fails them '
        "without `force`. A job with a gate needs held-out rows. Not part of OpenAI's API.",
    )
    baseline_prompt: BaselinePrompt | None = Field(
        default=None,
        description="System message of the base model in the evaluation, to compare the trained "
        "model with a prompted base model.",
    )
    integrations: list[Integration] | None = Field(
        default=None,
        max_length=1,
        description="Integrations of the job. `mlflow` sends its metrics and hyperparameters to an "
        "MLflow server, which the operator must allow; `wandb` is not supported.",
    )

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.method is not None and self.hyperparameters is not None:
            raise ValueError("give hyperparameters inside 'method' or at the top, not both")
        if self.validation_file is not None and self.asked.validation_share is not None:
            raise ValueError("give a validation_file or a validation_share, not both")
        return self

    @model_validator(mode="after")
    def _different_files(self) -> Self:
        mixed = [mixed.file for mixed in self.mixed_files or ()]
        if len({self.training_file, *mixed}) <= len(mixed):
            raise ValueError("mixed_files has a file twice, or the training_file; use its weight")
        if self.validation_file in mixed:
            raise ValueError("mixed_files has the validation_file, whose rows must not be trained")
        return self

    @property
    def method_name(self) -> MethodName:
        """Name of the method, which is `supervised` by default."""
        return "supervised" if self.method is None else self.method.type

    @property
    def asked(self) -> Requested:
        """The hyperparameters, from `method` or from the top level."""
        if self.method is not None:
            return self.method.asked
        return self.hyperparameters or Hyperparameters()
