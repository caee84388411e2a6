"""Meter of one API process: admits requests, counts responses and reports usage to Redis.

`admit` and `done` are synchronous and access local memory only. Limits can be exceeded: a replica
learns once per flush (`flush_every_s`, 1 s) what the others admitted, so N replicas admit at most
N times what was left at the last flush. The excess, up to a minute's allowance, must drain
before the next request is admitted. While Redis is unavailable, each replica enforces the limits
on its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Self

from redis.asyncio import Redis
from redis.exceptions import RedisError

from service.config import Settings
from service.config.limits import NO_LIMITS, Limits
from service.core import metrics, tasks
from service.core.clock import now
from service.core.errors import Busy
from service.core.metric_types import BoundedLabel
from service.usage.accounts import CLIENT_GONE, Account, Admission, Series, Served
from service.usage.limit_queue import WAIT_S, LimitQueues, WaitingRequest
from service.usage.limits import (
    Hit,
    RequestCost,
    Scope,
    Subject,
    limit_error,
    rate_limit_headers,
)
from service.usage.replica_sync import ReplicaSync
from service.usage.sums import Counts
from service.web.auth import Principal

log = logging.getLogger(__name__)

# Approximate bytes of a JSON body per token, in all languages. The estimate is corrected later.
BYTES_PER_TOKEN = 4
# Bodies with images are large but have few tokens; contexts are rarely longer than this.
_MAX_PROMPT_ESTIMATE = 32_768
_MAX_OUTPUT_ESTIMATE = 1 << 24
_IDLE_S = 180.0  # by then, buckets are empty and cached callers have expired
_SWEEP_EVERY_S = 60.0
_LAST_FLUSH_S = 5.0
_CLIENT_LEFT = Served("", "", "", CLIENT_GONE, 0, 0, 0, None, 0.0, streamed=False)


class Meter:
    """Rate limits and accounting of one process. Use as `async with Meter(redis) as meter`."""

    def __init__(
        self,
        redis: Redis,
        *,
        key_limits: Limits = NO_LIMITS,
        project_limits: Limits = NO_LIMITS,
        flush_every_s: float = 1.0,
        in_flight_ttl_s: float = 10.0,
        max_labelled_projects: int = 50,
        wait_s: float = WAIT_S,
        clock: Callable[[], float] = now,
    ) -> None:
        self._defaults: dict[Scope, Limits] = {"key": key_limits, "project": project_limits}
        self._flush_every_s = flush_every_s
        self._clock = clock
        self._label = BoundedLabel(max_labelled_projects)
        self._accounts: dict[str, Account] = {}
        self._subjects: dict[str, Subject] = {}
        self._dirty: list[Series] = []
        self._minute = int(clock() // 60)
        self._sync = ReplicaSync(redis, clock=clock, in_flight_ttl_s=in_flight_ttl_s)
        self._next_sweep_s = clock() + _SWEEP_EVERY_S
        self._in_flight_ttl_s = in_flight_ttl_s
        self._task: asyncio.Task[None] | None = None
        self._queues = LimitQueues(self._admit_next, self._release, wait_s=wait_s)

    @classmethod
    def from_settings(cls, redis: Redis, settings: Settings) -> Self:
        """Create a meter with the operator's default limits."""
        return cls(
            redis,
            key_limits=settings.default_key_limits,
            project_limits=settings.default_project_limits,
            flush_every_s=settings.usage_flush_s,
            max_labelled_projects=settings.metrics_max_projects,
        )

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(
            tasks.keep("usage exchange", self._run), name="usage exchange"
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop, after a last flush to Redis if it responds within seconds."""
        if self._task is not None:
            await tasks.end(self._task)
        try:
            async with asyncio.timeout(_LAST_FLUSH_S):
                await self.flush()
                await self._sync.leave()
        except (RedisError, OSError, TimeoutError) as e:
            log.error(
                "usage of the last seconds is lost, Redis is unavailable: %s", type(e).__name__
            )

    def admit(
        self,
        caller: Principal,
        *,
        body_bytes: int,
        max_tokens: int | None,
        streamed: bool,
        answers: int = 1,
        is_next: bool = False,
    ) -> Admission:
        """Admit a request or raise RateLimited. No I/O. Pass the admission to `done` once.

        `answers` is the number of requested completions, and `max_tokens` the maximum number of
        tokens of all of them together. Raises Busy if the request may wait (`admit_in_turn`).
        `is_next` admits it before the requests that wait.
        """
        account = self._accounts.get(caller.key_id)
        if account is None or account.caller is not caller:
            account = self._account(caller)
        key, project = account.key, account.project
        prompt, estimate, header_lines = 0, 0, b""
        if key.is_limited or project.is_limited:
            prompt = min(body_bytes // BYTES_PER_TOKEN, _MAX_PROMPT_ESTIMATE * answers)
            estimate = prompt
            if max_tokens is not None and max_tokens > 0:
                estimate += min(max_tokens, _MAX_OUTPUT_ESTIMATE)
            self._take(account, answers, estimate, streamed=streamed, is_next=is_next)
            header_lines = rate_limit_headers(key, project)
        key.in_flight += answers
        project.in_flight += answers
        if streamed:
            key.streams += 1
            project.streams += 1
        account.in_flight.value += 1
        return Admission(account, answers, prompt, estimate, header_lines, streamed)

    async def admit_in_turn(
        self,
        caller: Principal,
        *,
        body_bytes: int,
        max_tokens: int | None,
        streamed: bool,
        answers: int = 1,
    ) -> Admission:
        """Wait until the limits on concurrent requests allow a request, then admit it."""
        wanted = WaitingRequest(caller, body_bytes, max_tokens, streamed, answers)
        account = self._accounts.get(caller.key_id) or self._account(caller)
        try:
            return await self._queues.wait(wanted, account.project, account.label)
        except Busy as e:
            raise self._refusal(account, wanted, e) from None

    def _refusal(self, account: Account, wanted: WaitingRequest, why: Busy) -> Busy:
        """Return the error for a request that waited in vain, with the limit that it waited for."""
        now_s, answers = self._clock(), wanted.answers
        subject, hit = account.key, account.key.refusal(answers, 0, now_s, streamed=wanted.streamed)
        if hit is None:
            subject = account.project
            hit = subject.refusal(answers, 0, now_s, streamed=wanted.streamed)
        hit = hit or "concurrent_requests"  # other requests still wait
        metrics.LIMITED.cell(hit, subject.scope, account.label).inc()
        cost = RequestCost(answers, 0)
        error = limit_error(subject, hit, cost, now_s, account.key, account.project)
        message = f"{error.message} {why.message} Please try again later."
        return Busy(message, scope=subject.scope, headers={**error.headers, **why.headers})

    @property
    def waiting(self) -> int:
        """Number of requests that wait for the limits on concurrent requests."""
        return self._queues.waiting

    def _admit_next(self, wanted: WaitingRequest) -> Admission:
        account = self._accounts.get(wanted.caller.key_id)
        return self.admit(
            wanted.caller if account is None else account.caller,  # with the newest limits
            body_bytes=wanted.body_bytes,
            max_tokens=wanted.max_tokens,
            streamed=wanted.streamed,
            answers=wanted.answers,
            is_next=True,
        )

    def _release(self, admission: Admission) -> None:
        """End an admitted request whose client left before it began."""
        self.done(admission, _CLIENT_LEFT)

    def done(self, admission: Admission, served: Served) -> None:
        """Account for an admitted request, whatever its outcome. Call exactly once."""
        account = admission.account
        key, project = account.key, account.project
        key.in_flight -= admission.answers
        project.in_flight -= admission.answers
        if admission.streamed:
            key.streams -= 1
            project.streams -= 1
        account.in_flight.value -= 1
        if project.waiting:
            self._queues.fill(project)
        if key.tokens is not None or project.tokens is not None:
            _correct(admission, served)
        if not served.base_model:
            return
        minute = int(self._clock() // 60)
        if minute != self._minute:
            self._collect()
        series = account.series.get((served.model, served.batch)) or account.series_of(served)
        if not series.is_dirty:
            series.is_dirty = True
            self._dirty.append(series)
        series.add(served)

    async def flush(self) -> None:
        """Send counts to Redis and read the counts of the other replicas."""
        self._collect()
        limited = [s for s in self._subjects.values() if s.is_limited]
        try:
            await self._sync.run(limited)
        except (RedisError, OSError):
            if self._clock() - self._sync.last_s > self._in_flight_ttl_s:
                for subject in limited:
                    subject.forget_elsewhere()
            raise
        self._fill_queues()
        if self._clock() > self._next_sweep_s:
            self._forget_idle()

    def _fill_queues(self) -> None:
        """Admit waiting requests for which requests on other replicas or new limits made room."""
        if self._queues.waiting:
            for subject in [*self._subjects.values()]:
                if subject.waiting:
                    self._queues.fill(subject)

    async def _run(self) -> None:
        is_away = False
        while True:
            await asyncio.sleep(self._flush_every_s)
            try:
                await self.flush()
                is_away = False
            except (RedisError, OSError) as e:
                if not is_away:
                    log.warning("usage is not sent to Redis for now: %s: %s", type(e).__name__, e)
                is_away = True

    def _take(
        self, account: Account, answers: int, tokens: int, *, streamed: bool, is_next: bool
    ) -> None:
        now_s = self._clock()
        subject, other = account.key, account.project
        hit: Hit | None = "concurrent_requests" if other.waiting and not is_next else None
        if hit is None:
            hit = subject.refusal(answers, tokens, now_s, streamed=streamed)
        if hit is None:
            hit = other.refusal(answers, tokens, now_s, streamed=streamed)
            if hit is None:
                subject.take(answers, tokens)
                other.take(answers, tokens)
                return
            subject = other
        cost = RequestCost(answers, tokens)
        error = limit_error(subject, hit, cost, now_s, account.key, account.project)
        if not isinstance(error, Busy):  # counted in `_refusal`, if it waits in vain
            metrics.LIMITED.cell(hit, subject.scope, account.label).inc()
        raise error

    def _account(self, caller: Principal) -> Account:
        """The account of a newly looked-up caller, with its limits refreshed."""
        account = self._accounts.get(caller.key_id)
        now_s = self._clock()
        if account is None:
            account = self._accounts[caller.key_id] = Account(
                caller,
                self._subject(caller.key_id, "key"),
                self._subject(caller.project_id, "project"),
                self._label.value(caller.project_name),
            )
        account.caller = caller
        account.touched_s = now_s
        account.key.hold(caller.key_limits.or_default(self._defaults["key"]), now_s)
        account.project.hold(caller.project_limits.or_default(self._defaults["project"]), now_s)
        return account

    def _subject(self, subject_id: str, scope: Scope) -> Subject:
        subject = self._subjects.get(subject_id)
        if subject is None:
            subject = self._subjects[subject_id] = Subject(subject_id, scope)
        return subject

    def _collect(self) -> None:
        """Move the counts to the rows of their minute and start the current minute."""
        now_s = self._clock()
        for series in self._dirty:
            series.account.touched_s = now_s
            caller, counts = series.account.caller, series.counts
            self._sync.rows.add(
                self._minute * 60,
                caller.project_id,
                caller.key_id,
                series.model,
                counts,
                batch=series.batch,
            )
            series.counts, series.is_dirty = Counts(), False
        self._dirty.clear()
        self._minute = int(now_s // 60)

    def _forget_idle(self) -> None:
        now_s = self._clock()
        self._next_sweep_s, oldest_s = now_s + _SWEEP_EVERY_S, now_s - _IDLE_S
        self._accounts = {
            key_id: account
            for key_id, account in self._accounts.items()
            if max(account.touched_s, account.key.touched_s) > oldest_s or account.key.in_flight
        }
        kept = {id(s) for a in self._accounts.values() for s in (a.key, a.project)}
        self._subjects = {
            subject_id: subject
            for subject_id, subject in self._subjects.items()
            if id(subject) in kept
        }


def _correct(admission: Admission, served: Served) -> None:
    """Replace the estimate with the actual number of tokens.

    If the prompt tokens are unknown because the client disconnected before the engine reported
    them, the prompt estimate is kept. If no output was seen either, the entire estimate is kept.
    Otherwise, disconnecting would circumvent the limit.
    """
    tokens = served.input_tokens + served.output_tokens
    if not served.input_tokens and (served.status < 400 or served.status == CLIENT_GONE):
        tokens = tokens + admission.prompt if tokens else admission.estimate
    for subject in (admission.account.key, admission.account.project):
        if subject.tokens is not None:
            subject.tokens.use(tokens - admission.estimate)
