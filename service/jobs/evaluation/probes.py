"""Probes a finished model for memorized training text and for forgotten abilities."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from service.core.tasks import gather
from service.grading.examples import Example, Message, Row
from service.jobs.evaluation.engine import EvaluationEngine
from service.verdict.canaries import count_returned, planted_canaries
from service.verdict.comparison import BASE, TUNED, Answer, Forgetting, Memorization
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
    *,
    training: Sequence[Example],
    training_rows: Mapping[int, Row],
    held_out: Sequence[Example],
    answers: Mapping[str, Sequence[Answer]],
    seed: int,
) -> Memorization:
    """Measure what the tuned model repeats of the training rows, and the base model does not.

    `training_rows` are the canonical rows by line, and `answers` those to the held-out rows. Raises
    EngineAway.
    """
    count = min(_PROBED_ROWS, len(held_out))
    probes = choose_probes(training, count, seed)
    control = choose_probes(held_out, count, seed)
    canaries = planted_canaries(training)

    async def secret(prompt: list[Message]) -> str:
        return (await engine.answer(model, prompt, max_tokens=_CANARY_TOKENS)).text

    after, before = await _continue_all(engine, (model, engine.base), [*probes, *control])
    tuned, base = after[: len(probes)], before[: len(probes)]
    control_tuned, control_base = after[len(probes) :], before[len(probes) :]
    secrets = await gather(secret, [canary.prompt for canary in canaries])
    replies = [
        *(Reply(p.given, said, was) for p, said, was in zip(probes, tuned, base, strict=True)),
        *_replies(held_out, answers),
    ]

    def conclude() -> Memorization:
        return summarize(
            compare_continuations(probes, tuned, base, training),
            control=compare_continuations(control, control_tuned, control_base, held_out),
            canaries_planted=len(canaries),
            canaries_returned=count_returned(canaries, secrets),
            personal=leaked_rows(training_rows.values(), replies, list(training_rows)),
        )

    return await asyncio.to_thread(conclude)


async def _continue_all(
    engine: EvaluationEngine, models: Sequence[str], probes: Sequence[Probe]
) -> list[list[str]]:
    """Return how each model continues all probes. Raises EngineAway.

    All continuations are requested concurrently, since a step of the engine takes about as long for
    the texts of both models as for those of one.
    """

    async def ask_model(model: str) -> list[str]:
        async def ask(probe: Probe) -> str:
            if probe.part == "question":
                return await engine.complete(model, probe.prefix, max_tokens=_CONTINUED_TOKENS)
            return await engine.continue_answer(model, probe.messages, max_tokens=_CONTINUED_TOKENS)

        return await gather(ask, probes)

    return await gather(ask_model, models)


def _replies(rows: Sequence[Example], answers: Mapping[str, Sequence[Answer]]) -> list[Reply]:
    return [
        Reply(given_text(row.prompt), tuned.text, base.text)
        for row, tuned, base in zip(rows, answers[TUNED], answers[BASE], strict=True)
    ]


async def measure_forgetting(engine: EvaluationEngine, model: str, rows: int) -> Forgetting | None:
    """Compare the tuned model with the base on the general set, by the likelihood of the answers.

    With few `rows`, fewer items are asked, so that the general set takes no longer than the rows.
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
