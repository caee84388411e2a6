"""The limits of what is read, so that no file can take the machine's memory."""

from __future__ import annotations

# A decoded line costs up to four times its bytes (one astral character makes every
# character of a Python string four bytes wide), and a validation must stay under 150 MB.
# Four million bytes are about a million tokens: more than any context.
MAX_LINE_BYTES = 4 * 1024 * 1024
MAX_NESTING = 64
MAX_CONTAINERS = 200_000
# Read this much at a time: it stays in the second-level cache, which the checks for marks
# in the raw bytes need to be nearly free.
BATCH_BYTES = 64 * 1024
