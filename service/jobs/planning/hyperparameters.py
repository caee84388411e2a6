"""Rules that resolve `auto` from the data and the base model, with reasons. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from service.jobs.planning.notes import Note, because, reason
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
    notes: tuple[Note, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons in words."""
        return tuple(note.text for note in self.notes)


def resolve(requested: Requested, *, method: MethodName, data: Data, base: Base) -> Resolution:
    """Resolve every `auto` that does not wait for the trainer.

    With a warm start, the LoRA options stay unchanged, because the existing adapter sets them.
    """
    why: list[Note] = []
    rows = f"{data.rows:,} rows"
    found: dict[str, Any] = requested.model_dump()
    if requested.batch_size == "auto":
        found["batch_size"] = max(batch_size(data.rows), METHODS[method].least_batch_size)
        why.append(_batch_note(found["batch_size"], data))
    if requested.n_epochs == "auto":
        found["n_epochs"] = epochs(data.rows)
        if METHODS[method].cuts_rows:  # a text is long, and seen often, it is memorized
            found["n_epochs"] = min(found["n_epochs"], _TARGET_EPOCHS)
        why.append(reason("n_epochs", found["n_epochs"], rows, "rows", rows=data.rows))
    found["max_seq_length"], note = _length(requested, data, base, METHODS[method])
    if note:
        why.append(note)
    if answer_tokens(requested) >= found["max_seq_length"]:
        found["max_completion_tokens"] = found["max_seq_length"] // 2
        tokens = found["max_seq_length"]
        why.append(
            because(
                "max_completion_tokens",
                f"{answer_tokens(requested):,}",
                f"{found['max_completion_tokens']:,}",
                f"prompt and answer share {tokens:,} tokens",
                "shared_length",
                tokens=tokens,
            )
        )
    if requested.learning_rate_multiplier == "auto":
        found["learning_rate_multiplier"] = 1.0
    if requested.learning_rate == "auto":
        rate = base_rate(base.parameters) * METHODS[method].learning_rate_factor
        rate *= found["learning_rate_multiplier"]
        found["learning_rate"] = rate
        why.append(_rate_note(rate, base, method))
    if requested.warm_start is None:
        found["lora"] = _lora(requested.lora, data.rows)
        if requested.lora.r == "auto":
            why.append(reason("lora.r", found["lora"].r, rows, "rows", rows=data.rows))
    if found.get("beta") == "auto":
        found["beta"] = METHODS[method].beta
    return Resolution(RESOLVED[method].model_validate(found), tuple(why))


def _length(
    requested: Requested, data: Data, base: Base, method: TrainingMethod
) -> tuple[int, Note | None]:
    name = "max_seq_length"
    if requested.max_seq_length != "auto":
        return min(base.context_length, requested.max_seq_length), None
    if data.longest is None:
        length = min(base.context_length, _UNMEASURED_LENGTH + answer_tokens(requested))
        return length, reason(name, length, "the rows could not be measured", "unmeasured")
    needed = data.longest + _TEMPLATE_TOKENS + answer_tokens(requested)
    needed = -(-needed // _LENGTH_STEP) * _LENGTH_STEP
    most = _MAX_AUTO_TEXT_LENGTH if method.cuts_rows else _MAX_AUTO_LENGTH
    most += answer_tokens(requested)
    length = min(base.context_length, most, needed)
    happens = "cut into several samples" if method.cuts_rows else "truncated"
    happens = "dropped" if method.samples_answers else happens
    truncated = "" if length == needed else f"; rows over the limit are {happens}"
    answers = f", and answers up to {answer_tokens(requested):,}" if method.samples_answers else ""
    text = f"the longest row has about {data.longest:,} tokens{answers}{truncated}"
    figures = {"tokens": data.longest, "answer_tokens": answer_tokens(requested)}
    if length == needed:
        return length, reason(name, length, text, "longest_row", **figures)
    effect = happens.split(" ")[0]
    return length, reason(name, length, text, "longest_row_limited", happens=effect, **figures)


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


def _batch_note(size: int, data: Data) -> Note:
    rows = f"{data.rows:,} rows"
    if data.p95 is None:
        return reason("batch_size", size, rows, "rows", rows=data.rows)
    text = f"{rows}, 95% of them up to {data.p95:,} tokens"
    figures = {"rows": data.rows, "tokens": data.p95}
    return reason("batch_size", size, text, "rows_and_length", **figures)


def _rate_note(rate: float, base: Base, method: MethodName) -> Note:
    name, value = "learning_rate", f"{rate:g}"
    if base.parameters is None:
        text = f"a base model of unknown size, {method}"
        return reason(name, value, text, "model_size_unknown", method=method)
    text = f"a base model of {base.parameters / 1e9:.2g} billion parameters, {method}"
    return reason(name, value, text, "model_size", parameters=base.parameters, method=method)


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
