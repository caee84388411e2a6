"""What `auto` means: pure rules from the data and the base model to numbers."""

from __future__ import annotations

from service.jobs.records import Chosen, Lora

# OpenAI's cookbook rule for epochs: enough passes to see about 100 rows, not over 25,000.
_TARGET_EPOCHS = 3
_MIN_SEEN, _MAX_SEEN, _MAX_EPOCHS = 100, 25_000, 25
# LoRA learns at ten times full fine-tuning's rate; below a billion parameters higher
# still (SmolLM2-135M has a voice after 3 epochs at 1e-3, and not yet at 2e-4).
_RATE, _RATE_SMALL, _SMALL_PARAMETERS = 2e-4, 1e-3, 1_000_000_000
_DEFAULT_RANK = 16
_DEFAULT_SEQUENCE_TOKENS = 2048


def resolve(asked: Chosen, *, rows: int, parameters: int | None, context_length: int) -> Chosen:
    """`asked` with every `auto` replaced.

    rows: training examples. parameters: of the base model, None where unknown.
    context_length: tokens that the base model can take.
    """
    rank = _DEFAULT_RANK if asked.lora.r == "auto" else asked.lora.r
    multiplier = asked.learning_rate_multiplier
    multiplier = 1.0 if multiplier == "auto" else multiplier
    rate = asked.learning_rate
    if rate == "auto":
        rate = base_rate(parameters) * multiplier
    length = asked.max_seq_length
    return Chosen(
        batch_size=batch_size(rows) if asked.batch_size == "auto" else asked.batch_size,
        learning_rate_multiplier=multiplier,
        n_epochs=epochs(rows) if asked.n_epochs == "auto" else asked.n_epochs,
        learning_rate=rate,
        lora=Lora(
            r=rank,
            alpha=2 * rank if asked.lora.alpha == "auto" else asked.lora.alpha,
            dropout=asked.lora.dropout,
            target_modules=asked.lora.target_modules,
        ),
        quantization=asked.quantization,
        max_seq_length=min(
            context_length, _DEFAULT_SEQUENCE_TOKENS if length == "auto" else length
        ),
        packing=False if asked.packing == "auto" else asked.packing,
    )


def epochs(rows: int) -> int:
    """Passes over the data."""
    if _TARGET_EPOCHS * rows < _MIN_SEEN:
        return min(_MAX_EPOCHS, _MIN_SEEN // rows)
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
