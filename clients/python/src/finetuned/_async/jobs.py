"""Fine-tuning jobs: waiting, live events, estimates, evaluations and advice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from pydantic import ValidationError
from typing_extensions import Unpack

from finetuned import types
from finetuned._async.resources.advice import AsyncAdviceBase
from finetuned._async.resources.fine_tuning import (
    AsyncFineTuningJobsBase,
    AsyncFineTuningJobsEvaluationBase,
)
from finetuned._concurrency import async_sleep
from finetuned._options import RequestOptions
from finetuned._request import Request, at
from finetuned._retry import FINAL, PATIENCE_S, Deadline, Patience
from finetuned._sse import DONE, SILENCE_S, Lines
from finetuned.errors import ConnectionFailed, FinetunedError, NotFound, UnexpectedAnswer

if TYPE_CHECKING:
    from finetuned import params


class AsyncFineTuningJobs(AsyncFineTuningJobsBase):
    """Fine-tuning jobs."""

    async def wait_for_estimate(
        self, *, timeout_s: float | None = None, **job: Unpack[params.CreateFineTuningJob]
    ) -> types.FineTuningEstimate:
        """Estimate what the same `create` would take, once its files are checked and measured."""
        deadline = Deadline(timeout_s, f"The measurement of {job['training_file']}")
        return await self._transport.when_files_are_ready(lambda: self.estimate(**job), deadline)

    async def watch(
        self, job_id: str, *, after: str | None = None, patience_s: float = PATIENCE_S
    ) -> AsyncIterator[types.FineTuningJobEvent]:
        """Yield every event of a job once, oldest first, until the job is final.

        A broken connection is resumed where it stopped; the server may be unreachable for up to
        `patience_s`. `after` is the id of the last event already seen.
        """
        patience, path = Patience(patience_s), at("fine_tuning", "jobs", job_id, "events")
        while True:
            headers = {"accept": "text/event-stream", "last-event-id": after}
            options = RequestOptions(timeout=SILENCE_S, max_retries=0)
            request = Request("GET", path, {"stream": True}, headers=headers, options=options)
            try:
                async with self._transport.stream(request) as chunks:
                    patience.heard()
                    lines = Lines()
                    async for chunk in chunks:
                        patience.heard()
                        for message in lines.feed(chunk):
                            if message.data == DONE:
                                return
                            event = _event(message.data)
                            after = message.id or event.id
                            yield event
                trouble: FinetunedError = ConnectionFailed(
                    "The event stream ended before the job did."
                )
            except FinetunedError as e:
                trouble = e
            await async_sleep(patience.delay_s(trouble))


class AsyncFineTuningJobsEvaluation(AsyncFineTuningJobsEvaluationBase):
    """Evaluations of jobs on their held-out rows."""

    async def wait(
        self,
        job_id: str,
        *,
        timeout_s: float | None = None,
        on_change: Callable[[types.FineTuningJobEvaluation], object] | None = None,
    ) -> types.FineTuningJobEvaluation:
        """Wait until the evaluation of a job has ended. Check `status` on the result.

        If the job is not finished, waits for it first. `on_change` is called with the evaluation
        when it has changed. Raises NotFound if the job ends without an evaluation.
        """
        found = await self._transport.wait(
            lambda: self._if_started(job_id),
            Deadline(timeout_s, f"The evaluation of {job_id}"),
            on_change=lambda found: found and on_change and on_change(found),
        )
        assert found is not None
        return found

    async def _if_started(self, job_id: str) -> types.FineTuningJobEvaluation | None:
        """Retrieve the evaluation, or None if the job has not ended. Raises NotFound."""
        try:
            return await self.retrieve(job_id)
        except NotFound:
            job = await AsyncFineTuningJobs(self._transport).retrieve(job_id)
            if job.status not in FINAL:
                return None
        # The job may have ended after the first request.
        return await self.retrieve(job_id)


class AsyncAdvice(AsyncAdviceBase):
    """Advice before a training."""

    async def create_and_wait(
        self, *, timeout_s: float | None = None, **request: Unpack[params.CreateAdvice]
    ) -> types.TrainingAdvice:
        """Ask whether a training is worth it, and wait for the advice. Check its `status`.

        Waits for the check of the file first. An engine must serve the base model.
        """
        deadline = Deadline(timeout_s, f"The advice on {request['training_file_id']}")
        made = await self._transport.when_files_are_ready(lambda: self.create(**request), deadline)
        return await self.wait(made.id, timeout_s=timeout_s)


def _event(data: str) -> types.FineTuningJobEvent:
    try:
        return types.FineTuningJobEvent.model_validate_json(data)
    except ValidationError as e:
        raise UnexpectedAnswer("The server sent an invalid event.") from e
