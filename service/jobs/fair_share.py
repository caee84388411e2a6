"""Fair-share order of the queued jobs. Pure functions.

Higher priority comes first. At equal priority, the project with the fewest running jobs comes
first, counting the jobs that were just chosen. Then the job that has waited longest comes first. A
project at its limit waits.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator
from itertools import groupby, islice

from service.jobs.records import Status, UnfinishedJob


def next_jobs(
    queued: Iterable[UnfinishedJob],
    running: Iterable[UnfinishedJob],
    slots: int,
    max_running_per_project: int | None = None,
) -> list[UnfinishedJob]:
    """Return up to `slots` of the queued jobs, in the order in which to run them.

    `running` has the jobs that a worker runs or is about to take. The result does not depend on the
    order of the arguments' items.
    """
    counts = Counter(job.project_id for job in running)
    return list(islice(_by_turn(queued, counts, max_running_per_project), max(slots, 0)))


def queue_positions(
    jobs: Iterable[UnfinishedJob], max_running_per_project: int | None = None
) -> dict[str, int]:
    """Map the ID of every queued job in `jobs` to its position in the queue; 1 is next.

    Jobs that must wait for another job of their project to end come after all others.
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
    queued: Iterable[UnfinishedJob], counts: Counter[str], limit: int | None
) -> Iterator[UnfinishedJob]:
    """Yield the jobs that may run, in order, and add each one to `counts`."""
    ordered = sorted(queued, key=lambda job: (-job.priority, *_age(job)))
    for _, equals in groupby(ordered, key=lambda job: job.priority):
        lines: dict[str, deque[UnfinishedJob]] = defaultdict(deque)
        for job in equals:
            lines[job.project_id].append(job)
        # Only the chosen project's count changes, so a heap of the first jobs stays valid.
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


def _age(job: UnfinishedJob) -> tuple[int, int, str]:
    """Return a sort key: smaller for jobs that have waited longer, and unique."""
    return job.queued_at or job.created_at, job.created_at, job.id
