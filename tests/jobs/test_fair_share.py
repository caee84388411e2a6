"""Tests of the job order: examples, and properties for all job sets."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.jobs.fair_share import next_jobs, queue_positions
from service.jobs.records import JobRecord, Status, UnfinishedJob


def brief(
    name: str, priority: int = 0, queued_at: int = 0, *, status: Status = Status.QUEUED
) -> UnfinishedJob:
    """Create a job named after its project and a number, such as `a1`."""
    return UnfinishedJob(
        id=f"ftjob-{name}",
        project_id=f"proj_{name[0]}",
        created_at=queued_at,
        queued_at=queued_at,
        priority=priority,
        status=status,
    )


def job(
    name: str, priority: int = 0, queued_at: int = 0, status: Status = Status.QUEUED
) -> JobRecord:
    """Create the record of such a job."""
    return JobRecord(
        id=f"ftjob-{name}",
        project_id=f"proj_{name[0]}",
        project_name=name[0],
        created_at=queued_at,
        queued_at=queued_at,
        model="base",
        training_file="file-x",
        validation_file=None,
        suffix=None,
        seed=1,
        metadata=None,
        hyperparameters={},
        model_tag="tag",
        priority=priority,
        status=status,
    )


def names(jobs: list[UnfinishedJob]) -> list[str]:
    return [j.id.removeprefix("ftjob-") for j in jobs]


@pytest.mark.parametrize(
    ("queued", "running", "slots", "limit", "chosen"),
    [
        pytest.param([], [], 3, None, [], id="nothing queued"),
        pytest.param([brief("a1")], [], 0, None, [], id="no slot"),
        pytest.param([brief("a1")], [], -2, None, [], id="more jobs than workers"),
        pytest.param(
            [brief("a1", 0, 1), brief("a2", 5, 2), brief("a3", -5, 0)],
            [],
            3,
            None,
            ["a2", "a1", "a3"],
            id="higher priority first",
        ),
        pytest.param(
            [brief("a1", queued_at=3), brief("a2", queued_at=1), brief("a3", queued_at=2)],
            [],
            2,
            None,
            ["a2", "a3"],
            id="the oldest first",
        ),
        pytest.param(
            [brief("a1", queued_at=1), brief("a2", queued_at=2), brief("b1", queued_at=9)],
            [],
            2,
            None,
            ["a1", "b1"],
            id="a job just chosen counts as running",
        ),
        pytest.param(
            [brief("a1", queued_at=1), brief("b1", queued_at=9)],
            [brief("a8"), brief("a9"), brief("b9")],
            1,
            None,
            ["b1"],
            id="the project with fewer running jobs",
        ),
        pytest.param(
            [brief("a1", 1), brief("b1", 0)],
            [brief("a9")],
            1,
            None,
            ["a1"],
            id="priority goes before fairness",
        ),
        pytest.param(
            [brief("a1", 9, 1), brief("a2", 9, 2), brief("b1", -9, 3)],
            [],
            3,
            1,
            ["a1", "b1"],
            id="a project at its limit waits, and does not hold up others",
        ),
        pytest.param(
            [brief("a1")], [brief("a8"), brief("a9")], 1, 1, [], id="over a lowered limit"
        ),
    ],
)
def test_choice(queued, running, slots, limit, chosen):
    assert names(next_jobs(queued, running, slots, limit)) == chosen


@st.composite
def some_jobs(draw: st.DrawFn) -> list[UnfinishedJob]:
    drawn = draw(st.lists(st.tuples(st.sampled_from("abc"), st.integers(-2, 2), st.integers(1, 9))))
    return [brief(f"{project}{i}", *rest) for i, (project, *rest) in enumerate(drawn)]


RUNNING = st.lists(st.sampled_from("abc"), max_size=6).map(
    lambda projects: [brief(f"{p}r{i}") for i, p in enumerate(projects)]
)
LIMITS = st.none() | st.integers(1, 4)


@given(some_jobs(), RUNNING, st.integers(-1, 12), LIMITS)
def test_no_more_than_slots_and_limits_and_no_slot_wasted(queued, running, slots, limit):
    chosen = next_jobs(queued, running, slots, limit)
    counts = Counter(j.project_id for j in running + chosen)
    before = Counter(j.project_id for j in running)

    def full(project: str) -> bool:
        return limit is not None and counts[project] >= limit

    assert len(chosen) <= max(slots, 0)
    assert len(set(names(chosen))) == len(chosen)
    left = [j for j in queued if j not in chosen]
    assert len(left) + len(chosen) == len(queued)
    if limit is not None:
        assert all(counts[j.project_id] <= max(limit, before[j.project_id]) for j in chosen)
    if len(chosen) < slots:
        assert all(full(j.project_id) for j in left)
    if chosen:
        least = min(j.priority for j in chosen)
        assert all(j.priority <= least for j in left if not full(j.project_id))


@given(some_jobs(), RUNNING, st.integers(0, 12), LIMITS, st.randoms(use_true_random=False))
def test_the_order_in_which_jobs_are_given_means_nothing(queued, running, slots, limit, random):
    chosen = next_jobs(queued, running, slots, limit)
    random.shuffle(queued)
    random.shuffle(running)
    assert next_jobs(queued, running, slots, limit) == chosen


@given(st.integers(0, 5), st.integers(1, 100), st.integers(1, 100), st.integers(0, 50))
def test_another_projects_fifty_jobs_do_not_hold_up_the_first(each, ours_at, theirs_at, more):
    crowd = [brief(f"a{i}", queued_at=theirs_at + i) for i in range(50)]
    running = [brief(f"{p}r{i}") for i in range(each) for p in "ab"]
    running += [brief(f"am{i}") for i in range(more)]
    assert "b1" in names(next_jobs([*crowd, brief("b1", queued_at=ours_at)], running, 2))


@given(some_jobs(), LIMITS)
def test_every_job_has_its_turn_when_jobs_end_and_none_come(queued, limit):
    """Low priority waits for higher priority, but not forever."""
    waiting, ran = list(queued), []
    for _ in range(len(queued)):
        chosen = next_jobs(waiting, [], 1, limit)
        ran += chosen
        waiting = [j for j in waiting if j not in chosen]
    assert waiting == []
    assert [j.priority for j in ran] == sorted((j.priority for j in queued), reverse=True)


@given(some_jobs(), RUNNING, st.integers(0, 12), LIMITS)
def test_places_are_one_to_n_and_tell_who_is_next(queued, running, slots, limit):
    begun = [msgspec.structs.replace(j, status=Status.RUNNING) for j in running]
    others = [
        brief("a-paused", 9, status=Status.PAUSED),
        brief("b-new", 9, status=Status.VALIDATING),
    ]
    places = queue_positions([*others, *begun, *queued], limit)
    assert sorted(places.values()) == list(range(1, len(queued) + 1))
    chosen = next_jobs(queued, running, slots, limit)
    assert [places[j.id] for j in chosen] == list(range(1, len(chosen) + 1))


def test_jobs_held_by_their_projects_limit_come_after_all_others():
    jobs = [
        brief("a1", 9),
        brief("a9", status=Status.RUNNING),
        brief("b1", -9),
        brief("b2", -9, 1),
    ]
    assert queue_positions(jobs, 1) == {"ftjob-b1": 1, "ftjob-a1": 2, "ftjob-b2": 3}
