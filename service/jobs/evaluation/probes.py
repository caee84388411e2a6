"""Probes of a finished model for memorized text and forgotten abilities."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from service.core.tasks import gather
from service.grading.examples import Example, Message
from service.jobs.evaluation.engine import EvaluationEngine
from service.jobs.evaluation.examples import Data
from service.verdict.canaries import count_returned, planted_canaries
from service.verdict.comparison import (
    BASE,
    TUNED,
    Answer,
    Forgetting,
    Memorization,
)
from service.verdict.forgetting import Item, general_items, score_choices, summarize_forgetting
from service.verdict.memorization import (
    Probe,
    Reply,
    choose_probes,
    compare_continuations,
    given_text,
    leaked_rows,
    summarize,
)

_PROBED_ROWS: Final = 32
_CONTINUED_TOKENS: Final = 64
_CANARY_TOKENS: Final = 48
_ITEMS_PER_LANGUAGE, _ROWS_PER_ITEM = 4, 16


async def measure_memorization(
    engine: EvaluationEngine,
    model: str,
    data: Data,
    rows: Sequence[Example],
    answers: Mapping[str, Sequence[Answer]],
    *,
    seed: int,
) -> Memorization | None:
    """Return what the tuned model returns of the training rows, and the base model does not.

    Returns None if there are no training rows. `answers` are those to the held-out `rows`. Raises
    EngineAway.
    """
    if not data.training:
        return None
    count = min(_PROBED_ROWS, len(rows))
    probes = choose_probes(data.training, count, seed)
    control = choose_probes(rows, count, seed)
    canaries = planted_canaries(data.training)

    async def secret(prompt: list[Message]) -> str:
        return (await engine.answer(model, prompt, max_tokens=_CANARY_TOKENS)).text

    texts = [*probes, *control]
    after, before = await _continue_all(engine, (model, engine.base), texts)
    tuned, base = after[: len(probes)], before[: len(probes)]
    unseen = after[len(probes) :], before[len(probes) :]
    secrets = await gather(secret, [canary.prompt for canary in canaries])
    replies = [
        *(Reply(p.given, said, was) for p, said, was in zip(probes, tuned, base, strict=True)),
        *_replies(rows, answers),
    ]

    def conclude() -> Memorization:
        return summarize(
            compare_continuations(probes, tuned, base, data.training),
            control=compare_continuations(control, *unseen, rows),
            canaries_planted=len(canaries),
            canaries_returned=count_returned(canaries, secrets),
            personal=leaked_rows(data.training_rows, replies, data.training_lines),
        )

    return await asyncio.to_thread(conclude)


async def _continue_all(
    engine: EvaluationEngine, models: Sequence[str], texts: Sequence[Probe]
) -> list[list[str]]:
    """Return how each model continues all texts. Raises EngineAway.

    All are asked for at once, because a step of the engine takes about as long for both models'
    texts as for those of one.
    """

    async def ask_model(model: str) -> list[str]:
        async def ask(text: Probe) -> str:
            return await continued(engine, model, text)

        return await gather(ask, texts)

    return await gather(ask_model, models)


async def continued(engine: EvaluationEngine, model: str, probe: Probe) -> str:
    """Return how a model continues a probe. Raises EngineAway."""
    if probe.part == "question":
        return await engine.complete(model, probe.prefix, max_tokens=_CONTINUED_TOKENS)
    return await engine.continue_answer(model, probe.messages, max_tokens=_CONTINUED_TOKENS)


def _replies(rows: Sequence[Example], answers: Mapping[str, Sequence[Answer]]) -> list[Reply]:
    return [
        Reply(given_text(row.prompt), tuned.text, base.text)
        for row, tuned, base in zip(rows, answers[TUNED], answers[BASE], strict=True)
    ]


async def measure_forgetting(engine: EvaluationEngine, model: str, rows: int) -> Forgetting | None:
    """Compare the tuned model with the base on the general set, by the likelihood of the answers.

    An evaluation of few `rows` asks fewer items, so that it takes no longer than its rows deserve.
    Returns None if the engine does not return probabilities. Raises EngineAway.
    """
    asked = general_items(n=min(_ITEMS_PER_LANGUAGE, 1 + rows // _ROWS_PER_ITEM))

    async def score(name: str) -> list[float | None]:
        async def one(item: Item) -> float | None:
            return await _right_share(engine, name, item)

        return await gather(one, asked)

    base, tuned = await score(engine.base), await score(model)
    known = [
        (item, before, after)
        for item, before, after in zip(asked, base, tuned, strict=True)
        if before is not None and after is not None
    ]
    if not known:
        return None
    kept, before, after = map(list, zip(*known, strict=True))
    return summarize_forgetting(kept, before, after)


async def _right_share(engine: EvaluationEngine, model: str, item: Item) -> float | None:
    """Return the probability of the right choice among all choices; None if it is unknown."""
    prompt = [{"role": "user", "content": item.prompt}]
    found = await engine.likelihoods(model, prompt, item.choices)
    known = [one.logprobs for one in found if one is not None]
    return score_choices(known).probability if len(known) == len(found) else None
