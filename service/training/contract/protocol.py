"""The lines between the trainer and the process that started it.

The trainer writes one JSON object a line on stdout, each with a ``type``; it reads commands
as JSON lines from stdin. `parse_message` is for the reading side. This module imports no
torch, so that the worker can import it.

Exit codes: `EXIT_SUCCEEDED`, `EXIT_STOPPED` (after a stop command), `EXIT_FAILED` (a
``failed`` line was written, unless the process was killed).
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

EXIT_SUCCEEDED: Final = 0
EXIT_FAILED: Final = 1
EXIT_STOPPED: Final = 3

FailureCode = Literal[
    "invalid_spec",
    "invalid_training_file",
    "invalid_model",
    "invalid_warm_start",
    "invalid_checkpoint",
    "out_of_memory",
    "disk_full",
    "loss_not_finite",
    "internal_error",
]

WarningCode = Literal[
    "rows_truncated",  # longer than max_seq_length: the end was cut off
    "rows_without_supervision",  # nothing to learn from: dropped
    "rows_not_rendered",  # the chat template refuses the conversation: dropped
    "tool_calls_not_rendered",  # the chat template leaves a call out that is learnt: dropped
    "turns_not_supervised",  # the template has no prompt for this turn: context only
    "rows_split",  # the template rewrites history: one sample for each supervised turn
    "prompt_mismatch",  # the template renders a turn otherwise than it prompts for it
    "end_of_turn_added",  # the template ends no turn: the end-of-text token was added
    "packing_unsupported",  # packed rows would see each other: trained without packing
    "pairs_not_comparable",  # an answer has more than one way to be rendered: dropped
    "pairs_alike",  # cut at max_seq_length, both answers are the same: dropped
    "validation_not_split",  # the training rows cannot be divided: trained without validation
    "warm_start_base_differs",  # the adapter to start from names another base model
]

NoteCode = Literal[
    "validation_split",  # rows were set aside for validation
    "packing",  # what "auto" chose, and why
    "stopped_early",  # the validation loss fell no more
    "best_kept",  # which step's adapter is the result, and why
]


class ProtocolError(ValueError):
    """A line that is no message of the trainer. The message holds no part of the line."""


class _Message(BaseModel):
    # An older reader ignores what a newer trainer adds.
    model_config = ConfigDict(frozen=True, extra="ignore")


class StepMetrics(_Message):
    """What a step measured. Accuracies are 0 to 1.

    Method sft: losses are nats a supervised token. Method dpo: they are the DPO loss a pair
    (0.69 where the model is its reference), token accuracies are over the preferred answers,
    `*_reward_accuracy` is the share of pairs whose preferred answer has gained more over the
    reference than the other, and `*_reward_margin` by how much (in nats, times beta).

    `valid_*` are over at most a few hundred validation rows, the same at every checkpoint;
    `full_valid_*` over all of them. Each is None where it was not measured.
    """

    train_loss: float
    train_mean_token_accuracy: float
    train_reward_accuracy: float | None = None
    train_reward_margin: float | None = None
    valid_loss: float | None = None
    valid_mean_token_accuracy: float | None = None
    valid_reward_accuracy: float | None = None
    valid_reward_margin: float | None = None
    full_valid_loss: float | None = None
    full_valid_mean_token_accuracy: float | None = None
    full_valid_reward_accuracy: float | None = None
    full_valid_reward_margin: float | None = None


class Started(_Message):
    """Model and data are loaded; the first step begins.

    `examples` counts samples (pairs, with method dpo) of an epoch, `supervised_tokens` the
    tokens of an epoch that carry loss. `resumed_step` is 0 in a fresh run.
    """

    type: Literal["started"] = "started"
    total_steps: int
    examples: int
    validation_examples: int
    supervised_tokens: int
    device: str
    dtype: str
    resumed_step: int
    trainable_parameters: int
    packing: bool = False


class Warned(_Message):
    """Something about the data or the model that the owner of the job should know."""

    type: Literal["warning"] = "warning"
    code: WarningCode
    message: str


class Noted(_Message):
    """A choice that the trainer made, and why. `message` is for the owner of the job."""

    type: Literal["note"] = "note"
    code: NoteCode
    message: str


class StepDone(StepMetrics):
    """One optimizer step. `trained_tokens` counts all tokens seen since the run began,
    padding not included; `tokens_per_second` is the step's own."""

    type: Literal["step"] = "step"
    step: int
    total_steps: int
    learning_rate: float
    tokens_per_second: float
    trained_tokens: int


class CheckpointSaved(_Message):
    """`path` holds a whole checkpoint that a later run can resume from."""

    type: Literal["checkpoint"] = "checkpoint"
    step: int
    path: str
    metrics: StepMetrics


class Probe(_Message):
    """A row as the finished model scores it, teacher-forced.

    `tuned[i]` and `base[i]` are the log-probabilities (nats) of `tokens[places[i]]` after the
    tokens before it, with the adapter and without.
    """

    tokens: list[int]
    places: list[int]
    tuned: list[float]
    base: list[float]


class Succeeded(_Message):
    """`adapter_path` holds adapter_config.json and adapter_model.safetensors, no more.

    `final_step` is where training ended, before `total_steps` where it `stopped_early`;
    `adapter_step` is the step whose adapter was kept. `peak_memory_bytes` is the largest
    resident set of the process, on CUDA the most that was allocated on the device; of several
    processes, of the first, which has the longest rows.
    """

    type: Literal["succeeded"] = "succeeded"
    adapter_path: str
    trained_tokens: int
    final_step: int
    adapter_step: int | None = None
    stopped_early: bool = False
    peak_memory_bytes: int | None = None
    probes: tuple[Probe, ...] = ()


class Stopped(_Message):
    """The run obeyed a stop command. `path` is the checkpoint to resume from; None where the
    stop came before the first step."""

    type: Literal["stopped"] = "stopped"
    step: int
    path: str | None


class Failed(_Message):
    """The run is over. `param` names the field of the job at fault, where there is one.

    With `out_of_memory`, `suggested_tokens_at_once` is what another attempt may set, from the
    newest checkpoint and with the same result; None where no part is small enough.
    """

    type: Literal["failed"] = "failed"
    code: FailureCode
    message: str
    param: str | None = None
    suggested_tokens_at_once: int | None = None


Message = Started | Warned | Noted | StepDone | CheckpointSaved | Succeeded | Stopped | Failed


class StopCommand(_Message):
    """Save a checkpoint at the next step boundary and exit with `EXIT_STOPPED`."""

    command: Literal["stop"] = "stop"


_MESSAGES: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="type")])


def parse_message(line: str | bytes) -> Message:
    """Reads one line of the trainer's stdout. Raises `ProtocolError`."""
    try:
        return _MESSAGES.validate_json(line)
    except ValidationError as error:
        # Pydantic's own text quotes the input; the places and kinds of the faults do not.
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc']) or 'line'}: {fault['type']}"
            for fault in error.errors(include_url=False, include_input=False)
        )
        raise ProtocolError(f"Not a message of the trainer ({faults}).") from None


def encode(line: Message | StopCommand) -> bytes:
    """One message or command as a line of UTF-8 JSON, with its line feed."""
    return (
        line.model_dump_json(exclude_none=not isinstance(line, Stopped | Failed)).encode() + b"\n"
    )
