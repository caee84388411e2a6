"""Rules that resolve `auto` from the data and the base model, with reasons. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass

from service.jobs.records import Chosen, Lora
from service.training.contract.methods import METHODS, MethodName

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
class ResolvedHyperparameters:
    """Resolved hyperparameters, with reasons.

    The trainer decides an `auto` packing, and `auto` weights of labels, later.
    """

    chosen: Chosen
    reasons: tuple[str, ...]


def resolve(
    requested: Chosen, *, method: MethodName, data: Data, base: Base
) -> ResolvedHyperparameters:
    """Resolve every `auto` in `requested` except `packing`.

    With a warm start, the LoRA options stay unchanged, because the existing adapter sets them.
    """
    why: list[str] = []
    rows = f"{data.rows:,} rows"
    size = requested.batch_size
    if size == "auto":
        size = max(batch_size(data.rows), METHODS[method].least_batch_size)
        p95 = f", p95 {data.p95:,} tokens" if data.p95 is not None else ""
        why.append(f"batch_size auto → {size}: {rows}{p95}")
    passes = requested.n_epochs
    if passes == "auto":
        passes = epochs(data.rows)
        why.append(f"n_epochs auto → {passes}: {rows}")
    length, reason = _length(requested, data, base)
    if reason:
        why.append(reason)
    multiplier = requested.learning_rate_multiplier
    multiplier = 1.0 if multiplier == "auto" else multiplier
    rate = requested.learning_rate
    if rate == "auto":
        rate = base_rate(base.parameters) * METHODS[method].learning_rate_factor * multiplier
        why.append(f"learning_rate auto → {rate:g}: {_size_words(base)}, {method}")
    lora = requested.lora
    if requested.warm_start is None:
        lora = _lora(requested.lora, data.rows)
        if requested.lora.r == "auto":
            why.append(f"lora.r auto → {lora.r}: {rows}")
    beta = requested.beta
    if beta == "auto":
        beta = METHODS[method].beta
    chosen = requested.model_copy(
        update={
            "batch_size": size,
            "n_epochs": passes,
            "max_seq_length": length,
            "learning_rate_multiplier": multiplier,
            "learning_rate": rate,
            "lora": lora,
            "beta": beta,
        }
    )
    return ResolvedHyperparameters(chosen, tuple(why))


def _length(requested: Chosen, data: Data, base: Base) -> tuple[int, str | None]:
    if requested.max_seq_length != "auto":
        return min(base.context_length, requested.max_seq_length), None
    if data.longest is None:
        length = min(base.context_length, _UNMEASURED_LENGTH)
        return length, f"max_seq_length auto → {length}: the rows could not be measured"
    needed = data.longest + _TEMPLATE_TOKENS
    needed = -(-needed // _LENGTH_STEP) * _LENGTH_STEP
    length = min(base.context_length, _MAX_AUTO_LENGTH, needed)
    truncated = "" if length == needed else "; rows over the limit are truncated"
    return length, (
        f"max_seq_length auto → {length}: the longest row has about {data.longest:,} tokens"
        f"{truncated}"
    )


def _lora(requested: Lora, rows: int) -> Lora:
    rank = requested.r
    if rank == "auto":
        rank = _RANK_LARGE if rows > _LARGE_ROWS else _RANK
    alpha = 2 * rank if requested.alpha == "auto" else requested.alpha
    return requested.model_copy(update={"r": rank, "alpha": alpha})


def _size_words(base: Base) -> str:
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
