"""Asks an engine for what evaluations compare: answers, continuations and likelihoods."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from service.core.tasks import gather
from service.evals.sampling import CHAT, parse_chat
from service.grading.examples import Example, Message
from service.grading.tool_call import find_written_calls, parse_calls
from service.inference.background.calls import Answered, EngineCalls, SampleFailed
from service.verdict.comparison import Answer

log = logging.getLogger(__name__)

_COMPLETIONS: Final = "/v1/completions"

# A question with a tool and a call of it, to find out whether tool calls can be read.
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

    def __init__(self, model: str, reason: str) -> None:
        super().__init__(f"The engine of {model} gave no answers: {reason}.")
        self.code = "engine_unavailable"
        self.message = str(self)


@dataclass(frozen=True)
class Likelihood:
    """Probability of an answer under a model.

    `logprobs` are the natural logarithms of the probabilities of the answer's tokens, including
    the token that ends the turn. `likeliest` counts the tokens that the model ranks first.
    """

    logprobs: tuple[float, ...]
    likeliest: int

    @property
    def total(self) -> float:
        """Logarithm of the probability of the whole answer."""
        return sum(self.logprobs)


# Each chat template reads the option that it knows.
_NO_THINKING: Final = {"chat_template_kwargs": {"enable_thinking": False, "thinking": False}}


class EvaluationEngine:
    """The engine of one base model, as evaluations use it.

    `disable_thinking` is for reasoning models that are compared on rows without reasoning, since
    the limits of the answers leave no room for it. Each method raises EngineAway, and ModelGone if
    the model was deleted.
    """

    def __init__(self, calls: EngineCalls, base: str, *, disable_thinking: bool = False) -> None:
        self.base = base
        self._calls = calls
        self._thinking = _NO_THINKING if disable_thinking else {}
        self._prompt_tokens: dict[bytes, int] = {}
        self._tool_choice: dict[str, str] = {}

    async def reads_tool_calls(self) -> bool:
        """Return whether tool calls can be read from answers.

        The engine reads them if it has a parser. Otherwise, it is asked to leave them in the text,
        where they can be read if the chat template writes calls as JSON.
        """
        body = {"messages": [_QUESTION], "tools": [_TOOL], "max_tokens": 1, "temperature": 0}
        try:
            await self._ask(self.base, CHAT, body)
        except SampleFailed:
            self._tool_choice = {"tool_choice": "none"}
            return await self._writes_calls()
        return True

    async def _writes_calls(self) -> bool:
        """Return whether the chat template writes a call so that it can be read from the text."""
        called = {"role": "assistant", "content": "", "tool_calls": [_CALL]}
        try:
            start = await self._count_tokens([_QUESTION], [_TOOL])
            scores = await self._score_tokens(self.base, [_QUESTION, called], [_TOOL])
        except SampleFailed as e:
            log.info("the engine does not accept tools: %s", e.code)
            return False
        text = "".join(entry.get("decoded_token") or "" for entry in scores[start:])
        return parse_calls(json.dumps(find_written_calls(text))) == parse_calls(json.dumps(_CALL))

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
        try:
            body |= {**self._offer(tools), **self._thinking}
            answered = await self._ask(model, CHAT, body)
            sample = parse_chat(answered)
        except SampleFailed as e:
            return Answer(text="", error=e.code)
        return Answer(
            text=sample.output_text,
            tool_calls=sample.tool_calls or [],
            finish_reason=sample.finish_reason,
            prompt_tokens=answered.usage.prompt_tokens,
            completion_tokens=answered.usage.completion_tokens,
            latency_s=round(answered.seconds, 4),
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
        choice = await self._continue(model, CHAT, body, max_tokens)
        message = choice.get("message") or {}
        # A reasoning parser may take the rest of an answer for reasoning.
        return (message.get("reasoning") or "") + (message.get("content") or "")

    async def complete(self, model: str, text: str, *, max_tokens: int) -> str:
        """Return how the model continues a raw text; empty if the engine rejects that."""
        choice = await self._continue(model, _COMPLETIONS, {"prompt": text}, max_tokens)
        return choice.get("text") or ""

    async def _continue(
        self, model: str, path: str, body: dict[str, Any], max_tokens: int
    ) -> dict[str, Any]:
        """Return the first choice of a greedy completion; empty if the engine rejects it."""
        try:
            answered = await self._ask(
                model, path, {**body, "max_tokens": max_tokens, "temperature": 0}
            )
        except SampleFailed as e:
            log.info("no continuation: %s", e.code)
            return {}
        choice: dict[str, Any] = answered.body["choices"][0]
        return choice

    async def likelihood(self, model: str, row: Example) -> Likelihood | None:
        """Return how likely a row's own answer is, with its tool calls; None if unknown."""
        answer: Message = {"role": "assistant", "content": row.answer}
        if row.tool_calls:
            answer["tool_calls"] = list(row.tool_calls)
        (found,) = await self._likelihoods(model, row.prompt, [answer], row.tools)
        return found

    async def likelihoods(
        self, model: str, prompt: Sequence[Message], answers: Sequence[str]
    ) -> list[Likelihood | None]:
        """Return how likely each answer to the prompt is; None if the engine does not say."""
        messages = [{"role": "assistant", "content": answer} for answer in answers]
        return await self._likelihoods(model, prompt, messages)

    async def _likelihoods(
        self,
        model: str,
        prompt: Sequence[Message],
        answers: Sequence[Message],
        tools: Sequence[dict[str, Any]] = (),
    ) -> list[Likelihood | None]:
        try:
            start = await self._count_tokens(prompt, tools)
        except SampleFailed as e:
            log.info("no likelihood: %s", e.code)
            return [None] * len(answers)

        async def score(answer: Message) -> Likelihood | None:
            try:
                scores = await self._score_tokens(model, [*prompt, answer], tools)
            except SampleFailed as e:
                log.info("no likelihood: %s", e.code)
                return None
            entries = [entry for entry in scores[start:] if entry]
            if not entries:
                return None
            return Likelihood(
                logprobs=tuple(float(entry["logprob"]) for entry in entries),
                likeliest=sum(entry.get("rank") == 1 for entry in entries),
            )

        return await gather(score, answers)

    async def _count_tokens(
        self, prompt: Sequence[Message], tools: Sequence[dict[str, Any]]
    ) -> int:
        """Return the number of tokens before the answer, which all adapters of a base share."""
        key = msgspec.json.encode((prompt, tools))
        if key not in self._prompt_tokens:
            body = {"messages": list(prompt), "max_tokens": 1, **self._offer(tools)}
            answered = await self._ask(self.base, CHAT, body)
            self._prompt_tokens[key] = answered.usage.prompt_tokens
        return self._prompt_tokens[key]

    async def _score_tokens(
        self, model: str, messages: Sequence[Message], tools: Sequence[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """Return an entry for each token of the messages; that of the first token is empty.

        Raises SampleFailed.
        """
        body = {
            "messages": list(messages),
            "add_generation_prompt": False,
            "prompt_logprobs": 0,
            "max_tokens": 1,
            "temperature": 0,
            **self._offer(tools),
        }
        scores = (await self._ask(model, CHAT, body)).body.get("prompt_logprobs")
        if not isinstance(scores, list):
            raise SampleFailed("no_prompt_logprobs", "The engine returned no log probabilities.")
        # With `prompt_logprobs: 0`, an entry has no token but the prompt's own.
        return [next(iter(entry.values())) if entry else {} for entry in scores]

    def _offer(self, tools: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return {"tools": list(tools), **self._tool_choice} if tools else {}

    async def _ask(self, model: str, path: str, body: dict[str, Any]) -> Answered:
        """Post a request. Raises SampleFailed if the engine rejects it."""
        try:
            return await self._calls.ask(model, path, body, body["max_tokens"])
        except SampleFailed as e:
            if e.is_away:
                raise EngineAway(self.base, e.code) from e
            raise
