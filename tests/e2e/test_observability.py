"""Tests traces and metrics of the real stack: dashboards have data, and spans connect."""

from __future__ import annotations

import time
from contextlib import suppress

import httpx
import openai
import pytest
from openai.types.fine_tuning import FineTuningJob

from service.standalone.up import DEMO_MODEL
from tests.e2e.collector import Collector, Received
from tests.e2e.conftest import CALLER_SPAN, CALLER_TRACE, TRACEPARENT, Stack, wait_for
from tests.metrics.boards import queries, required

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SECRETS = ("quinquereme", "Ahoy", "Fair winds")  # in the prompts and in the training file
# Metrics that a healthy stack does not show.
ABSENT = {
    "finetuned_gpu_memory": "needs a GPU",
    "finetuned_gpu_utilization": "needs a GPU",
    "finetuned_engine_ejections": "no engine was left out",
    "finetuned_engine_spilled": "there is one engine",
    "finetuned_engine_resent": "there is one engine",
    "finetuned_records_unreadable": "every record is readable",
    "finetuned_alias_gain_points": "no alias has an evaluated model",
    "finetuned_eval_runs_running": "no eval runs",
}


@pytest.fixture(scope="module")
def used(stack: Stack, tuned: FineTuningJob) -> FineTuningJob:
    """The job, after chats of each kind with its model."""
    assert tuned.fine_tuned_model is not None
    with stack.client() as sdk:
        for _ in range(2):  # a rate needs a counter that grows while it is observed
            for name in (DEMO_MODEL, tuned.fine_tuned_model):
                _chat(sdk, name, stream=False)
                _chat(sdk, name, stream=True)
            with suppress(openai.NotFoundError):
                _chat(sdk, f"ft:{DEMO_MODEL}:default:no:such", stream=False)
            time.sleep(3)
        _meet_a_limit(stack)
    return tuned


def _chat(sdk: openai.OpenAI, model: str, *, stream: bool) -> None:
    answer = sdk.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": f"Tell me of the {SECRETS[0]}."}],
        max_tokens=3,  # the time between tokens is measured
        stream=stream,
        extra_headers=TRACEPARENT,
    )
    if stream:
        assert list(answer)


def _meet_a_limit(stack: Stack) -> None:
    """Send two requests with a key that is limited to one per minute."""
    headers = {"authorization": f"Bearer {stack.key}"}
    with httpx.Client(base_url=stack.url, headers=headers, timeout=60) as http:
        projects = "/v1/organization/projects"
        project = http.post(projects, json={"name": "limited"}).json()
        body = {"name": "k", "limits": {"requests_per_minute": 1}}
        made = http.post(f"{projects}/{project['id']}/api_keys", json=body).json()
        ask = {"model": DEMO_MODEL, "messages": [{"role": "user", "content": "Hi"}]}
        limited = {"authorization": f"Bearer {made['value']}"}
        path = "/v1/chat/completions"
        statuses = [
            http.post(path, json={**ask, "max_tokens": 1}, headers=limited).status_code
            for _ in range(4)
        ]
        assert 429 in statuses
        time.sleep(3)
        assert http.post(path, json={**ask, "max_tokens": 1}, headers=limited).status_code == 429


def test_every_panel_has_something_to_show(prometheus, used):
    required("prometheus")
    time.sleep(3)
    asked = list(queries())
    empty = [q for q in asked if not prometheus.finds(q.sent(rate_interval="10s", span_s=60))]
    unexplained = [q for q in empty if not any(name in q.expr for name in ABSENT)]
    assert [f"{q.board}: {q.panel}: {q.expr}" for q in unexplained] == []
    assert len(empty) < len(asked) / 8


def test_alerts_are_evaluated_and_none_of_a_stack_that_is_well_fires(prometheus, used):
    required("prometheus")
    groups = prometheus.get("/api/v1/rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) > 20
    assert [(r["name"], r.get("lastError")) for r in rules if r["health"] != "ok"] == []
    assert [r["name"] for r in rules if r.get("state") == "firing"] == []


def ours(spans: Collector, name: str) -> list[Received]:
    """Return the spans of the requests with TRACEPARENT."""
    return [span for span in spans.named(name) if span.trace == CALLER_TRACE]


def test_a_chat_is_one_trace_from_the_caller_to_the_engine(spans, used):
    def gateway() -> dict[str, Received]:
        return {span.id: span for span in ours(spans, "POST /v1/chat/completions")}

    def asked() -> list[Received]:
        return [span for span in ours(spans, "llm_request") if span.parent in gateway()]

    wait_for(lambda: len(asked()) >= 8, 60, "the engine's spans")
    for chat in asked():
        assert chat.service == "finetuned-inference"
        above = gateway()[chat.parent]
        assert above.service == "finetuned-api"
        assert (above.trace, above.parent) == (CALLER_TRACE, CALLER_SPAN)
        assert above.attributes["http.response.status_code"] == 200
        assert "first byte" in above.events
        assert above.seconds > 0
    refused = [s for s in gateway().values() if s.attributes["http.response.status_code"] == 404]
    assert refused
    assert not any(s.is_error for s in refused)


def test_a_job_is_one_trace_from_the_caller_to_the_trainer_and_the_engine(spans, sdk, used):
    wait_for(lambda: ours(spans, "job.attempt"), 60, "the worker's spans")
    [created] = ours(spans, "POST /v1/fine_tuning/jobs")
    assert (created.trace, created.parent) == (CALLER_TRACE, CALLER_SPAN)
    [attempt] = ours(spans, "job.attempt")
    for name in ("job.preparing", "job.queued", "job.attempt"):
        [span] = ours(spans, name)
        assert span.service == "finetuned-worker"
        assert (span.trace, span.parent) == (CALLER_TRACE, created.id)
        assert str(span.attributes["finetuned.job"]).startswith("ftjob-")
    assert attempt.attributes["finetuned.outcome"] == "finished"
    total = 0.0
    for name in ("trainer.loading", "trainer.training", "job.registering"):
        [span] = ours(spans, name)
        assert (span.trace, span.parent) == (CALLER_TRACE, attempt.id)
        total += span.seconds
    assert total == pytest.approx(attempt.seconds, rel=0.3)
    [training] = ours(spans, "trainer.training")
    steps = [
        event for event in sdk.fine_tuning.jobs.list_events(used.id) if event.type == "metrics"
    ]
    assert training.attributes["finetuned.step"] == len(steps) > 2
    # The comparison with the engine, and the first load of the model there.
    asked = [s for s in ours(spans, "llm_request") if s.parent == attempt.id]
    assert asked


def test_spans_hold_no_text_and_no_key(spans, stack, used):
    sent = b"".join(spans.raw)
    assert len(sent) > 1000
    assert [secret for secret in SECRETS if secret.encode() in sent] == []
    assert stack.key.encode() not in sent
