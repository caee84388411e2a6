"""Samples answers of the serving engine to tokenized prompts.

Requests go to the engine directly, at the priority of evaluations. They are the training's own
work, so they count neither as usage nor against limits.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from service.core.tasks import gather
from service.inference.background.calls import PRIORITY, Patience
from service.inference.upstreams import Upstreams
from service.jobs.engine_requests import EngineAway, EngineRefused, complete
from service.training.contract.samples import Answer, SampleRequest

# Starting many answers of one request delays the requests of users, see max_answers_per_request.
_ANSWERS_PER_REQUEST: Final = 8
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 10.0
# An engine that has just died also answers with errors, for some seconds.
_MOST_REFUSALS: Final = 8
# Overrides what a base model's generation_config may set: samples must follow the model's own
# distribution.
_UNCHANGED: Final = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}


class SamplingFailed(Exception):
    """The engine gave no answers. `code` says why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class EngineSampler:
    """Samples answers of one base model and its adapters.

    `concurrency` is the number of answers that are sampled at a time, and `patience_s` how long to
    wait for an engine. `on_wait` is called when a wait begins.
    """

    def __init__(
        self,
        upstreams: Upstreams,
        base: str,
        *,
        salt: str,
        concurrency: int,
        patience_s: float,
        on_wait: Callable[[str], Awaitable[None]],
    ) -> None:
        self._upstreams = upstreams
        self._base = base
        self._salt = salt
        self._slots = asyncio.Semaphore(max(1, concurrency // _ANSWERS_PER_REQUEST))
        self._patience_s = patience_s
        self._patience = Patience(patience_s)
        self._on_wait = on_wait
        self._is_waiting = False

    async def sample(self, model: str, requests: Sequence[SampleRequest]) -> list[Answer]:
        """Return the answers to all requests, in their order. Raises SamplingFailed."""

        async def ask(part: tuple[SampleRequest, int]) -> list[Answer]:
            async with self._slots:
                return await self._sample_part(model, *part)

        parts = [
            (request, first)
            for request in requests
            for first in range(0, request.n, _ANSWERS_PER_REQUEST)
        ]
        return [answer for answers in await gather(ask, parts) for answer in answers]

    async def _sample_part(self, model: str, request: SampleRequest, first: int) -> list[Answer]:
        """Return up to `_ANSWERS_PER_REQUEST` answers to a request, from number `first`."""
        count = min(_ANSWERS_PER_REQUEST, request.n - first)
        body = {
            "model": model,
            "prompt": request.prompt_token_ids,
            "n": count,
            # The engine counts the seed up for each answer.
            "seed": request.seed + first,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "max_tokens": request.max_tokens,
            "logprobs": 0,
            "return_token_ids": True,
            "priority": PRIORITY,
            "cache_salt": self._salt,
            **_UNCHANGED,
        }
        response = await self._ask(body)
        return [
            _answer(request, first + index, choice)
            for index, choice in enumerate(response["choices"])
        ]

    async def _ask(self, body: dict[str, Any]) -> Any:
        pause_s, refusals = _FIRST_PAUSE_S, 0
        while True:
            try:
                response = await complete(self._upstreams, self._base, body)
                _check(response, body["n"])
            except EngineRefused as e:
                refusals += 1
                if refusals >= _MOST_REFUSALS:
                    raise SamplingFailed("sampling_failed", f"the engine fails: {e}") from e
            except EngineAway as e:
                if self._patience.is_over(self._base):
                    waited = f"after {self._patience_s:,.0f} s, there is still no answer: {e}"
                    raise SamplingFailed("engine_unavailable", waited) from e
                await self._report_wait(str(e))
            else:
                self._patience.note_answer(self._base)
                self._is_waiting = False
                return response
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _report_wait(self, reason: str) -> None:
        if not self._is_waiting:
            self._is_waiting = True
            await self._on_wait(reason)


def _check(response: Any, count: int) -> None:
    """Raise EngineRefused unless the response has whole answers with their tokens."""
    try:
        choices = response["choices"]
        whole = len(choices) == count and all(
            choice["finish_reason"] in ("stop", "length") and isinstance(choice["token_ids"], list)
            for choice in choices
        )
    except (KeyError, TypeError) as e:
        raise EngineRefused("its answer has no tokens") from e
    if not whole:
        raise EngineRefused("its answer is incomplete")


def _answer(request: SampleRequest, index: int, choice: dict[str, Any]) -> Answer:
    tokens: list[int] = choice["token_ids"]
    # The engine returns log probabilities at temperature 1, whatever the temperature of the sample.
    given = (choice.get("logprobs") or {}) if request.temperature == 1 else {}
    scores = given.get("token_logprobs") or []
    known = [value if value is not None and math.isfinite(value) else None for value in scores]
    return Answer(
        row=request.row,
        file=request.file,
        index=index,
        token_ids=tokens,
        logprobs=known if len(known) == len(tokens) else None,
        text=choice["text"],
        finish_reason=choice["finish_reason"],
    )
