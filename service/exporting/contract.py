"""The spec of an export and the messages between its process and the parent.

The process writes one JSON object per line to standard output, each with a ``type``: any number of
`Progress`, then one `Succeeded` or `Failed`. The exit code is 0 or 1. The process ends early only
if it is killed; nothing is resumed, and the parent deletes both folders of the spec.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

Format = Literal["adapter", "merged", "gguf", "gguf-adapter", "ollama"]
Quantization = Literal["f16", "q8_0", "q5_k_m", "q4_k_m"]
QUANTIZED_FORMATS: Final = frozenset[Format]({"gguf", "ollama"})
"""Formats that need a quantization."""
EXTRA_FORMATS: Final = frozenset[Format]({"gguf", "gguf-adapter", "ollama"})
"""Formats that need the packages of the extra `export`."""

FailureCode = Literal[
    "invalid_spec",
    "invalid_model",
    "invalid_adapter",
    "unsupported_adapter",  # cannot be merged into the base model's tensors, or converted
    "unsupported_model",  # llama.cpp does not know it
    "missing_extra",  # the packages for GGUF are not installed
    "wrong_converters",  # llama.cpp's converters are not those that were tested
    "wrong_template",  # the artifact renders a prompt differently
    "answers_differ",  # the artifact's answers are outside the bounds
    "signing_failed",
    "disk_full",
    "out_of_memory",
    "internal_error",
]

Step = Literal[
    "asking",
    "merging",
    "comparing",
    "converting",
    "quantizing",
    "loading",
    "proving",
    "hashing",
    "packing",
]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ChatMessage(_Record):
    """A message of a prompt."""

    role: str = Field(max_length=64)
    content: str = Field(max_length=100_000)


class ScoredTokens(_Record):
    """Tokens of an answer, and their log-probabilities (nats) in the serving engine.

    Each is given the prompt and the preceding tokens.
    """

    tokens: tuple[int, ...] = Field(min_length=1, max_length=512)
    logprobs: tuple[float, ...]

    @model_validator(mode="after")
    def _one_logprob_per_token(self) -> Self:
        if len(self.tokens) != len(self.logprobs):
            raise ValueError("tokens and logprobs have different lengths")
        return self


class Reference(ScoredTokens):
    """A greedy answer of the serving engine, which the artifact must reproduce.

    `prompt_tokens` are the ids of the conversation's tokens as the serving engine renders it,
    including the marks that open the answer. `row_answer` is the held-out row's own answer to the
    prompt, None for other prompts.
    """

    messages: tuple[ChatMessage, ...] = Field(min_length=1, max_length=100)
    prompt_tokens: tuple[int, ...] = Field(min_length=1, max_length=200_000)
    answer: str = Field(max_length=20_000)
    row_answer: ScoredTokens | None = None


class AnswerBounds(_Record):
    """How far an artifact may be from the serving engine, in nats per token.

    `logprob_difference` limits the mean absolute difference of the answers' log-probabilities for
    weights of 16 bits, and `quantized_difference` for quantized ones. `loss_rise` limits by how
    much the loss on the held-out rows' own answers rises above the engine's. The demo's base model,
    which is small and so suffers more than others, has a difference of 0.20 and a rise of 0.07 in
    q4_k_m, and 0.06 and -0.01 in q8_0, on 341 tokens of 8 rows.
    """

    logprob_difference: float = Field(default=0.1, gt=0)
    quantized_difference: float = Field(default=0.25, gt=0)
    loss_rise: float = Field(default=0.15, gt=0)


class Evaluation(_Record):
    """The evaluation of the model on held-out rows, for its card."""

    verdict: str = Field(max_length=64, pattern=r"^[a-z_]+$")
    sentence: str = Field(max_length=2000)
    figures: dict[str, float | str] = Field(default={}, max_length=100)


class ExportSpec(_Record):
    """One export. All paths are local and absolute.

    `base_model` is the base model's catalog id and `name` the model's name in the artifact's
    README. `license`, `languages` and `context_length` (in tokens) are the base model's.
    `signing_key` is the file of an EC key. `output_dir` must be empty or missing. `work_dir` holds
    intermediate files, which may take four times the space of the base model.
    """

    format: Format
    quantization: Quantization | None = None
    context_length: int = Field(default=4096, ge=1)
    name: str = Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f`]+$")
    base_model: str = Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f`]+$")
    license: str = Field(default="other", min_length=1, max_length=128, pattern=r"^[^\x00-\x1f`]+$")
    languages: tuple[Annotated[str, Field(max_length=35)], ...] = Field(default=(), max_length=200)
    evaluation: Evaluation | None = None
    base_model_path: Path
    adapter_path: Path
    signing_key: Path | None = None
    output_dir: Path
    work_dir: Path
    references: tuple[Reference, ...] = Field(min_length=1, max_length=64)
    bounds: AnswerBounds = AnswerBounds()
    threads: int | None = Field(default=None, ge=1, le=1024)

    @model_validator(mode="after")
    def _quantized_where_needed(self) -> Self:
        if (self.quantization is not None) != (self.format in QUANTIZED_FORMATS):
            raise ValueError("quantization is for the formats gguf and ollama, which need one")
        return self


class Progress(_Record):
    """The start of a step, or its progress: `done` of `total` parts."""

    type: Literal["progress"] = "progress"
    step: Step
    done: int
    total: int


class MergedOnto(_Record):
    """The base weights that the adapter is merged into: those in the base model's files, or NF4.

    The differences are those of each merged model's log-probabilities from the references', in nats
    per token. They are None if the adapter was not trained on NF4 weights, so that there was no
    choice.
    """

    base: Literal["bf16", "nf4"]
    bf16_difference: float | None = None
    nf4_difference: float | None = None


class Proof(_Record):
    """How close the loaded artifact's answers are to the references.

    `chrf` is the mean chrF (0 to 1) of its greedy answers. `logprob_difference` is the mean
    absolute difference of the answer tokens' log-probabilities in nats, and
    `largest_logprob_difference` that of the token where it is largest. `loss_rise` is by how much
    the loss on the held-out rows' own answers is above the engine's, in nats per token; None if
    there are no such rows. `merged_onto` is None if the artifact is not merged.
    """

    answers: int
    same_answers: int
    chrf: float
    logprob_difference: float
    largest_logprob_difference: float
    loss_rise: float | None = None
    merged_onto: MergedOnto | None = None


class OutputFile(_Record):
    """A file of the artifact; `path` is relative to the output folder."""

    path: str
    bytes: int
    sha256: str


class Succeeded(_Record):
    """The export succeeded, and the artifact passed its proof."""

    type: Literal["succeeded"] = "succeeded"
    files: tuple[OutputFile, ...]
    proof: Proof


class Failed(_Record):
    """The export failed. The texts of a prompt follow if its template is wrong."""

    type: Literal["failed"] = "failed"
    code: FailureCode
    message: str
    expected_prompt: str | None = None
    rendered_prompt: str | None = None
    proof: Proof | None = None


Message = Progress | Succeeded | Failed

_MESSAGES: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="type")])


def parse_message(line: str | bytes) -> Message:
    """Parse one line of the process's output. Raises pydantic.ValidationError."""
    return _MESSAGES.validate_json(line)


class ExportFailure(Exception):
    """A reason to end the export; `failure` is the message for the parent."""

    def __init__(self, code: FailureCode, message: str, **details: str | Proof | None) -> None:
        super().__init__(message)
        self.failure = Failed.model_validate({"code": code, "message": message, **details})
