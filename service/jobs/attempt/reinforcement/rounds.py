"""Rounds of an attempt: the trainer asks for answers to prompts, and gets them with rewards."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from service.core import tasks
from service.core.child import Child
from service.jobs.attempt.reinforcement.policy import Policy
from service.jobs.attempt.reinforcement.rewards import Graded, Rewards
from service.jobs.attempt.reinforcement.sampling import EngineSampler, SamplingFailed
from service.jobs.records import JobFailure
from service.training.contract.protocol import SamplesCommand, SamplesWanted, encode
from service.training.contract.samples import (
    Answer,
    read_requests,
    read_ungraded,
    write_lines,
)

_TOLD_ERRORS = 3
_HOW_TO_SEE = "Run the grader on a row with POST /v1/fine_tuning/alpha/graders/run to see why."


class RoundFailed(Exception):
    """The training cannot continue; `failure` has the reason."""

    def __init__(self, failure: JobFailure) -> None:
        super().__init__(failure.code)
        self.failure = failure


@dataclass(frozen=True)
class Means:
    """What rounds need: the adapter, the engine (None if the trainer samples) and the grader."""

    policy: Policy
    sampler: EngineSampler | None
    rewards: Rewards


class Rounds:
    """Answers the trainer of one attempt, while its other messages are read."""

    def __init__(
        self,
        means: Means,
        sandbox: AbstractAsyncContextManager[object],
        *,
        warn: Callable[[str, Mapping[str, object]], Awaitable[None]],
        fail: Callable[[JobFailure], Awaitable[None]],
    ) -> None:
        self._means = means
        self._sandbox = sandbox
        self._warn = warn
        self._fail = fail
        self._has_warned = False
        self._child: Child | None = None
        self._running: asyncio.Task[None] | None = None
        self._error: Exception | None = None
        self.has_failed = False
        """Whether a round failed the job."""

    @contextlib.asynccontextmanager
    async def of(self, child: Child) -> AsyncIterator[None]:
        """Answer a trainer inside the block. Its end ends the round, and leaves nothing behind.

        Raises what a round raised.
        """
        self._child = child
        async with self._sandbox:
            try:
                yield
            finally:
                if self._running is not None:
                    await tasks.end(self._running)
                await self._means.policy.close()
        if self._error is not None:
            raise self._error

    def begin(self, message: SamplesWanted) -> None:
        """Start a round. The trainer waits for its end, unless it is asked to stop."""
        self._running = asyncio.create_task(self._round(message), name="round")

    async def _round(self, message: SamplesWanted) -> None:
        assert self._child is not None
        try:
            await self._answer(message)
        except Exception as e:  # noqa: BLE001 - raised at the end of the block
            # Noted first: the end of the trainer cancels this task.
            self._error = e
            await self._child.kill()  # nothing would answer it

    async def _answer(self, message: SamplesWanted) -> None:
        assert self._child is not None
        try:
            command = await self._answered(message)
        except RoundFailed as e:
            await self._fail(e.failure)
            self.has_failed = True
            await self._child.kill()
        else:
            await self._child.send(encode(command))

    async def _answered(self, message: SamplesWanted) -> SamplesCommand:
        asked = Path(message.requests_path)
        graded = await self._means.rewards.grade(await self._answers(message, asked))
        if graded.all_failed:
            raise RoundFailed(_all_failed(graded))
        await self._report(graded)
        answers = asked.with_name(f"{asked.name}.answers")
        await asyncio.to_thread(write_lines, answers, graded.answers)
        return SamplesCommand(round=message.round, purpose=message.purpose, path=str(answers))

    async def _answers(self, message: SamplesWanted, asked: Path) -> list[Answer]:
        if message.samples_path is not None:
            return await asyncio.to_thread(read_ungraded, Path(message.samples_path))
        sampler = self._means.sampler
        assert sampler is not None  # the spec says who samples
        requests = await asyncio.to_thread(read_requests, asked)
        adapter = None if message.adapter_path is None else Path(message.adapter_path)
        model = await self._means.policy.publish(adapter)
        try:
            return await sampler.sample(model, requests)
        except SamplingFailed as e:
            text = f"The engine could not sample the answers to learn from: {e}."
            raise RoundFailed(JobFailure(code=e.code, message=text)) from e

    async def _report(self, graded: Graded) -> None:
        """Report answers that could not be graded, once."""
        if not graded.errors or self._has_warned:
            return
        self._has_warned = True
        failed = sum(graded.errors.values())
        await self._warn(
            f"The grader failed on {failed} of {len(graded.answers)} answers ({_codes(graded)}), "
            f"from which nothing is learned. {_HOW_TO_SEE} Later failures are not reported",
            {"code": "grader_failed", "errors": dict(graded.errors)},
        )


def _all_failed(graded: Graded) -> JobFailure:
    return JobFailure(
        code="grading_failed",
        message=f"The grader failed on all {len(graded.answers)} answers of a step "
        f"({_codes(graded)}), so there is nothing to learn. {_HOW_TO_SEE}",
        param="method.reinforcement.grader",
    )


def _codes(graded: Graded) -> str:
    return ", ".join(f"{code}: {n}" for code, n in graded.errors.most_common(_TOLD_ERRORS))
