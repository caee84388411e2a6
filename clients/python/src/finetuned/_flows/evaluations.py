"""Evaluations of fine-tuning jobs on their held-out rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

from finetuned._flows import jobs
from finetuned._flows.common import Deadline, at, wait_until
from finetuned._http import Request
from finetuned._steps import Flow, fetch, send
from finetuned.errors import NotFound
from finetuned.types import JobEvaluationObject

OnChange: TypeAlias = Callable[[JobEvaluationObject], object]


def evaluation(job_id: str) -> Flow[JobEvaluationObject]:
    """Retrieve the evaluation of a job: its status, and its verdict and figures if completed.

    Raises NotFound if the job has not succeeded, or has no held-out rows.
    """
    return fetch(JobEvaluationObject, Request("GET", _at(job_id)))


def evaluate_again(job_id: str, *, baseline_prompt: str | None = None) -> Flow[JobEvaluationObject]:
    """Run the evaluation of a job again. Raises Conflict if it is in progress.

    `baseline_prompt` is a system prompt of yours that the model is compared with.
    """
    body = None if baseline_prompt is None else {"baseline_prompt": baseline_prompt}
    return fetch(JobEvaluationObject, Request("POST", _at(job_id), json=body))


def evaluation_report(job_id: str, *, form: Literal["json", "md", "html"] = "md") -> Flow[str]:
    """Return everything that an evaluation measured as JSON, Markdown or an HTML page.

    Raises Conflict if the evaluation is not completed.
    """
    request = Request("GET", _at(job_id, "report"), params={"format": form})
    answer = yield from send(request)
    return answer.content.decode()


def wait_for_evaluation(
    job_id: str, *, on_change: OnChange | None = None, timeout_s: float | None = None
) -> Flow[JobEvaluationObject]:
    """Wait until the evaluation of a job has ended. Check `status` on the result.

    If the job is not finished, waits for it first. `on_change` is called with the evaluation when
    its phase changes. Raises NotFound if the job ends without an evaluation.
    """
    found = yield from wait_until(
        lambda found: found is not None and found.status != "in_progress",
        lambda: _if_started(job_id),
        Deadline(timeout_s, f"The evaluation of {job_id}"),
        on_change=lambda found: found and on_change and on_change(found),
        watched=lambda found: found and (found.status, found.phase),
    )
    assert found is not None
    return found


def _if_started(job_id: str) -> Flow[JobEvaluationObject | None]:
    """Retrieve the evaluation, or None if the job has not ended. Raises NotFound if it has none."""
    try:
        return (yield from evaluation(job_id))
    except NotFound:
        job = yield from jobs.retrieve(job_id)
        if job.status not in jobs.FINAL:
            return None
    # The job may have ended after the first request.
    return (yield from evaluation(job_id))


def _at(job_id: str, *more: str) -> str:
    return at("fine_tuning", "jobs", job_id, "evaluation", *more)
