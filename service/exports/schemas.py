"""Wire types of exports."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from service.exporting import Format, Quantization
from service.exports.records import ExportRecord, ExportStatus
from service.web.operations import Operation, OperationError, shared_fields
from service.web.validation import Metadata


class CreateModelExport(BaseModel):
    """Request to export a trained model."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    model: str = Field(
        min_length=1,
        max_length=512,
        examples=["ft:smollm2-135m-instruct:acme:voice:ab12cd34ef56"],
        description="Name of a trained model, or an alias of one.",
    )
    format: Format = Field(
        description="Format of the export: `adapter` (PEFT, for use with the base model), `merged` "
        "(a complete model in safetensors), `gguf` (a complete model for llama.cpp), "
        "`gguf-adapter`, or `ollama` (`gguf` with a Modelfile)."
    )
    quantization: Quantization | None = Field(
        default=None,
        description="Quantization of the weights of the formats `gguf` and `ollama`: `f16` (none), "
        "`q8_0` (the default), `q5_k_m` or `q4_k_m`.",
    )
    metadata: Metadata | None = Field(
        default=None, description="Key-value pairs attached to the export; up to 16."
    )


class ExportMergedOnto(BaseModel):
    """Base weights that the adapter was merged into."""

    base: Literal["bf16", "nf4"] = Field(
        description="`bf16`: the weights in the base model's files; `nf4`: those rounded to NF4, "
        "as in training. The one closer to the engine is used."
    )
    bf16_difference: float | None = Field(
        default=None,
        description="Mean absolute difference of the log-probabilities from the engine's with "
        "`bf16`, in nats per token; null if the training was not quantized.",
    )
    nf4_difference: float | None = Field(default=None, description="The same with `nf4`.")


class ExportProof(BaseModel):
    """Comparison of the loaded artifact's answers with those of the serving engine."""

    answers: int = Field(description="Number of prompts.")
    same_answers: int = Field(description="Number of answers with the same text.")
    chrf: float = Field(description="Mean chrF of the answers (0 to 1).")
    logprob_difference: float = Field(
        description="Mean absolute difference of the log-probabilities, in nats per token."
    )
    largest_logprob_difference: float = Field(
        description="Difference of the token where it is largest, in nats."
    )
    loss_rise: float | None = Field(
        default=None,
        description="Rise of the loss on the held-out rows' own answers over the engine's, in nats "
        "per token. Null if there are no such rows.",
    )
    merged_onto: ExportMergedOnto | None = Field(
        default=None,
        description="Base weights that the adapter was merged into; null if it was not merged.",
    )


class ModelExportError(OperationError):
    """Reason why an export failed."""

    expected_prompt: str | None = Field(
        default=None,
        description="Prompt as the engine renders it, if the artifact renders it differently.",
    )
    rendered_prompt: str | None = Field(
        default=None, description="The same prompt as the artifact renders it."
    )
    proof: ExportProof | None = Field(
        default=None, description="The comparison, if the answers differ too much."
    )


class ModelExportResult(BaseModel):
    """Archive of a completed export."""

    filename: str = Field(description="Name of the archive.")
    bytes: int = Field(description="Size of the archive.")
    sha256: str = Field(description="SHA-256 of the archive in hexadecimal digits.")
    proof: ExportProof | None = Field(
        description="Comparison of the artifact's answers with the engine's; null if there is none."
    )


class ModelExport(Operation):
    """Export of a trained model for other software."""

    id: str = Field(description="ID of the export. Starts with `export-`.")
    object: Literal["model.export"] = "model.export"
    model: str = Field(description="Name of the trained model.")
    format: str = Field(description="Format of the export.", examples=["merged"])
    quantization: str | None = Field(
        description="Quantization of the weights; null if the format has none."
    )
    expires_at: int = Field(description="Time at which the export is deleted, in Unix seconds.")
    error: ModelExportError | None = Field(description="Reason for the status `failed`, or null.")
    result: ModelExportResult | None = Field(
        description="Archive and its proof; null unless the status is `completed`."
    )

    @classmethod
    def from_record(cls, record: ExportRecord) -> Self:
        """Build the API object of a record."""
        progress, error = record.progress, record.error
        result = record.status is ExportStatus.SUCCEEDED and {
            "filename": record.filename,
            **record.model_dump(include={"bytes", "sha256", "proof"}),
        }
        return cls.model_validate(
            {
                **shared_fields(record),
                **record.model_dump(include={"model", "format", "quantization", "expires_at"}),
                "progress": progress
                and {"completed": progress.done, "total": progress.total, "step": progress.step},
                "error": error and {**error.model_dump(), "proof": record.proof},
                "result": result or None,
            }
        )
