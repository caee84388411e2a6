"""Events of a job at the end of its evaluation."""

from __future__ import annotations

from typing import Any

import pytest

from service.jobs.evaluation.records import (
    Evaluations,
    EvaluationStatus,
    GateOutcome,
    JobEvaluation,
)
from service.jobs.records import Jobs
from tests.conftest import Api

OUTCOME: dict[str, Any] = {
    "verdict": {"sentence": "The tuned model is better."},
    "gate": GateOutcome(conditions={"exact": ">=1"}, failed=()),
}


@pytest.mark.parametrize("status", [EvaluationStatus.FAILED, EvaluationStatus.SKIPPED])
async def test_an_earlier_gate_is_not_reported_when_a_restarted_evaluation_fails(
    api: Api, status: EvaluationStatus
):
    redis = api.app.state.redis
    store = Evaluations(redis)
    record = JobEvaluation(
        id="ftjob-gate", project_id="proj_a", created_at=1, model="m", artifact="a"
    )
    await store.create(record)
    first = await store.change_own(
        record, lambda now: now.end(EvaluationStatus.COMPLETED, 5, **OUTCOME)
    )
    again = await store.restart(first)
    await store.change_own(
        again,
        lambda now: now.give_up("not_served", "No engine.", 9).model_copy(
            update={"status": status}
        ),
    )
    events = await Jobs(redis).events_after("proj_a", record.id, None, 10)
    assert [event.message for event in events] == [
        "Evaluation: The tuned model is better.",
        "Evaluation: the gate passed",
        f"Evaluation: {status}: No engine.",
    ]
