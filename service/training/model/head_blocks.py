"""How many tokens the output head scores at once; without torch, for the estimate."""

from __future__ import annotations

from typing import Final

# 256 x 49k logits in fp32 are 50 MB: a block that stays allocated and fits most caches' reach.
# A vocabulary of 256k gets fewer, so that no block takes more than 256 MiB.
_MOST_TOKENS: Final = 256
_BLOCK_BYTES: Final = 256 * 2**20
_FP32: Final = 4


def logit_bytes(width: int) -> int:
    """Bytes of one logit where weights have `width` bytes: in their type, and in fp32."""
    return _FP32 if width == _FP32 else _FP32 + width


def block_tokens(vocabulary: int, width: int) -> int:
    """The tokens of a block."""
    return max(min(_BLOCK_BYTES // (vocabulary * logit_bytes(width)), _MOST_TOKENS), 1)
