"""Requests of an evaluation to the serving engine: answers and their likelihoods."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from service.core.tasks import gather
from service.grading.examples import Example, Message
from service.grading.tool_call import find_written_calls, parse_calls
from service.inference.background.calls import Answered, EngineCalls, SampleFailed
from service.verdict.comparison import Answer

log = logging.getLogger(__name__)
T = TypeVar("T")
S = TypeVar("S")

_CHAT, _RAW = "/v1/chat/completions", "/v1/completions"

# A tool and a call of it, to find out whether calls can be read.
_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
_CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'},
}
_QUESTION = {"role": "user", "content": "How is the weather in Oslo?"}


class EngineAway(Exception):
    """No engine answered within the patience."""


class EngineRefused(Exception):
    """The engine answered, but not as requested. `code` is the reason."""

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


# Each chat template reads the switch that it knows.
_NO_THOUGHTS = {"chat_template_kwargs": {"enable_thinking": False, "thinking": False}}


class EvaluationEngine:
    """The engine of one base model, as evaluations use it.

    `answers_at_once` is for models that think, but are compared on rows without thoughts: the
    limits of the answers leave them no room. Each method raises EngineAway, and ModelGone if the
    model was deleted.
    """

    def __init__(
        self,
        calls: EngineCalls,
        base: str,
        *,
        concurrency: int = 16,
        answers_at_once: bool = False,
    ) -> None:
        self.base = base
        self._thinking = _NO_THOUGHTS if answers_at_once else {}
        self._calls = calls
        self._slots = asyncio.Semaphore(concurrency)
        self._prompt_tokens: dict[bytes, int] = {}
        self._tool_choice: dict[str, str] = {}

    async def reads_tool_calls(self) -> bool:
        """Return whether tool calls can be read from answers.

        The engine reads them if it has a parser. Otherwise, it is asked to leave them in the text,
        which can be read if the chat template writes calls as JSON.
        """
        body = {"messages": [_QUESTION], "tools": [_TOOL], "max_tokens": 1, "temperature": 0}
        try:
            await self._ask(self.base, _CHAT, body)
        except EngineRefused:
            self._tool_choice = {"tool_choice": "none"}
            return await self._writes_calls()
        return True

    async def answer(
        self,
        model: str,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        tools: Sequence[dict[str, Any]] = (),
    ) -> Answer:
        """Return the model's greedy answer. A request that the engine rejects becomes an error."""
        body = {"messages": list(messages), "max_tokens": max_tokens, "temperature": 0}
        body |= {**self._offered(tools), **self._thinking}
        try:
            response = await self._ask(model, _CHAT, body)
        except EngineRefused as e:
            return Answer(text="", error=e.code)
        choice = response.body["choices"][0]
        return Answer(
            text=choice["message"].get("content") or "",
            tool_calls=choice["message"].get("tool_calls") or [],
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
        if response is None:
            return ""
        message = response["choices"][0]["message"]
        # A parser of thoughts may take the rest of an answer for a thought.
        return (message.get("reasoning") or "") + (message.get("content") or "")

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
            messages = [*prompt, {"role": "assistant", "content": answer}]
            return await self._likelihood(model, messages, start)

        return await gather(one, answers)

    async def likelihood(self, model: str, row: Example) -> Likelihood | None:
        """Return how likely a row's own answer is, with its tool calls; None if unknown."""
        answer: Message = {"role": "assistant", "content": row.answer}
        if row.tool_calls:
            answer["tool_calls"] = list(row.tool_calls)
        try:
            start = await self._tokens(row.prompt, row.tools)
        except EngineRefused as e:
            log.info("no likelihood: %s", e)
            return None
        return await self._likelihood(model, [*row.prompt, answer], start, row.tools)

    async def _writes_calls(self) -> bool:
        """Return whether the chat template writes a call so that it can be read from the text."""
        called = {"role": "assistant", "content": "", "tool_calls": [_CALL]}
        try:
            start = await self._tokens([_QUESTION], [_TOOL])
            scores = await self._scores(self.base, [_QUESTION, called], [_TOOL])
        except EngineRefused as e:
            log.info("the engine does not accept tools: %s", e)
            return False
        entries = [_only_entry(entry) for entry in scores[start:] if entry]
        written = find_written_calls("".join(entry.get("decoded_token") or "" for entry in entries))
        return parse_calls(json.dumps(written)) == parse_calls(json.dumps(_CALL))

    def _offered(self, tools: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return {"tools": list(tools), **self._tool_choice} if tools else {}

    async def _likelihood(
        self,
        model: str,
        messages: Sequence[Message],
        start: int,
        tools: Sequence[dict[str, Any]] = (),
    ) -> Likelihood | None:
        try:
            scores = await self._scores(model, messages, tools)
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

    async def _tokens(self, prompt: Sequence[Message], tools: Sequence[dict[str, Any]] = ()) -> int:
        """Return the number of tokens before the answer, which all adapters of a base share."""
        key = msgspec.json.encode((prompt, tools))
        if key not in self._prompt_tokens:
            body = {"messages": list(prompt), "max_tokens": 1, **self._offered(tools)}
            response = await self._ask(self.base, _CHAT, body)
            self._prompt_tokens[key] = response.usage.prompt_tokens
        return self._prompt_tokens[key]

    async def _scores(
        self,
        model: str,
        messages: Sequence[Message],
        tools: Sequence[dict[str, Any]] = (),
    ) -> list[Any]:
        body = {
            "messages": list(messages),
            "add_generation_prompt": False,
            "prompt_logprobs": 0,
            "max_tokens": 1,
            "temperature": 0,
            **self._offered(tools),
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


def _only_entry(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the entry of the prompt's own token, the only one with `prompt_logprobs: 0`."""
    return next(iter(entry.values()))
