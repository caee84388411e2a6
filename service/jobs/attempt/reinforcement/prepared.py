"""What the rounds of an attempt need, made from the job and the worker's resources."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from service.config import Settings
from service.core.redis import Client
from service.core.storage import Storage
from service.evals.judge import RunJudge
from service.grading.sandbox.sandbox import Sandbox
from service.inference.background.access import EngineAccess
from service.inference.upstreams import Upstreams
from service.jobs.attempt.recorder import Ledger
from service.jobs.attempt.reinforcement.policy import Policy
from service.jobs.attempt.reinforcement.rewards import Rewards
from service.jobs.attempt.reinforcement.rounds import Means, Rounds
from service.jobs.attempt.reinforcement.rows import Rows
from service.jobs.attempt.reinforcement.sampling import EngineSampler
from service.jobs.graders import parse_grader
from service.jobs.records import JobRecord
from service.models.adapters import load_signing_key
from service.training.contract.protocol import Purpose


def rounds_of(
    job: JobRecord,
    ledger: Ledger,
    *,
    files: Mapping[Purpose, Path],
    samples_on_engine: bool,
    upstreams: Upstreams,
    access: EngineAccess,
    storage: Storage,
    redis: Client,
    settings: Settings,
) -> Rounds:
    """Return the rounds of an attempt at a job that has a grader."""
    assert job.grader is not None

    async def report(message: str, data: Mapping[str, object]) -> None:
        await ledger.event(message, "warn", dict(data))

    async def wait(reason: str) -> None:
        text = f"The training waits for the engine of {job.model}: {reason}"
        await report(text, {"code": "engine_away"})

    calls = access.calls(job.project_id, job.key_id)
    sandbox = Sandbox()
    sampler = EngineSampler(
        upstreams,
        job.model,
        salt=access.salt(job.project_id),
        at_once=settings.eval_requests_at_once,
        patience_s=settings.eval_engine_patience_s,
        on_wait=wait,
    )
    rewards = Rewards(parse_grader(job.grader), Rows(files), lambda: RunJudge(calls).tools(sandbox))
    policy = Policy(job, redis, storage, load_signing_key(settings.signing_key_file))
    means = Means(policy, sampler if samples_on_engine else None, rewards)
    return Rounds(means, sandbox, warn=report, fail=ledger.fail)
