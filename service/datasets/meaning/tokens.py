"""Tokens of texts for an encoder, from its tokenizer.json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from service.datasets.errors import refuse


class EncoderTokenizer:
    """The fast tokenizer of an encoder's folder."""

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        try:
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as e:  # the library raises no class of its own
            raise refuse("encoder_unusable", reason="its tokenizer.json cannot be read") from e
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def __call__(
        self, texts: Sequence[str], *, most: int | None, with_special: bool
    ) -> list[list[int]]:
        """Return the tokens of each text, at most `most`, with or without special tokens."""
        if most is None:
            self._tokenizer.no_truncation()
        else:
            self._tokenizer.enable_truncation(most)
        found = self._tokenizer.encode_batch_fast(texts, add_special_tokens=with_special)
        return [one.ids for one in found]
