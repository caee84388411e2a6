"""Does the engine say what the trainer says? Checked before a model becomes ready.

The trainer scores a few rows with the finished adapter and without it. Here the engine scores
the same tokens under the adapter's name and under the base model's. An engine that takes an
adapter and answers as the base, or otherwise than the trainer, would serve a model that
nobody trained.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from service.inference.upstreams import Upstreams
from service.jobs.attempt.engines import EngineAway, EngineRefused, complete
from service.training.contract.protocol import Probe

# Nats a token. Two implementations in bf16 differ by some hundredths; a base that was
# quantised for the training (NF4) by some tenths from the one that is served, which shows
# in the base's own scores and is allowed for.
_NOISE = 0.1
_TIMES_THE_BASES = 2.0
# How far the adapter moves the scores is of one engine or trainer alone, so however far their base
# models are apart, an engine that serves the adapter moves them alike. A move of the trainer
# below the first is too small to be looked for.
_LEAST_MOVE, _LEAST_SHARE, _LEAST_FOLLOWED = 0.02, 0.5, 0.25
_TIMEOUT_S = 300.0


class NotServed(Exception):
    """The engine answers as the base model, and refuses the adapter."""


@dataclass(frozen=True)
class Parity:
    """Mean absolute differences of log-probabilities, in nats a token."""

    trainer_move: float  # the trainer's adapter against its base
    engine_move: float  # the engine's adapter against its base
    base_gap: float  # engine against trainer, without the adapter
    tuned_gap: float  # engine against trainer, with it
    followed: float  # of the trainer's move, the part that the engine's makes too; 1 where alike
    tokens: int

    @property
    def fault(self) -> str | None:
        """Why the engine does not serve what was trained; None where it does."""
        moves_less = self.engine_move < _LEAST_SHARE * self.trainer_move
        if self.trainer_move > _LEAST_MOVE and moves_less and self.followed < _LEAST_FOLLOWED:
            return "under the adapter's name the engine answers as the base model does"
        if self.tuned_gap > _NOISE + _TIMES_THE_BASES * self.base_gap:
            return "with the adapter the engine scores otherwise than the trainer"
        return None

    def figures(self) -> dict[str, float]:
        """For an event."""
        return {
            "trainer_move": round(self.trainer_move, 4),
            "engine_move": round(self.engine_move, 4),
            "base_gap": round(self.base_gap, 4),
            "tuned_gap": round(self.tuned_gap, 4),
            "followed": round(self.followed, 4),
            "tokens": self.tokens,
        }


def compare(
    probes: Sequence[Probe], tuned: Sequence[list[float]], base: Sequence[list[float]]
) -> Parity:
    """The trainer's scores beside the engine's, which are by probe and place."""
    said = [x for probe in probes for x in probe.tuned]
    was = [x for probe in probes for x in probe.base]
    now = [x for row in tuned for x in row]
    before = [x for row in base for x in row]
    return Parity(
        trainer_move=_apart(said, was),
        engine_move=_apart(now, before),
        base_gap=_apart(was, before),
        tuned_gap=_apart(said, now),
        followed=_followed(
            [a - b for a, b in zip(said, was, strict=True)],
            [a - b for a, b in zip(now, before, strict=True)],
        ),
        tokens=len(said),
    )


async def ask_both(
    upstreams: Upstreams, base: str, adapter: str, probes: Sequence[Probe]
) -> tuple[list[list[float]], list[list[float]]]:
    """The engine's scores with the adapter and without, by probe and place.

    Raises EngineAway where the engine says nothing of the base model either, and NotServed where
    it refuses the adapter alone.
    """
    (before,) = await ask_engine(upstreams, base, [base], probes)
    try:
        (after,) = await ask_engine(upstreams, base, [adapter], probes)
    except EngineRefused:
        # One that has just died gives errors too: the base model is asked again, and then once
        # more the adapter.
        await ask_engine(upstreams, base, [base], probes[:1])
        try:
            (after,) = await ask_engine(upstreams, base, [adapter], probes)
        except EngineRefused as e:
            raise NotServed(str(e)) from e
    return after, before


async def ask_engine(
    upstreams: Upstreams, base: str, names: Sequence[str], probes: Sequence[Probe]
) -> list[list[list[float]]]:
    """The engine's scores by name, probe and place. Raises EngineAway."""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            return [
                [await _score(upstreams, base, name, probe) for probe in probes] for name in names
            ]
    except TimeoutError as e:
        raise EngineAway(f"it took over {_TIMEOUT_S:.0f} s") from e


async def _score(upstreams: Upstreams, base: str, model: str, probe: Probe) -> list[float]:
    body = {
        "model": model,
        "prompt": probe.tokens,
        "max_tokens": 1,
        "temperature": 0,
        "prompt_logprobs": 0,
    }
    told = await complete(upstreams, base, body)
    return [_logprob(told, place, probe.tokens[place]) for place in probe.places]


def _logprob(told: Any, place: int, token: int) -> float:
    try:
        value = float(told["choices"][0]["prompt_logprobs"][place][str(token)]["logprob"])
    except (KeyError, IndexError, TypeError, ValueError) as e:
        raise EngineRefused("its answer holds no prompt_logprobs") from e
    return value if math.isfinite(value) else -1e3


def _followed(move: Sequence[float], other: Sequence[float]) -> float:
    """The slope of the other move on this one: noise that they do not share adds nothing."""
    size = sum(x * x for x in move)
    return sum(a * b for a, b in zip(move, other, strict=True)) / size if size else 1.0


def _apart(one: Sequence[float], other: Sequence[float]) -> float:
    return fmean(abs(a - b) for a, b in zip(one, other, strict=True)) if one else 0.0
