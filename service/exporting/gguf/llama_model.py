"""Loads a GGUF model in this process: llama.cpp's server answers, and its library scores."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np

from service.exporting.contract import ChatMessage, ExportFailure


class TokenScorer:
    """Scores tokens with llama.cpp's library: a GGUF model, or a GGUF adapter on its base model."""

    def __init__(self, model: Path, *, context: int, threads: int, adapter: Path | None) -> None:
        """Load the model with room for `context` tokens. Raises ExportFailure."""
        from llama_cpp_py_sync._cffi_bindings import get_ffi, get_lib

        self._ffi: Any = get_ffi()
        self._llama: Any = get_lib()
        self._llama.llama_backend_init()
        options = self._llama.llama_model_default_params()
        options.n_gpu_layers = 0
        self._model = self._check_loaded(
            self._llama.llama_model_load_from_file(os.fsencode(model), options)
        )
        params = self._llama.llama_context_default_params()
        params.n_ctx = params.n_batch = context
        params.n_threads = params.n_threads_batch = threads
        self._context = self._check_loaded(self._llama.llama_init_from_model(self._model, params))
        if adapter is not None:
            path = os.fsencode(adapter)
            loaded = self._check_loaded(self._llama.llama_adapter_lora_init(self._model, path))
            adapters = self._ffi.new("struct llama_adapter_lora *[]", [loaded])
            scales = self._ffi.new("float[]", [1.0])
            self._llama.llama_set_adapters_lora(self._context, adapters, 1, scales)
        self._vocabulary = self._llama.llama_vocab_n_tokens(
            self._llama.llama_model_get_vocab(self._model)
        )

    def logprobs(self, prompt: Sequence[int], tokens: Sequence[int]) -> list[float]:
        """Score the tokens of an answer, in nats."""
        ids = [*prompt, *tokens]
        batch = self._llama.llama_batch_init(len(ids), 0, 1)
        try:
            batch.n_tokens = len(ids)
            for position, token in enumerate(ids):
                batch.token[position], batch.pos[position] = token, position
                batch.n_seq_id[position], batch.seq_id[position][0] = 1, 0
                batch.logits[position] = position >= len(prompt) - 1
            self._llama.llama_memory_clear(self._llama.llama_get_memory(self._context), True)
            if self._llama.llama_decode(self._context, batch):
                raise ExportFailure("unsupported_model", "llama.cpp cannot compute the file.")
            positions = range(len(prompt) - 1, len(ids) - 1)
            return [self._logprob(at, token) for at, token in zip(positions, tokens, strict=True)]
        finally:
            self._llama.llama_batch_free(batch)

    def _logprob(self, position: int, token: int) -> float:
        found = self._llama.llama_get_logits_ith(self._context, position)
        logits = np.frombuffer(self._ffi.buffer(found, 4 * self._vocabulary), np.float32).astype(
            float
        )
        return float(logits[token] - np.logaddexp.reduce(logits))

    def _check_loaded(self, pointer: Any) -> Any:
        if pointer == self._ffi.NULL:
            raise ExportFailure("unsupported_model", "llama.cpp cannot load the file.")
        return pointer


_TIMEOUT_S: Final = 600


class LlamaModel:
    """A GGUF model, or a GGUF adapter on its base model."""

    def __init__(
        self,
        model: Path,
        *,
        context: int,
        threads: int,
        adapter: Path | None = None,
        sampling: Mapping[str, float] | None = None,
    ) -> None:
        """Load the model with room for `context` tokens. Raises ExportFailure.

        It samples with the parameters in `sampling`, or by default with those in the file, except
        that the temperature is 0.
        """
        import xllamacpp

        self._sampling = dict(sampling or {})
        self._key = secrets.token_hex(16)
        params: Any = xllamacpp.CommonParams()
        params.model.path = str(model)
        params.n_ctx, params.n_parallel, params.n_gpu_layers = context, 1, 0
        params.use_jinja, params.warmup = True, False
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.api_keys = [self._key]
        if adapter is not None:
            params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(adapter), 1.0)]
        try:
            self._server: Any = xllamacpp.Server(params)
        except Exception as error:
            raise ExportFailure("unsupported_model", "llama.cpp cannot load the file.") from error
        self._address = urlsplit(self._server.listening_address)
        self._scores = TokenScorer(model, context=context, threads=threads, adapter=adapter)

    def render(self, messages: Sequence[ChatMessage]) -> str:
        shown = [message.model_dump() for message in messages]
        return str(self._post("/apply-template", {"messages": shown})["prompt"])

    def tokenize(self, text: str) -> list[int]:
        body = {"content": text, "add_special": False, "parse_special": True}
        return list(self._post("/tokenize", body)["tokens"])

    def detokenize(self, tokens: Sequence[int]) -> str:
        return str(self._post("/detokenize", {"tokens": list(tokens)})["content"])

    def answer(self, prompt: Sequence[int], max_tokens: int) -> str:
        asked = {"prompt": list(prompt), "n_predict": max_tokens, "return_tokens": True}
        found = self._post("/completion", {**self._sampling, **asked, "temperature": 0})
        text = str(found["content"])
        # The server generates further tokens to complete a character.
        return text[:-1] if len(found["tokens"]) > max_tokens else text

    def logprobs(self, prompt: Sequence[int], tokens: Sequence[int]) -> list[float]:
        return self._scores.logprobs(prompt, tokens)

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        headers = {"authorization": f"Bearer {self._key}", "content-type": "application/json"}
        host, port = str(self._address.hostname), self._address.port
        connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
        with contextlib.closing(connection):
            connection.request("POST", path, json.dumps(body), headers)
            response = connection.getresponse()
            content = response.read()
        if response.status != http.HTTPStatus.OK:
            raise ExportFailure(
                "unsupported_model", f"llama.cpp answered {path} with the status {response.status}."
            )
        return json.loads(content)
