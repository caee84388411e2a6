"""Limits of inputs, so that no file can exhaust memory, and the near-duplicate threshold."""

from __future__ import annotations

# A decoded line takes up to four times its size in bytes (one astral character makes every
# character of a Python string four bytes wide), and a validation must stay under 150 MB.
# Four million bytes are about a million tokens, which is more than any context.
MAX_LINE_BYTES = 4 * 1024 * 1024
MAX_NESTING = 64
MAX_CONTAINERS = 200_000
# A batch of this size stays in the L2 cache, so that searching its bytes is nearly free.
BATCH_BYTES = 64 * 1024
# Items of an eval run. Sending an item to a model takes far longer than reading it.
MAX_EVAL_ITEMS = 10_000
MAX_EVAL_ITEM_BYTES = 64 * 1024
# Rows that share at least this part of their words can be near-duplicates, by default.
NEAR_THRESHOLD = 0.8
# PEFT writes a few kilobytes, more if every module has its own rank.
MAX_ADAPTER_CONFIG_BYTES = 1024 * 1024
