"""Log-probabilities of tokens in a GGUF model, from llama.cpp's logits.

llama.cpp's server names the likeliest tokens only, and none where a token is a part of a character.
The library has the logits of all tokens by their ids, and computes those of an answer at once.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from service.exporting.contract import ExportFailure


class TokenScores:
    """A loaded GGUF model, or a GGUF adapter on its base model."""

    def __init__(self, model: Path, *, context: int, threads: int, adapter: Path | None) -> None:
        """Load the model with room for `context` tokens. Raises ExportFailure."""
        from llama_cpp_py_sync._cffi_bindings import get_ffi, get_lib

        self._ffi: Any = get_ffi()
        self._llama: Any = get_lib()
        self._llama.llama_backend_init()
        options = self._llama.llama_model_default_params()
        options.n_gpu_layers = 0
        self._model = self._loaded(
            self._llama.llama_model_load_from_file(os.fsencode(model), options)
        )
        params = self._llama.llama_context_default_params()
        params.n_ctx = params.n_batch = context
        params.n_threads = params.n_threads_batch = threads
        self._context = self._loaded(self._llama.llama_init_from_model(self._model, params))
        if adapter is not None:
            path = os.fsencode(adapter)
            loaded = self._loaded(self._llama.llama_adapter_lora_init(self._model, path))
            adapters = self._ffi.new("struct llama_adapter_lora *[]", [loaded])
            scales = self._ffi.new("float[]", [1.0])
            self._llama.llama_set_adapters_lora(self._context, adapters, 1, scales)
        self._words = self._llama.llama_vocab_n_tokens(
            self._llama.llama_model_get_vocab(self._model)
        )

    def logprobs(self, prompt: Sequence[int], tokens: Sequence[int]) -> list[float]:
        """Score the tokens of an answer, in nats."""
        ids = [*prompt, *tokens]
        batch = self._llama.llama_batch_init(len(ids), 0, 1)
        try:
            batch.n_tokens = len(ids)
            for place, token in enumerate(ids):
                batch.token[place], batch.pos[place] = token, place
                batch.n_seq_id[place], batch.seq_id[place][0] = 1, 0
                batch.logits[place] = place >= len(prompt) - 1
            self._llama.llama_memory_clear(self._llama.llama_get_memory(self._context), True)
            if self._llama.llama_decode(self._context, batch):
                raise ExportFailure("unsupported_model", "llama.cpp cannot compute the file.")
            places = range(len(prompt) - 1, len(ids) - 1)
            return [self._logprob(at, token) for at, token in zip(places, tokens, strict=True)]
        finally:
            self._llama.llama_batch_free(batch)

    def _logprob(self, place: int, token: int) -> float:
        found = self._llama.llama_get_logits_ith(self._context, place)
        logits = np.frombuffer(self._ffi.buffer(found, 4 * self._words), np.float32).astype(float)
        return float(logits[token] - np.logaddexp.reduce(logits))

    def _loaded(self, pointer: Any) -> Any:
        if pointer == self._ffi.NULL:
            raise ExportFailure("unsupported_model", "llama.cpp cannot load the file.")
        return pointer
