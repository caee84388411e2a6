"""What `auto` means: pure rules from the data and the base model to numbers, with reasons."""

from __future__ import annotations

from dataclasses import dataclass

from service.jobs.records import Chosen, Lora

# OpenAI's cookbook rule for epochs: enough passes to see about 100 rows, not over 25,000.
_TARGET_EPOCHS = 3
_MIN_SEEN, _MAX_SEEN, _MAX_EPOCHS = 100, 25_000, 25
# LoRA learns at ten times full fine-tuning's rate; below a billion parameters higher
# still (SmolLM2-135M has a voice after 3 epochs at 1e-3, and not yet at 2e-4). DPO moves
# a model that is right already: at a fortieth of it.
_RATE, _RATE_SMALL, _SMALL_PARAMETERS = 2e-4, 1e-3, 1_000_000_000
_DPO_SHARE = 1 / 40
_DEFAULT_BETA = 0.1
_RANK, _RANK_LARGE, _LARGE_ROWS = 16, 32, 10_000
# What a template adds beside its marks, such as a system prompt of its own, and room for
# the reckoning to be off.
_TEMPLATE_TOKENS, _LENGTH_STEP = 64, 64
_MAX_AUTO_LENGTH = 8192
_UNMEASURED_LENGTH = 2048


@dataclass(frozen=True)
class Data:
    """The training file: rows, and tokens of rows in the base model's own, where measured."""

    rows: int
    longest: int | None = None
    p95: int | None = None


@dataclass(frozen=True)
class Base:
    """The base model: tokens that it can take, and weights it has, None where unknown."""

    context_length: int
    parameters: int | None = None


@dataclass(frozen=True)
class Resolved:
    """Every `auto` replaced, but packing's, which the trainer decides; and why."""

    chosen: Chosen
    reasons: tuple[str, ...]


def resolve(asked: Chosen, *, method: str, data: Data, base: Base) -> Resolved:
    """`asked` with every `auto` replaced. method: "supervised" or "dpo".

    What a warm start fixes (the adapter's shape) stays as asked.
    """
    why: list[str] = []
    rows = f"{data.rows:,} rows"
    size = asked.batch_size
    if size == "auto":
        size = batch_size(data.rows)
        p95 = f", p95 {data.p95:,} tokens" if data.p95 is not None else ""
        why.append(f"batch_size auto → {size}: {rows}{p95}")
    passes = asked.n_epochs
    if passes == "auto":
        passes = epochs(data.rows)
        why.append(f"n_epochs auto → {passes}: {rows}")
    length, reason = _length(asked, data, base)
    if reason:
        why.append(reason)
    multiplier = asked.learning_rate_multiplier
    multiplier = 1.0 if multiplier == "auto" else multiplier
    rate = asked.learning_rate
    if rate == "auto":
        share = _DPO_SHARE if method == "dpo" else 1.0
        rate = base_rate(base.parameters) * share * multiplier
        why.append(f"learning_rate auto → {rate:g}: {_size_words(base)}, {method}")
    lora = asked.lora
    if asked.warm_start is None:
        lora = _lora(asked.lora, data.rows)
        if asked.lora.r == "auto":
            why.append(f"lora.r auto → {lora.r}: {rows}")
    beta = asked.beta
    if method == "dpo" and beta == "auto":
        beta = _DEFAULT_BETA
    chosen = asked.model_copy(
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
    return Resolved(chosen, tuple(why))


def _length(asked: Chosen, data: Data, base: Base) -> tuple[int, str | None]:
    if asked.max_seq_length != "auto":
        return min(base.context_length, asked.max_seq_length), None
    if data.longest is None:
        length = min(base.context_length, _UNMEASURED_LENGTH)
        return length, f"max_seq_length auto → {length}: the rows could not be measured"
    wanted = data.longest + _TEMPLATE_TOKENS
    wanted = -(-wanted // _LENGTH_STEP) * _LENGTH_STEP
    length = min(base.context_length, _MAX_AUTO_LENGTH, wanted)
    holds = "holds it" if length == wanted else "the most that auto takes; longer rows are cut"
    return length, (
        f"max_seq_length auto → {length}: the longest row has about {data.longest:,} tokens, "
        f"{holds}"
    )


def _lora(asked: Lora, rows: int) -> Lora:
    rank = asked.r
    if rank == "auto":
        rank = _RANK_LARGE if rows > _LARGE_ROWS else _RANK
    alpha = 2 * rank if asked.alpha == "auto" else asked.alpha
    return asked.model_copy(update={"r": rank, "alpha": alpha})


def _size_words(base: Base) -> str:
    if base.parameters is None:
        return "a base model of unknown size"
    return f"a base model of {base.parameters / 1e9:.2g} billion parameters"


def epochs(rows: int) -> int:
    """Passes over the data."""
    if _TARGET_EPOCHS * rows < _MIN_SEEN:
        return min(_MAX_EPOCHS, _MIN_SEEN // max(rows, 1))
    if _TARGET_EPOCHS * rows > _MAX_SEEN:
        return max(1, _MAX_SEEN // rows)
    return _TARGET_EPOCHS


def batch_size(rows: int) -> int:
    """Rows a step: small sets need many steps, large ones steady ones."""
    for size in (16, 8, 4, 2):
        if rows >= size * 20:
            return size
    return 1


def base_rate(parameters: int | None) -> float:
    """The learning rate that a multiplier of 1 stands for."""
    small = parameters is not None and parameters < _SMALL_PARAMETERS
    return _RATE_SMALL if small else _RATE
