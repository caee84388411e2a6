"""Serves the rounds of a reinforcement training: samples answers to prompts, and grades them.

The trainer requests each round, and waits for the answers with their rewards.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from array import array
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from service.core import tasks
from service.core.child import Child
from service.core.tasks import gather
from service.evals.judge import RunJudge
from service.grading.grade import grade
from service.grading.model_graders import GraderTools
from service.grading.results import Sample
from service.grading.sandbox.sandbox import Sandbox
from service.grading.schemas import Grader
from service.grading.tool_call import find_written_calls
from service.inference.background.calls import Resources
from service.inference.upstreams import Upstreams
from service.jobs.attempt.recorder import AttemptRecorder
from service.jobs.attempt.reinforcement.policy import Policy
from service.jobs.attempt.reinforcement.sampling import EngineSampler, SamplingFailed
from service.jobs.graders import parse_grader
from service.jobs.records import JobFailure, JobRecord
from service.models.adapters import load_signing_key
from service.reasoning import take_out
from service.training.contract.protocol import Purpose, SamplesCommand, SamplesWanted, encode
from service.training.contract.samples import (
    Answer,
    RowRef,
    read_requests,
    read_ungraded,
    write_lines,
)

_MAX_CONCURRENT: Final = 32
_REASONING_START, _REASONING_END = "<think>", "</think>"
_NOT_FINITE: Final = "other_error"
_MAX_CODES = 3
_HOW_TO_SEE = "Run the grader on a row with POST /v1/fine_tuning/alpha/graders/run to see why."


class RoundFailed(Exception):
    """The training cannot continue; `failure` has the reason."""

    def __init__(self, failure: JobFailure) -> None:
        super().__init__(failure.code)
        self.failure = failure


class Rounds:
    """Serves the trainer of one attempt, while its other messages are read.

    `policy` publishes the adapter to sample from. `sampler` is None if the trainer samples.
    """

    def __init__(
        self,
        policy: Policy,
        sampler: EngineSampler | None,
        rewards: Rewards,
        sandbox: AbstractAsyncContextManager[object],
        *,
        warn: Callable[[str, Mapping[str, object]], Awaitable[None]],
        fail: Callable[[JobFailure], Awaitable[None]],
    ) -> None:
        self._policy = policy
        self._sampler = sampler
        self._rewards = rewards
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
    async def answer(self, child: Child) -> AsyncIterator[None]:
        """Serve a trainer inside the block.

        At the end of the block, a running round is canceled and the adapter of the round is
        removed. Raises what a round raised.
        """
        self._child = child
        async with self._sandbox:
            try:
                yield
            finally:
                if self._running is not None:
                    await tasks.end(self._running)
                await self._policy.close()
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
            # Set before the kill, which cancels this task.
            self._error = e
            await self._child.kill()  # it would wait forever

    async def _answer(self, message: SamplesWanted) -> None:
        assert self._child is not None
        try:
            command = await self._run_round(message)
        except RoundFailed as e:
            await self._fail(e.failure)
            self.has_failed = True
            await self._child.kill()
        else:
            await self._child.send(encode(command))

    async def _run_round(self, message: SamplesWanted) -> SamplesCommand:
        asked = Path(message.requests_path)
        graded = await self._rewards.grade(await self._answers(message, asked))
        if graded.all_failed:
            raise RoundFailed(_grading_failed(graded))
        await self._report(graded)
        answers = asked.with_name(f"{asked.name}.answers")
        await asyncio.to_thread(write_lines, answers, graded.answers)
        return SamplesCommand(round=message.round, purpose=message.purpose, path=str(answers))

    async def _answers(self, message: SamplesWanted, asked: Path) -> list[Answer]:
        if message.samples_path is not None:
            return await asyncio.to_thread(read_ungraded, Path(message.samples_path))
        assert self._sampler is not None  # the spec says who samples
        requests = await asyncio.to_thread(read_requests, asked)
        adapter = None if message.adapter_path is None else Path(message.adapter_path)
        model = await self._policy.publish(adapter)
        try:
            return await self._sampler.sample(model, requests)
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


def _grading_failed(graded: Graded) -> JobFailure:
    return JobFailure(
        code="grading_failed",
        message=f"The grader failed on all {len(graded.answers)} answers of a step "
        f"({_codes(graded)}), so there is nothing to learn. {_HOW_TO_SEE}",
        param="method.reinforcement.grader",
    )


def _codes(graded: Graded) -> str:
    return ", ".join(f"{code}: {n}" for code, n in graded.errors.most_common(_MAX_CODES))


def create_rounds(
    job: JobRecord,
    recorder: AttemptRecorder,
    resources: Resources,
    *,
    rows: Mapping[Purpose, Path],
    upstreams: Upstreams | None,
) -> Rounds:
    """Return the rounds of an attempt at a job that has a grader.

    `rows` are the canonical files of the run. `upstreams` is None if the trainer samples.
    """
    assert job.grader is not None
    access, settings = resources.access, resources.settings

    async def report(message: str, data: Mapping[str, object]) -> None:
        await recorder.event(message, "warn", dict(data))

    async def wait(reason: str) -> None:
        text = f"The training waits for the engine of {job.model}: {reason}"
        await report(text, {"code": "engine_away"})

    calls = access.calls(job.project_id, job.key_id)
    sandbox, sampler = Sandbox(), None
    if upstreams is not None:
        sampler = EngineSampler(
            upstreams,
            job.model,
            salt=access.salt(job.project_id),
            concurrency=settings.eval_requests_at_once,
            patience_s=settings.eval_engine_patience_s,
            on_wait=wait,
        )
    rewards = Rewards(parse_grader(job.grader), Rows(rows), lambda: RunJudge(calls).tools(sandbox))
    signer = load_signing_key(settings.signing_key_file)
    policy = Policy(job, resources.files.redis, resources.storage, signer)
    return Rounds(policy, sampler, rewards, sandbox, warn=report, fail=recorder.fail)


@dataclass(frozen=True)
class GradedRow:
    """The grader's item of a row, and whether the model can call tools there."""

    item: dict[str, Any]
    has_tools: bool


class Rows:
    """Rows of the canonical files of a run, read one at a time."""

    def __init__(self, files: Mapping[Purpose, Path]) -> None:
        self._files = files
        self._starts: dict[Purpose, array[int]] = {}

    def __getitem__(self, place: RowRef) -> GradedRow:
        starts = self._starts.get(place.file)
        if starts is None:
            starts = self._starts[place.file] = _starts(self._files[place.file])
        with self._files[place.file].open("rb") as file:
            file.seek(starts[place.row])
            row = msgspec.json.decode(file.readline())
        return GradedRow(row.get("item") or {}, bool(row.get("tools")))


def _starts(path: Path) -> array[int]:
    starts = array("Q")
    with path.open("rb") as file:
        at = 0
        for line in file:
            starts.append(at)
            at += len(line)
    return starts


@dataclass(frozen=True)
class Graded:
    """Answers with their rewards, and the number of failures by the code of the error."""

    answers: list[Answer]
    errors: Counter[str]

    @property
    def all_failed(self) -> bool:
        """Whether no answer has a reward."""
        return sum(self.errors.values()) == len(self.answers) > 0


class Rewards:
    """Grades the answers of a run.

    The grader sees answers without reasoning, as in the engine's responses. `tools` are made for
    each answer.
    """

    def __init__(self, grader: Grader, rows: Rows, tools: Callable[[], GraderTools]) -> None:
        self._grader = grader
        self._rows = rows
        self._tools = tools
        self._slots = asyncio.Semaphore(_MAX_CONCURRENT)

    async def grade(self, answers: Sequence[Answer]) -> Graded:
        """Return the answers with their rewards. A failure is an answer without one."""
        graded = await gather(self._one, answers)
        errors = Counter(answer.grader_error for answer in graded if answer.grader_error)
        return Graded(graded, errors)

    async def _one(self, answer: Answer) -> Answer:
        async with self._slots:
            row = self._rows[answer]
            text = _without_reasoning(answer.text)
            sample = Sample.from_text(
                text,
                tool_calls=(find_written_calls(text) or None) if row.has_tools else None,
                finish_reason=answer.finish_reason,
            )
            result = await grade(self._grader, row.item, sample, self._tools())
        error = result.errors[0].code if result.errors else None
        if error is None and not math.isfinite(result.score):
            error = _NOT_FINITE
        reward = None if error else result.score
        return answer.model_copy(update={"reward": reward, "grader_error": error})


def _without_reasoning(text: str) -> str:
    """Return an answer without its reasoning, which some prompts already begin."""
    if _REASONING_END not in text:
        return "" if text.lstrip().startswith(_REASONING_START) else text
    if _REASONING_START not in text:
        return text.partition(_REASONING_END)[2].lstrip()
    return take_out(text)[1]
