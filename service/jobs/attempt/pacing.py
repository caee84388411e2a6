"""Paces a trainer that shares its device with engines, and sums up how long it paused for chats."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from service.config import Settings
from service.core import metrics, tasks
from service.core.child import Child
from service.inference.chat_load import ChatLoad
from service.training.contract.protocol import StepDone, TrafficCommand, encode

_REPORT_EVERY_S = 1.0


def chat_budget_ms(settings: Settings) -> int | None:
    """Return the latency budget of chats during a training; None if trainings are not paced."""
    return (settings.train_slo_ms or None) if settings.gpu_sharing == "share" else None


class Pacing:
    """Pacing of one attempt."""

    def __init__(self, load: ChatLoad, budget_ms: int) -> None:
        self._load = load
        self._budget_ms = budget_ms
        self._began = time.monotonic()
        self._rested_s = 0.0

    @contextlib.asynccontextmanager
    async def report_chats_to(self, child: Child) -> AsyncIterator[None]:
        """Report the chats to a trainer during a block."""

        async def report() -> None:
            await self._report(child)

        task = asyncio.create_task(tasks.keep("pacing", report), name="pacing")
        try:
            yield
        finally:
            await tasks.end(task)

    async def _report(self, child: Child) -> None:
        while True:
            # Without a state, nothing is sent, and the trainer uses the smallest share.
            if (state := self._load.state) is not None:
                metrics.CHAT_LATENCY_SECONDS.cell().set((state.p95_ms or 0) / 1000)
                command = TrafficCommand(in_flight=state.in_flight, p95_ms=state.p95_ms)
                await child.send(encode(command))
            await self._load.change(_REPORT_EVERY_S)

    def begin(self) -> None:
        """Start to measure, at the first step of the trainer."""
        self._began = time.monotonic()

    def step(self, message: StepDone) -> None:
        """Take a step into account."""
        rested_s = message.rested_seconds or 0.0
        self._rested_s += rested_s
        metrics.TRAIN_RESTED_SECONDS.cell().inc(rested_s)

    def summary(self) -> tuple[str, dict[str, float | int | str | None]]:
        """Return the time given to chats so far, as the message and data of an event."""
        seconds = max(time.monotonic() - self._began, self._rested_s, 0.001)
        share, p95_ms = self._rested_s / seconds, self._load.p95_since(self._began)
        chats = "no chats" if p95_ms is None else f"their p95 latency was {p95_ms:,.0f} ms"
        message = (
            f"paced: {share:.0%} of the time given to chats ({chats}, the budget is "
            f"{self._budget_ms:,} ms)"
        )
        return message, {
            "code": "paced",
            "rested_seconds": round(self._rested_s, 1),
            "rested_share": round(share, 3),
            "chat_p95_ms": p95_ms,
            "chat_budget_ms": self._budget_ms,
        }
