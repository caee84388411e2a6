"""Counts the tokens of texts, and how many of them are bytes or parts of a character."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from tokenizers import Tokenizer

from service.datasets.checks.issues import refuse

# Tokens that a chat template adds to a message: special tokens, the role, and a line break.
# ChatML, Llama 3, and Gemma add four to six.
TOKENS_PER_MESSAGE = 5


class TextTokens(NamedTuple):
    """Per text, the number of tokens, and of those that are a byte or part of a character."""

    counts: np.ndarray[Any, np.dtype[np.int64]]
    fallbacks: np.ndarray[Any, np.dtype[np.int64]]


class TokenizerView:
    """A loaded `tokenizer.json`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        # The library raises a bare Exception for any problem with a file.
        except Exception as error:
            raise refuse("unreadable_tokenizer") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    @cached_property
    def _is_fallback(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        return _fallback_flags(self._tokenizer, self._path)

    def count(self, texts: Sequence[str], *, with_fallbacks: bool = True) -> TextTokens:
        """Count the tokens of each text, without special tokens.

        Without fallbacks, which need a look at the whole vocabulary, their numbers are 0.
        """
        encoded = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        counts = np.fromiter(map(len, encoded), dtype=np.int64, count=len(texts))
        fallbacks = np.zeros(len(texts), dtype=np.int64)
        if with_fallbacks:
            ids = chain.from_iterable(encoding.ids for encoding in encoded)
            flags = self._is_fallback[np.fromiter(ids, dtype=np.int64, count=int(counts.sum()))]
            before = np.concatenate(([0], np.cumsum(flags)))
            ends = np.cumsum(counts)
            fallbacks = before[ends] - before[ends - counts]
        return TextTokens(counts, fallbacks)


@lru_cache(maxsize=8)
def load_tokenizer(path: Path) -> TokenizerView:
    """Load a tokenizer file, cached per process. Raises DatasetError if it is invalid."""
    return TokenizerView(path)


class _File(msgspec.Struct):
    """The part of a `tokenizer.json` that says whether tokens are byte sequences."""

    decoder: msgspec.Raw = msgspec.Raw(b"null")


def _fallback_flags(tokenizer: Tokenizer, path: Path) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return, for each token ID, whether the token is less than a whole character."""
    vocabulary: dict[str, int] = tokenizer.get_vocab(with_added_tokens=True)
    flags = np.zeros(max(vocabulary.values(), default=0) + 1, dtype=bool)
    decoder = msgspec.json.decode(path.read_bytes(), type=_File).decoder
    byte_level = b'"ByteLevel"' in bytes(decoder)
    alphabet = _byte_alphabet() if byte_level else {}
    for token, index in vocabulary.items():
        if byte_level:
            flags[index] = not token.isascii() and _is_part(token, alphabet)
        elif len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
            flags[index] = True
    return flags


def _is_part(token: str, alphabet: dict[str, int]) -> bool:
    try:
        bytes(map(alphabet.__getitem__, token)).decode()
    except KeyError:
        return False  # an added token in plain text
    except UnicodeDecodeError:
        return True
    return False


def _byte_alphabet() -> dict[str, int]:
    """Return GPT-2's mapping of characters to the 256 bytes. Printable bytes map to themselves."""
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in own]
    letters = {chr(byte): byte for byte in own}
    return letters | {chr(256 + place): byte for place, byte in enumerate(others)}
