"""Serving parity check: the engine must score like the trainer before a model becomes ready.

The trainer scores a few rows with and without the finished adapter. Here the engine scores the
same tokens under the adapter's name and under the base model's name. If the engine accepts an
adapter but responds like the base model, or differs from the trainer, it would serve a model that
was not trained.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from service.config import Settings
from service.inference.upstreams import Upstreams
from service.jobs.attempt.recorder import AttemptRecorder
from service.jobs.engine_requests import EngineAway, EngineRefused, complete
from service.jobs.records import JobFailure, JobRecord
from service.models.records import checkpoint_name
from service.training.contract.protocol import Probe, Succeeded

# In nats per token. Two bf16 implementations differ by a few hundredths. A base model that was
# quantized for training (NF4) differs from the served one by a few tenths; this shows in the base
# model's own scores, so the limit allows for it.
_NOISE = 0.1
_TIMES_THE_BASES = 2.0
# The shift of the scores by the adapter is measured within the engine and within the trainer. An
# engine that serves the adapter shifts the scores as the trainer does, however much their base
# models differ. A trainer shift up to `_MIN_MOVE` is too small to check. So is one that rounding
# alone explains: after two steps of reinforcement in bf16, trainer and engine shifted by 0.09 to
# 0.11 each, in unrelated directions, with base models 0.10 apart.
_MIN_MOVE, _MIN_SHARE, _MIN_FOLLOWED = 0.02, 0.5, 0.25
_TIMES_THE_NOISE = 2.0
_TIMEOUT_S = 300.0
# Without quantization, the losses of engine and trainer differ by 0.001.
_COSTLY = 0.05
MOST_LOST = 0.25
"""Share of the improvement in training that serving may lose without a warning.

The demo, which is trained in NF4 and served in 16 bits, loses 0.13. An adapter that was trained on
weights in 16 bits lost 0.07 on those in NF4.
"""


class NotServed(Exception):
    """The engine serves the base model but rejects the adapter."""


@dataclass(frozen=True)
class Parity:
    """Mean absolute differences of log probabilities, in nats per token."""

    trainer_move: float  # trainer: adapter vs. base model
    engine_move: float  # engine: adapter vs. base model
    base_gap: float  # engine vs. trainer, without the adapter
    tuned_gap: float  # engine vs. trainer, with the adapter
    followed: float  # share of the trainer's shift that the engine reproduces; 1 if equal
    base_cost: float  # loss of the engine minus that of the trainer, without the adapter
    tuned_cost: float  # the same with the adapter
    gain: float  # by how much the training lowered the loss, in the trainer
    tokens: int

    @property
    def fault(self) -> str | None:
        """Reason why the engine does not serve the trained model; None if it does."""
        rounding = _TIMES_THE_NOISE * min(self.base_gap, _NOISE)
        moves_too_little = self.engine_move < _MIN_SHARE * self.trainer_move
        is_measurable = self.trainer_move > max(_MIN_MOVE, rounding)
        if is_measurable and moves_too_little and self.followed < _MIN_FOLLOWED:
            return "under the adapter's name, the engine answers like the base model"
        if self.tuned_gap > _NOISE + _TIMES_THE_BASES * self.base_gap:
            return "with the adapter, the engine's scores differ from the trainer's"
        return None

    @property
    def lost(self) -> float:
        """Share of the improvement in training that the served model does not have."""
        if self.tuned_cost <= _COSTLY:
            return 0.0
        return min(self.tuned_cost / self.gain, 1.0) if self.gain > 0 else 1.0

    def figures(self) -> dict[str, float]:
        """Return the rounded figures for an event."""
        return {
            "trainer_move": round(self.trainer_move, 4),
            "engine_move": round(self.engine_move, 4),
            "base_gap": round(self.base_gap, 4),
            "tuned_gap": round(self.tuned_gap, 4),
            "followed": round(self.followed, 4),
            "base_cost": round(self.base_cost, 4),
            "tuned_cost": round(self.tuned_cost, 4),
            "lost": round(self.lost, 4),
            "tokens": self.tokens,
        }


def compare(
    probes: Sequence[Probe], tuned: Sequence[list[float]], base: Sequence[list[float]]
) -> Parity:
    """Compare the trainer's scores with the engine's, which are by probe and position."""
    trained = [x for probe in probes for x in probe.tuned]
    untrained = [x for probe in probes for x in probe.base]
    engine_tuned = [x for row in tuned for x in row]
    engine_base = [x for row in base for x in row]
    return Parity(
        trainer_move=_mean_difference(trained, untrained),
        engine_move=_mean_difference(engine_tuned, engine_base),
        base_gap=_mean_difference(untrained, engine_base),
        tuned_gap=_mean_difference(trained, engine_tuned),
        followed=_slope(
            [a - b for a, b in zip(trained, untrained, strict=True)],
            [a - b for a, b in zip(engine_tuned, engine_base, strict=True)],
        ),
        base_cost=_mean(untrained) - _mean(engine_base),
        tuned_cost=_mean(trained) - _mean(engine_tuned),
        gain=_mean(trained) - _mean(untrained),
        tokens=len(trained),
    )


async def ask_both(
    upstreams: Upstreams, base: str, adapter: str, probes: Sequence[Probe]
) -> tuple[list[list[float]], list[list[float]]]:
    """Return the engine's scores with and without the adapter, by probe and position.

    Raises EngineAway if the engine cannot score the base model either, and NotServed if it rejects
    only the adapter.
    """
    (before,) = await ask_engine(upstreams, base, [base], probes)
    try:
        (after,) = await ask_engine(upstreams, base, [adapter], probes)
    except EngineRefused:
        # An engine that has just died also responds with errors, so check the base model again and
        # then retry the adapter once.
        await ask_engine(upstreams, base, [base], probes[:1])
        try:
            (after,) = await ask_engine(upstreams, base, [adapter], probes)
        except EngineRefused as e:
            raise NotServed(str(e)) from e
    return after, before


async def ask_engine(
    upstreams: Upstreams, base: str, names: Sequence[str], probes: Sequence[Probe]
) -> list[list[list[float]]]:
    """Return the engine's scores by model name, probe and position.

    Raises EngineAway if the engine fails or does not respond in time.
    """
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
    response = await complete(upstreams, base, body)
    return [_logprob(response, place, probe.tokens[place]) for place in probe.places]


def _logprob(response: Any, place: int, token: int) -> float:
    try:
        value = float(response["choices"][0]["prompt_logprobs"][place][str(token)]["logprob"])
    except (KeyError, IndexError, TypeError, ValueError) as e:
        raise EngineRefused("its answer has no prompt_logprobs") from e
    return value if math.isfinite(value) else -1e3


def _slope(move: Sequence[float], other: Sequence[float]) -> float:
    """Return the slope of `other` on `move`; noise that they do not share adds nothing."""
    size = sum(x * x for x in move)
    return sum(a * b for a, b in zip(move, other, strict=True)) / size if size else 1.0


def _mean(scores: Sequence[float]) -> float:
    return fmean(scores) if scores else 0.0


def _mean_difference(one: Sequence[float], other: Sequence[float]) -> float:
    return fmean(abs(a - b) for a, b in zip(one, other, strict=True)) if one else 0.0


class ServingCheck:
    """Compares a job's model on the serving engines of its base model with the trainer."""

    def __init__(
        self, job: JobRecord, recorder: AttemptRecorder, upstreams: Upstreams, settings: Settings
    ) -> None:
        self._base = job.model
        self._recorder = recorder
        self._upstreams = upstreams
        self._is_served = job.model in settings.engine_urls

    async def passes(self, message: Succeeded) -> bool:
        """Return whether the engine's scores match the trainer's; if they do not, fail the job.

        The request names the checkpoint that has the result's weights, because the engine already
        knows it. The check is skipped if the engine is down; an event says so, and the model
        becomes ready. If the engine serves the base model but rejects the adapter, the job fails,
        because the engine would reject every user's request too.
        """
        if not self._is_served or not message.probes:
            return True
        step = message.adapter_step or message.final_step
        name = checkpoint_name(self._recorder.model, step)
        try:
            tuned, base = await ask_both(self._upstreams, self._base, name, message.probes)
        except EngineAway as e:
            text = f"The engine could not be compared with the trainer: {e}"
            await self._recorder.event(text, "warn", {"code": "serve_parity"})
            return True
        except NotServed as e:
            fault = (
                f"the engine does not serve it: {e} for the model, although it serves the base "
                "model. See the engine's log."
            )
            await self._fail(fault, {})
            return False
        parity = compare(message.probes, tuned, base)
        if parity.fault is None:
            await self._report(parity)
            return True
        await self._fail(f"{parity.fault}; see the event for the figures.", parity.figures())
        return False

    async def _report(self, parity: Parity) -> None:
        data = {"code": "serve_parity", **parity.figures()}
        if parity.lost <= MOST_LOST:
            text = "The engine was checked: it answers like the trained model"
            await self._recorder.event(text, data=data)
            return
        text = (
            f"The served model is worse than the trained one: about {parity.lost:.0%} of what the "
            "training improved is lost, because the engine has the base model's weights in a "
            "different form from the training. Ask the operator to serve the base model in the "
            "form of the training or with more bits (serving_quantization), or train with another "
            "'quantization'"
        )
        await self._recorder.event(text, "warn", data)

    async def _fail(self, fault: str, figures: dict[str, float]) -> None:
        failure = JobFailure(code="serve_parity", message=f"The model was trained, but {fault}")
        await self._recorder.fail(failure, {"code": "serve_parity", **figures})
