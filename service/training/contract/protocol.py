"""Defines the messages between the trainer and the process that started it.

The trainer writes one JSON object per line to stdout, each with a ``type``, and reads commands as
JSON lines from stdin. The reading side uses `parse_message`. This module does not import torch, so
the worker can import it.

Exit codes: `EXIT_SUCCEEDED`, `EXIT_STOPPED` (after a stop command), and `EXIT_FAILED` (a ``failed``
line was written, unless the process was killed).
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
    "gpu_unavailable",  # the worker's GPU cannot be used: another worker may train the job
    "interrupted",  # the GPU failed, or another process of the run: another attempt may succeed
    "loss_not_finite",
    "grading_failed",
    "internal_error",
]

WarningCode = Literal[
    "rows_truncated",  # longer than max_seq_length: truncated at the end
    "rows_without_supervision",  # no supervised tokens: dropped
    "rows_not_rendered",  # the chat template rejects the conversation: dropped
    "tool_calls_not_rendered",  # the chat template omits a supervised call: dropped
    "turns_not_supervised",  # the template has no prompt for this turn: context only
    "rows_split",  # the template rewrites history: one sample per supervised turn
    "thoughts_not_rendered",  # the chat template omits the reasoning: only answers are learned
    "prompt_mismatch",  # the template renders a turn differently from its prompt
    "end_of_turn_added",  # the template does not end turns: the end-of-text token was added
    "packing_unsupported",  # packed samples would attend to each other: trained without packing
    "pairs_not_comparable",  # an answer renders in more than one way: dropped
    "pairs_alike",  # both answers are identical after truncation: dropped
    "prompts_too_long",  # no room for an answer within max_seq_length: dropped
    "validation_not_split",  # the training rows cannot be split: trained without validation
    "warm_start_base_differs",  # the warm-start adapter names a different base model
    "cluster_away",  # the Ray cluster does not answer
    "node_lost",  # a node of the Ray cluster was lost
]

Purpose = Literal["training", "validation"]

NoteCode = Literal[
    "validation_split",  # rows were held out for validation
    "test_split",  # held-out rows were kept for the evaluation
    "packing",  # what "auto" resolved to, and why
    "smaller_parts",  # less GPU memory is free than planned, so less is computed at once
    "label_weights",  # the weights of good and bad answers
    "linear_attention",  # computed without its kernels
    "mixture_of_experts",  # which layers are adapted
    "stopped_early",  # the validation loss stopped improving
    "best_kept",  # the step whose adapter is the result, and why
    "waiting_for_nodes",  # the Ray cluster has too few free GPUs at present
    "placed_on_nodes",  # the number of processes and nodes of the Ray cluster
    "perplexity",  # of the held-out rows, with and without the adapter
]


class ProtocolError(ValueError):
    """A line is not a valid trainer message. The error text never includes the line."""


class _Message(BaseModel):
    # An older reader ignores fields that a newer trainer adds.
    model_config = ConfigDict(frozen=True, extra="ignore")


class StepMetrics(_Message):
    """Metrics of one step. Accuracies range from 0 to 1.

    For `sft` and `pretraining`, losses are in nats per supervised token.

    For `dpo`, losses are the DPO loss per pair (0.69 if the model equals its reference), and token
    accuracies cover the preferred answers. `*_reward_accuracy` is the share of pairs whose
    preferred answer has gained more over the reference than the non-preferred one.
    `*_reward_margin` is the difference (in nats, times beta).

    For `kto`, losses are the KTO loss per answer (half of the answer's weight if the model equals
    its reference). `*_reward_accuracy` is the share of answers on the right side of the reference
    point. `*_reward_margin` is the mean reward of good answers minus that of bad ones.

    For `reinforcement`, losses are those of GRPO per token of an answer, which are about 0 by
    construction, and token accuracies are the share of sampled tokens that are the model's most
    likely ones. `*_reward_mean` is the mean reward of the answers, which should rise.
    `train_answers_without_reward` counts those that could not be graded, and
    `train_equal_group_share` is the share of prompts whose answers all have the same reward, so
    that nothing can be learned from them. `train_kl` is the divergence from the reference in nats
    per token, if `beta` is above 0.

    `valid_*` cover at most a few hundred validation rows, the same at every checkpoint.
    `full_valid_*` cover all validation rows. A metric is None if it was not measured.
    """

    train_loss: float
    train_mean_token_accuracy: float
    train_reward_accuracy: float | None = None
    train_reward_margin: float | None = None
    train_reward_mean: float | None = None
    train_mean_completion_tokens: float | None = None
    train_answers_without_reward: int | None = None
    train_equal_group_share: float | None = None
    train_kl: float | None = None
    valid_loss: float | None = None
    valid_mean_token_accuracy: float | None = None
    valid_reward_accuracy: float | None = None
    valid_reward_margin: float | None = None
    valid_reward_mean: float | None = None
    valid_mean_completion_tokens: float | None = None
    full_valid_loss: float | None = None
    full_valid_mean_token_accuracy: float | None = None
    full_valid_reward_accuracy: float | None = None
    full_valid_reward_margin: float | None = None


class Started(_Message):
    """The model and data are loaded and the first step begins.

    `adapter_path` is a folder with the adapter before its first step, so that whether it can be
    served is known before anything is computed. It is None in a resumed run.
    `examples` is the number of samples (pairs, with method dpo) per epoch, and `supervised_tokens`
    the number of tokens per epoch that carry loss. `resumed_step` is 0 in a fresh run. A field that
    is named after a hyperparameter has the value that the trainer uses.
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
    adapter_path: str | None = None
    packing: bool = False
    desirable_weight: float | None = None  # of methods that learn from labels
    undesirable_weight: float | None = None


class Warned(_Message):
    """A problem with the data or the model that the owner of the job should know about."""

    type: Literal["warning"] = "warning"
    code: WarningCode
    message: str


class Noted(_Message):
    """A choice that the trainer made, and why. `message` is written for the owner of the job."""

    type: Literal["note"] = "note"
    code: NoteCode
    message: str


class StepDone(StepMetrics):
    """Completion of one optimizer step.

    `trained_tokens` counts all tokens since the run began, excluding padding. `tokens_per_second`
    covers this step only. `rested_seconds` is the time that a paced training gave to chats since
    the previous step, and None if the training is not paced.
    """

    type: Literal["step"] = "step"
    step: int
    total_steps: int
    learning_rate: float
    tokens_per_second: float
    trained_tokens: int
    rested_seconds: float | None = None


class SamplesWanted(_Message):
    """A request for answers to prompts and for their rewards; the trainer waits for it.

    The worker answers with a `SamplesCommand` of the same round and purpose. `round` is the step
    that needs the answers, or the step whose adapter is evaluated. `adapter_path` is a complete
    adapter folder that gives the answers, or None for the base model alone.
    `requests_path` is a file of `SampleRequest`. If the trainer answered the requests itself,
    `samples_path` is a file of `Answer` that lack only their rewards. A resumed run asks again for
    the round that it was in.
    """

    type: Literal["samples_wanted"] = "samples_wanted"
    round: int = Field(ge=0)
    purpose: Purpose
    adapter_path: str | None = None
    requests_path: str
    samples_path: str | None = None


class CheckpointSaved(_Message):
    """A saved checkpoint. `path` is a complete checkpoint that a later run can resume from."""

    type: Literal["checkpoint"] = "checkpoint"
    step: int
    path: str
    metrics: StepMetrics


class Probe(_Message):
    """Teacher-forced scores of one row under the finished model.

    `tuned[i]` and `base[i]` are the log-probabilities (nats) of `tokens[places[i]]` given the
    preceding tokens, with and without the adapter.
    """

    tokens: list[int]
    places: list[int]
    tuned: list[float]
    base: list[float]


class Succeeded(_Message):
    """The run succeeded.

    `adapter_path` holds adapter_config.json, adapter_model.safetensors and steps.csv, and
    `replay_path` the states that a replay can start from, if any are kept. `final_step` is the
    step at which training ended, which precedes `total_steps` if `stopped_early`. `adapter_step` is
    the step whose adapter was kept. `peak_memory_bytes` is the largest resident set size of the
    process, or on CUDA the peak memory allocated on the device. With several processes, it is that
    of the first, which has the longest rows.
    """

    type: Literal["succeeded"] = "succeeded"
    adapter_path: str
    replay_path: str | None = None
    trained_tokens: int
    final_step: int
    adapter_step: int | None = None
    stopped_early: bool = False
    peak_memory_bytes: int | None = None
    probes: tuple[Probe, ...] = ()


class Stopped(_Message):
    """The run ended after a stop command, or at the spec's `replay_until`.

    `path` is the checkpoint to resume from, or None if the stop came before the first step.
    """

    type: Literal["stopped"] = "stopped"
    step: int
    path: str | None


class Failed(_Message):
    """The run failed. `param` names the job field at fault, if any.

    For `out_of_memory`, `suggested_tokens_at_once` is a value for the next attempt, which can
    resume from the newest checkpoint with the same result. It is None if no part is small enough.
    """

    type: Literal["failed"] = "failed"
    code: FailureCode
    message: str
    param: str | None = None
    suggested_tokens_at_once: int | None = None


Message = (
    Started
    | Warned
    | Noted
    | StepDone
    | SamplesWanted
    | CheckpointSaved
    | Succeeded
    | Stopped
    | Failed
)


class StopCommand(_Message):
    """Command to save a checkpoint at the next step boundary and exit with `EXIT_STOPPED`."""

    command: Literal["stop"] = "stop"


class TrafficCommand(_Message):
    """State of the chats that share the device with a paced training.

    `in_flight` is their number, and `p95_ms` the 95th percentile of their latency in the last
    seconds, or None if there were none.
    """

    command: Literal["traffic"] = "traffic"
    in_flight: int = Field(ge=0)
    p95_ms: float | None = Field(default=None, ge=0)


class SamplesCommand(_Message):
    """The answers that a `SamplesWanted` asked for: a file of `Answer`, all of them graded."""

    command: Literal["samples"] = "samples"
    round: int = Field(ge=0)
    purpose: Purpose
    path: str


Command = StopCommand | TrafficCommand | SamplesCommand

_COMMANDS: TypeAdapter[Command] = TypeAdapter(Annotated[Command, Field(discriminator="command")])
_MESSAGES: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="type")])


def parse_message(line: str | bytes) -> Message:
    """Parse one line of the trainer's stdout.

    Raises `ProtocolError` if the line is not a valid message.
    """
    try:
        return _MESSAGES.validate_json(line)
    except ValidationError as error:
        # Pydantic's error text quotes the input, so report only the locations and types of the
        # errors.
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc']) or 'line'}: {fault['type']}"
            for fault in error.errors(include_url=False, include_input=False)
        )
        raise ProtocolError(f"Not a message of the trainer ({faults}).") from None


def parse_command(line: str | bytes) -> Command | None:
    """Parse one line of the trainer's stdin. Returns None if it is not a command."""
    try:
        return _COMMANDS.validate_json(line, strict=True)
    except ValidationError:
        return None


def encode(line: Message | Command) -> bytes:
    """Encode a message or command as one line of UTF-8 JSON, including the line feed."""
    return (
        line.model_dump_json(exclude_none=not isinstance(line, Stopped | Failed)).encode() + b"\n"
    )
