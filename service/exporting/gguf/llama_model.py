"""A GGUF model, loaded by llama.cpp's server and library, which run in this process."""

from __future__ import annotations

import contextlib
import http.client
import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from service.exporting.contract import ChatMessage, ExportFailure
from service.exporting.gguf.token_scores import TokenScores

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

        It answers with `sampling`, by default with what the file itself says, except that the
        temperature is 0.
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
        self._scores = TokenScores(model, context=context, threads=threads, adapter=adapter)

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
