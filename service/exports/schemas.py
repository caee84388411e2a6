"""Wire types of exports."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from service.exporting import Format, Quantization
from service.exports.records import ExportRecord, ExportStatus


class CreateExport(BaseModel):
    """Request for an export."""

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


class ExportProgressObject(BaseModel):
    """Current step of an export."""

    step: str = Field(
        description="`asking` the engine, `merging`, `comparing` both base models, "
        "`converting`, `quantizing`, `loading`, `proving`, `hashing` or `packing`.",
        examples=["merging"],
    )
    done: int = Field(description="Number of finished parts of the step.")
    total: int = Field(description="Number of all parts of the step.")


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


class ExportErrorObject(BaseModel):
    """Reason why an export failed."""

    code: str = Field(description="Machine-readable code.", examples=["disk_full"])
    message: str = Field(description="Description of the reason.")
    expected_prompt: str | None = Field(
        default=None,
        description="Prompt as the engine renders it, if the artifact renders it differently.",
    )
    rendered_prompt: str | None = Field(
        default=None, description="The same prompt as the artifact renders it."
    )


class ExportObject(BaseModel):
    """Export of a trained model for other software."""

    id: str = Field(description="ID of the export. Starts with `export-`.")
    object: Literal["export"] = "export"
    created_at: int = Field(description="Creation time, in Unix seconds.")
    finished_at: int | None = Field(
        description="Time at which the export ended, in Unix seconds; null if it has not."
    )
    expires_at: int = Field(description="Time at which the export is deleted, in Unix seconds.")
    model: str = Field(description="Name of the trained model.")
    format: str = Field(description="Format of the export.", examples=["merged"])
    quantization: str | None = Field(description="Quantization of the weights.")
    status: ExportStatus = Field(description="Status of the export.")
    progress: ExportProgressObject | None = Field(
        description="Step of an export in progress; otherwise null."
    )
    bytes: int | None = Field(description="Size of the archive; null until it exists.")
    sha256: str | None = Field(
        description="SHA-256 of the archive in hexadecimal digits; null until it exists."
    )
    proof: ExportProof | None = Field(
        description="Comparison of the artifact's answers with the engine's; null if there is none."
    )
    error: ExportErrorObject | None = Field(
        description="Reason for the status `failed`; otherwise null."
    )

    @classmethod
    def from_record(cls, record: ExportRecord) -> Self:
        """Return the API object of a record."""
        return cls.model_validate(
            record.model_dump(include=cls.model_fields.keys() - {"object"}), strict=False
        )


class ExportDeleted(BaseModel):
    """Response to deleting an export."""

    id: str = Field(description="ID of the deleted export.")
    object: Literal["export"] = "export"
    deleted: Literal[True] = True
    receipt: str | None = Field(
        default=None, description="ID of the receipt of the erasure, which says what was erased."
    )
