"""Requests of an evaluation to the serving engine: answers and their likelihoods."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from service.evals.engines import Answered, EngineCalls, SampleFailed
from service.evaluation.comparison import Answer
from service.evaluation.examples import Message

log = logging.getLogger(__name__)
T = TypeVar("T")
S = TypeVar("S")

_CHAT, _RAW = "/v1/chat/completions", "/v1/completions"


class EngineAway(Exception):
    """No engine answered within the patience."""


class EngineRefused(Exception):
    """The engine answered, but not with what was asked for. `code` is the reason."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Likelihood:
    """Probability of an answer under a model.

    `logprobs` are the natural logarithms of the probabilities of the answer's tokens, with the
    token that ends the turn. `likeliest` counts tokens that the model ranks first.
    """

    logprobs: tuple[float, ...]
    likeliest: int

    @property
    def total(self) -> float:
        """Logarithm of the probability of the whole answer."""
        return sum(self.logprobs)


class EvaluationEngine:
    """The engine of one base model, as evaluations use it.

    Each method raises EngineAway, and ModelGone if the model was deleted.
    """

    def __init__(self, calls: EngineCalls, base: str, *, concurrency: int = 16) -> None:
        self.base = base
        self._calls = calls
        self._slots = asyncio.Semaphore(concurrency)
        self._prompt_tokens: dict[bytes, int] = {}

    async def answer(self, model: str, messages: Sequence[Message], *, max_tokens: int) -> Answer:
        """Return the model's greedy answer. A request that the engine rejects becomes an error."""
        body = {"messages": list(messages), "max_tokens": max_tokens, "temperature": 0}
        try:
            response = await self._ask(model, _CHAT, body)
        except EngineRefused as e:
            return Answer(text="", error=e.code)
        choice = response.body["choices"][0]
        return Answer(
            text=choice["message"].get("content") or "",
            finish_reason=choice.get("finish_reason"),
            prompt_tokens=response.usage.prompt_tokens,
            completion_tokens=response.usage.completion_tokens,
            latency_s=round(response.seconds, 4),
        )

    async def continue_answer(
        self, model: str, messages: Sequence[Message], *, max_tokens: int
    ) -> str:
        """Return how the model continues its last message; empty if the engine rejects that."""
        body = {
            "messages": list(messages),
            "add_generation_prompt": False,
            "continue_final_message": True,
        }
        response = await self._greedy(model, body, _CHAT, max_tokens)
        return "" if response is None else response["choices"][0]["message"].get("content") or ""

    async def complete(self, model: str, text: str, *, max_tokens: int) -> str:
        """Return how the model continues a raw text; empty if the engine rejects that."""
        response = await self._greedy(model, {"prompt": text}, _RAW, max_tokens)
        return "" if response is None else response["choices"][0].get("text") or ""

    async def likelihoods(
        self, model: str, prompt: Sequence[Message], answers: Sequence[str]
    ) -> list[Likelihood | None]:
        """Return how likely each answer is after the prompt; None if the engine does not say."""
        try:
            start = await self._tokens(prompt)
        except EngineRefused as e:
            log.info("no likelihood: %s", e)
            return [None] * len(answers)

        async def one(answer: str) -> Likelihood | None:
            return await self._likelihood(model, prompt, answer, start)

        return await gather(one, answers)

    async def _likelihood(
        self, model: str, prompt: Sequence[Message], answer: str, start: int
    ) -> Likelihood | None:
        try:
            scores = await self._scores(model, [*prompt, {"role": "assistant", "content": answer}])
        except EngineRefused as e:
            log.info("no likelihood: %s", e)
            return None
        ranked = [_only_entry(entry) for entry in scores[start:] if entry]
        if not ranked:
            return None
        return Likelihood(
            logprobs=tuple(float(entry["logprob"]) for entry in ranked),
            likeliest=sum(entry.get("rank") == 1 for entry in ranked),
        )

    async def _greedy(self, model: str, body: dict[str, Any], path: str, max_tokens: int) -> Any:
        asked = {**body, "max_tokens": max_tokens, "temperature": 0}
        try:
            return (await self._ask(model, path, asked)).body
        except EngineRefused as e:
            log.info("no continuation: %s", e)
            return None

    async def _tokens(self, prompt: Sequence[Message]) -> int:
        """Return the number of tokens before the answer, which all adapters of a base share."""
        key = msgspec.json.encode(prompt)
        if key not in self._prompt_tokens:
            response = await self._ask(
                self.base, _CHAT, {"messages": list(prompt), "max_tokens": 1}
            )
            self._prompt_tokens[key] = response.usage.prompt_tokens
        return self._prompt_tokens[key]

    async def _scores(self, model: str, messages: Sequence[Message]) -> list[Any]:
        body = {
            "messages": list(messages),
            "add_generation_prompt": False,
            "prompt_logprobs": 0,
            "max_tokens": 1,
            "temperature": 0,
        }
        scores = (await self._ask(model, _CHAT, body)).body.get("prompt_logprobs")
        if not isinstance(scores, list):
            raise EngineRefused("no_prompt_logprobs")
        return scores

    async def _ask(self, model: str, path: str, body: dict[str, Any]) -> Answered:
        async with self._slots:
            try:
                return await self._calls.ask(model, path, body, body["max_tokens"])
            except SampleFailed as e:
                if e.is_away:
                    raise EngineAway(e.code) from e
                raise EngineRefused(e.code) from e


async def gather(call: Callable[[S], Awaitable[T]], over: Iterable[S]) -> list[T]:
    """Return the results of concurrent calls, in order. The first error cancels the others."""
    try:
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(_coroutine(call(one))) for one in over]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [made.result() for made in calls]


async def _coroutine(awaitable: Awaitable[T]) -> T:
    return await awaitable


def _only_entry(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the entry of the prompt's own token, the only one with `prompt_logprobs: 0`."""
    return next(iter(entry.values()))
