"""Input limits, so that no file can exhaust the machine's memory, and the limit of likeness."""

from __future__ import annotations

# A decoded line takes up to four times its size in bytes (one astral character makes every
# character of a Python string four bytes wide), and a validation must stay under 150 MB.
# Four million bytes are about a million tokens, which is more than any context.
MAX_LINE_BYTES = 4 * 1024 * 1024
MAX_NESTING = 64
MAX_CONTAINERS = 200_000
# A batch of this size stays in the L2 cache, which keeps the searches of the raw bytes nearly
# free.
BATCH_BYTES = 64 * 1024
# Items of an evaluation run. Each is sent to a model, which takes far longer than reading it.
MAX_EVAL_ITEMS = 10_000
MAX_EVAL_ITEM_BYTES = 64 * 1024
# Rows with at least this share of words in common are compared for copies, by default.
NEAR_THRESHOLD = 0.8
# PEFT writes a few kilobytes, more if every module has its own rank.
MAX_ADAPTER_CONFIG_BYTES = 1024 * 1024
