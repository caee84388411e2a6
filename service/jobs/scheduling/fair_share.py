"""Whose turn it is among the queued jobs. Pure.

Higher priority first; among equals the project with the fewest running jobs, those just
chosen among them; then the job that has waited longest. A project at its limit waits.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator
from itertools import groupby, islice

from service.jobs.records import JobRecord, Status


def next_jobs(
    queued: Iterable[JobRecord],
    running: Iterable[JobRecord],
    slots: int,
    max_running_per_project: int | None = None,
) -> list[JobRecord]:
    """At most `slots` of the queued jobs, first the one to run first.

    `running` are the jobs that have a worker, or lie before one. The answer depends on the
    jobs alone, not on the order in which they are given.
    """
    counts = Counter(job.project_id for job in running)
    return list(islice(_by_turn(queued, counts, max_running_per_project), max(slots, 0)))


def queue_positions(
    jobs: Iterable[JobRecord], max_running_per_project: int | None = None
) -> dict[str, int]:
    """Job id → place in the queue, 1 for the next, of every queued job among `jobs`.

    Jobs that wait for a job of their own project to end come after all others.
    """
    jobs = list(jobs)
    queued = [job for job in jobs if job.status is Status.QUEUED]
    running = [job for job in jobs if job.status is Status.RUNNING]
    free = next_jobs(queued, running, len(queued), max_running_per_project)
    placed = {job.id for job in free}
    held = [job for job in queued if job.id not in placed]
    order = free + next_jobs(held, running + free, len(held))
    return {job.id: place for place, job in enumerate(order, 1)}


def _by_turn(
    queued: Iterable[JobRecord], counts: Counter[str], limit: int | None
) -> Iterator[JobRecord]:
    """All jobs that may run, in turn; `counts` grows with them."""
    ordered = sorted(queued, key=lambda job: (-job.priority, *_age(job)))
    for _, equals in groupby(ordered, key=lambda job: job.priority):
        lines: dict[str, deque[JobRecord]] = defaultdict(deque)
        for job in equals:
            lines[job.project_id].append(job)
        # Only the chosen project's count changes, so a heap of the lines' heads stays true.
        heads = [(counts[project], _age(line[0]), project) for project, line in lines.items()]
        heapq.heapify(heads)
        while heads:
            count, _, project = heapq.heappop(heads)
            if limit is not None and count >= limit:
                continue
            yield lines[project].popleft()
            counts[project] += 1
            if lines[project]:
                heapq.heappush(heads, (counts[project], _age(lines[project][0]), project))


def _age(job: JobRecord) -> tuple[int, int, str]:
    """Smaller for the job that has waited longer; no two jobs are equal."""
    return job.queued_at or job.created_at, job.created_at, job.id
