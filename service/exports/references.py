"""Reference answers of the serving engine, which an exported model must reproduce."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from service.evals.sampling import CHAT
from service.evaluation.concurrency import gather
from service.evaluation.examples import Example, Message, spread
from service.evaluation.general import items
from service.exporting import ChatMessage, Reference
from service.inference.background.calls import EngineCalls, SampleFailed

MOST: Final = 8
_ANSWER_TOKENS: Final = 64
_LONGEST_CHARS: Final = 8000  # of a prompt, so that the proof of a small model takes seconds

Prompt = tuple[Message, ...]


class EngineAway(Exception):
    """No engine answered within the patience."""


def prompts_of(examples: Sequence[Example]) -> list[Prompt]:
    """Return some prompts of plain text, at even distances."""
    plain = [
        example
        for example in examples
        if not example.uses_tools
        and all(isinstance(message.get("content"), str) for message in example.prompt)
        and sum(len(message["content"]) for message in example.prompt) <= _LONGEST_CHARS
    ]
    return [example.prompt for example in spread(plain, MOST)]


def general_prompts(languages: Sequence[str]) -> list[Prompt]:
    """Return general prompts in the languages of a base model, or in English."""
    found = items(languages, 2) or items(["en"], MOST)
    return [({"role": "user", "content": item.prompt},) for item in found[:MOST]]


async def ask(calls: EngineCalls, model: str, prompts: Sequence[Prompt]) -> list[Reference]:
    """Ask the engine for its greedy answers. Prompts that it rejects are left out.

    Raises EngineAway, and ModelGone.
    """

    async def one(prompt: Prompt) -> Reference | None:
        fields = {
            "messages": list(prompt),
            "max_tokens": _ANSWER_TOKENS,
            "temperature": 0,
            "logprobs": True,
            "return_token_ids": True,
        }
        try:
            answered = await calls.ask(model, CHAT, fields, _ANSWER_TOKENS)
        except SampleFailed as e:
            if e.is_away:
                raise EngineAway(e.code) from e
            return None
        return _reference(prompt, answered.body)

    return [found for found in await gather(one, prompts) if found is not None]


def _reference(prompt: Prompt, body: dict[str, Any]) -> Reference | None:
    """The reference in an engine's answer; None if the answer lacks something."""
    choice = (body.get("choices") or [{}])[0]
    message = choice.get("message") or {}
    scores = (choice.get("logprobs") or {}).get("content") or []
    tokens, prompt_tokens = choice.get("token_ids") or [], body.get("prompt_token_ids") or []
    count = min(len(tokens), len(scores))
    if not count or not prompt_tokens:
        return None
    return Reference(
        messages=tuple(ChatMessage(role=m["role"], content=m["content"]) for m in prompt),
        prompt_tokens=tuple(prompt_tokens),
        answer=message.get("content") or "",
        tokens=tuple(tokens[:count]),
        logprobs=tuple(float(score["logprob"]) for score in scores[:count]),
    )
