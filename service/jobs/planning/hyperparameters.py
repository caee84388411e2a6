"""Rules that resolve `auto` from the data and the base model, with reasons. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from service.training.contract.hyperparameters import (
    RESOLVED,
    LoraOptions,
    ReinforcementHyperparameters,
    Requested,
    Resolved,
)
from service.training.contract.methods import METHODS, MethodName, TrainingMethod

# Epoch rule from OpenAI's cookbook: enough epochs to see about 100 rows, but at most 25,000.
_TARGET_EPOCHS = 3
_MIN_SEEN, _MAX_SEEN, _MAX_EPOCHS = 100, 25_000, 25
# LoRA uses ten times the learning rate of full fine-tuning, and even more below a billion
# parameters: SmolLM2-135M picks up a style after 3 epochs at 1e-3, but not at 2e-4.
_RATE, _RATE_SMALL, _SMALL_PARAMETERS = 2e-4, 1e-3, 1_000_000_000
_RANK, _RANK_LARGE, _LARGE_ROWS = 16, 32, 10_000
# Tokens that a chat template adds besides its markers, such as its own system prompt, plus a margin
# for estimation error.
_TEMPLATE_TOKENS, _LENGTH_STEP = 64, 64
_MAX_AUTO_LENGTH = 8192
_MAX_AUTO_TEXT_LENGTH = 2048  # nothing of a text is lost when it is cut
_UNMEASURED_LENGTH = 2048


@dataclass(frozen=True)
class Data:
    """Size of the training file: rows and, if measured, row lengths in the base model's tokens."""

    rows: int
    longest: int | None = None
    p95: int | None = None


@dataclass(frozen=True)
class Base:
    """Size of the base model: context length in tokens, and parameters (None if unknown)."""

    context_length: int
    parameters: int | None = None


@dataclass(frozen=True)
class Resolution:
    """Hyperparameters without `auto`, except for what the trainer decides, and reasons."""

    chosen: Resolved
    reasons: tuple[str, ...]


def resolve(requested: Requested, *, method: MethodName, data: Data, base: Base) -> Resolution:
    """Resolve every `auto` that does not wait for the trainer.

    With a warm start, the LoRA options stay unchanged, because the existing adapter sets them.
    """
    why: list[str] = []
    rows = f"{data.rows:,} rows"
    found: dict[str, Any] = requested.model_dump()
    if requested.batch_size == "auto":
        found["batch_size"] = max(batch_size(data.rows), METHODS[method].least_batch_size)
        p95 = f", 95% of them up to {data.p95:,} tokens" if data.p95 is not None else ""
        why.append(f"batch_size auto → {found['batch_size']}: {rows}{p95}")
    if requested.n_epochs == "auto":
        found["n_epochs"] = epochs(data.rows)
        if METHODS[method].cuts_rows:  # a text is long, and seen often, it is memorized
            found["n_epochs"] = min(found["n_epochs"], _TARGET_EPOCHS)
        why.append(f"n_epochs auto → {found['n_epochs']}: {rows}")
    found["max_seq_length"], reason = _length(requested, data, base, METHODS[method])
    if reason:
        why.append(reason)
    if answer_tokens(requested) >= found["max_seq_length"]:
        found["max_completion_tokens"] = found["max_seq_length"] // 2
        why.append(
            f"max_completion_tokens {answer_tokens(requested):,} → "
            f"{found['max_completion_tokens']:,}: prompt and answer share "
            f"{found['max_seq_length']:,} tokens"
        )
    if requested.learning_rate_multiplier == "auto":
        found["learning_rate_multiplier"] = 1.0
    if requested.learning_rate == "auto":
        rate = base_rate(base.parameters) * METHODS[method].learning_rate_factor
        rate *= found["learning_rate_multiplier"]
        found["learning_rate"] = rate
        why.append(f"learning_rate auto → {rate:g}: {_describe_size(base)}, {method}")
    if requested.warm_start is None:
        found["lora"] = _lora(requested.lora, data.rows)
        if requested.lora.r == "auto":
            why.append(f"lora.r auto → {found['lora'].r}: {rows}")
    if found.get("beta") == "auto":
        found["beta"] = METHODS[method].beta
    return Resolution(RESOLVED[method].model_validate(found), tuple(why))


def _length(
    requested: Requested, data: Data, base: Base, method: TrainingMethod
) -> tuple[int, str | None]:
    if requested.max_seq_length != "auto":
        return min(base.context_length, requested.max_seq_length), None
    if data.longest is None:
        length = min(base.context_length, _UNMEASURED_LENGTH + answer_tokens(requested))
        return length, f"max_seq_length auto → {length}: the rows could not be measured"
    needed = data.longest + _TEMPLATE_TOKENS + answer_tokens(requested)
    needed = -(-needed // _LENGTH_STEP) * _LENGTH_STEP
    most = _MAX_AUTO_TEXT_LENGTH if method.cuts_rows else _MAX_AUTO_LENGTH
    most += answer_tokens(requested)
    length = min(base.context_length, most, needed)
    happens = "cut into several samples" if method.cuts_rows else "truncated"
    happens = "dropped" if method.samples_answers else happens
    truncated = "" if length == needed else f"; rows over the limit are {happens}"
    answers = f", and answers up to {answer_tokens(requested):,}" if method.samples_answers else ""
    return length, (
        f"max_seq_length auto → {length}: the longest row has about {data.longest:,} tokens"
        f"{answers}{truncated}"
    )


def answer_tokens(chosen: Requested | Resolved) -> int:
    """Return the most tokens that training adds to a row: those of an answer that it samples."""
    if isinstance(chosen, ReinforcementHyperparameters):
        return chosen.max_completion_tokens
    return 0


def _lora(requested: LoraOptions, rows: int) -> LoraOptions:
    rank = requested.r
    if rank == "auto":
        rank = _RANK_LARGE if rows > _LARGE_ROWS else _RANK
    alpha = 2 * rank if requested.alpha == "auto" else requested.alpha
    return requested.model_copy(update={"r": rank, "alpha": alpha})


def _describe_size(base: Base) -> str:
    if base.parameters is None:
        return "a base model of unknown size"
    return f"a base model of {base.parameters / 1e9:.2g} billion parameters"


def epochs(rows: int) -> int:
    """Return the number of epochs for a row count."""
    if _TARGET_EPOCHS * rows < _MIN_SEEN:
        return min(_MAX_EPOCHS, _MIN_SEEN // max(rows, 1))
    if _TARGET_EPOCHS * rows > _MAX_SEEN:
        return max(1, _MAX_SEEN // rows)
    return _TARGET_EPOCHS


def batch_size(rows: int) -> int:
    """Return the rows per step, 1-16, chosen from the row count.

    Small data sets need many steps, large ones stable steps.
    """
    for size in (16, 8, 4, 2):
        if rows >= size * 20:
            return size
    return 1


def base_rate(parameters: int | None) -> float:
    """Return the learning rate for a multiplier of 1."""
    small = parameters is not None and parameters < _SMALL_PARAMETERS
    return _RATE_SMALL if small else _RATE
