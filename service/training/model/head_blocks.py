"""Block size of the output head, without torch so that the memory estimate can use it."""

from __future__ import annotations

from typing import Final

# 256 x 49k logits in fp32 are 50 MB: a block that stays allocated and suits most caches. A
# vocabulary of 256k gets fewer tokens, so that no block exceeds 256 MiB.
_MAX_TOKENS: Final = 256
_BLOCK_BYTES: Final = 256 * 2**20
_FP32: Final = 4


def logit_bytes(width: int) -> int:
    """Bytes per logit for weights of `width` bytes: one copy in their dtype and one in fp32."""
    return _FP32 if width == _FP32 else _FP32 + width


def block_tokens(vocabulary: int, width: int) -> int:
    """Number of tokens per block."""
    return max(min(_BLOCK_BYTES // (vocabulary * logit_bytes(width)), _MAX_TOKENS), 1)
