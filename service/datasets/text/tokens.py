"""A tokenizer's view of texts: how many tokens, and how many of them are mere bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tokenizers import Tokenizer

from service.datasets.errors import refuse

# What a chat template puts around a message: its marks, the role, a line break. ChatML,
# Llama 3 and Gemma need four to six.
TOKENS_PER_MESSAGE = 5


class TextTokens(NamedTuple):
    """For each text its tokens, and those that are a byte or a part of a character."""

    counts: np.ndarray[Any, np.dtype[np.int64]]
    fallbacks: np.ndarray[Any, np.dtype[np.int64]]


class TokenizerView:
    """One `tokenizer.json`, loaded."""

    def __init__(self, path: Path) -> None:
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        # The library raises bare exceptions for whatever is wrong with a file.
        except Exception as error:
            raise refuse("unreadable_tokenizer") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._is_fallback = _fallback_flags(self._tokenizer)

    def count(self, texts: Sequence[str]) -> TextTokens:
        """Counts the tokens of each text, without special ones."""
        counts = np.zeros(len(texts), dtype=np.int64)
        fallbacks = np.zeros(len(texts), dtype=np.int64)
        encoded = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        for index, encoding in enumerate(encoded):
            ids = encoding.ids
            counts[index] = len(ids)
            fallbacks[index] = int(self._is_fallback[ids].sum()) if ids else 0
        return TextTokens(counts, fallbacks)


@lru_cache(maxsize=8)
def load_tokenizer(path: Path) -> TokenizerView:
    """The view of that file; loaded once in a process. Raises DatasetError if it is none."""
    return TokenizerView(path)


def _fallback_flags(tokenizer: Tokenizer) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """For each token id, whether it stands for less than a whole character."""
    vocabulary: dict[str, int] = tokenizer.get_vocab(with_added_tokens=True)
    flags = np.zeros(max(vocabulary.values(), default=0) + 1, dtype=bool)
    byte_level = "ByteLevel" in json.dumps(json.loads(tokenizer.to_str()).get("decoder"))
    alphabet = _byte_alphabet() if byte_level else {}
    for token, index in vocabulary.items():
        if byte_level:
            flags[index] = _is_part(token, alphabet)
        elif len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
            flags[index] = True
    return flags


def _is_part(token: str, alphabet: dict[str, int]) -> bool:
    if token.isascii():
        return False
    try:
        bytes(alphabet[char] for char in token).decode()
    except KeyError:
        return False  # an added token, in plain text
    except UnicodeDecodeError:
        return True
    return False


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's letters for the 256 bytes: printable ones are themselves."""
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in own]
    letters = {chr(byte): byte for byte in own}
    return letters | {chr(256 + place): byte for place, byte in enumerate(others)}
