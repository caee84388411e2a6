"""The enumeration of an actor's cases: a bounded part of it in each test run, or all of it."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults import cases, holes
from tests.faults.actor.base import Actor
from tests.faults.actor.every import BY_NAME
from tests.faults.cases import Case
from tests.faults.gate import Operation
from tests.faults.world import worlds

ALL = os.environ.get("FINETUNED_FAULTS") == "all"
_ONLY = os.environ.get("FINETUNED_FAULTS_ONLY", "")  # an actor, or one case of it
_REPEATED = "/" in _ONLY
_PAIRS = int(os.environ.get("FINETUNED_FAULTS_PAIRS") or 0)
_SEED = int(os.environ.get("FINETUNED_FAULTS_SEED") or 1)
_BOUND = 3  # cases of an actor in a test run, besides two of each known hole
_AT_ONCE = 8 if ALL else 2


async def enumerate_faults(name: str, redis_url: str, folder: Path) -> None:
    """Run an actor's cases. Fails if something is wrong that is not known, or known but right."""
    if _ONLY and _ONLY.split("/")[0] != name:
        pytest.skip(f"only {_ONLY} was asked for")
    actor = BY_NAME[name]
    async with worlds(redis_url, folder, _AT_ONCE) as places:
        found = await cases.operations(places[0], actor)
        chosen = _chosen(actor, found)
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        failures = await cases.run_all(places, chosen)
    del places
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, f"tasks outlive the installations: {left}"
    collect_killed()
    seconds, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    print(
        f"{name}: {len(found)} operations, {len(chosen)} cases, {len(failures)} with known holes, "
        f"{seconds:.1f} s, {cpu_s:.1f} s of CPU"
    )
    if _REPEATED:
        assert not failures, _report(failures)
    unknown = holes.unexplained(failures)
    assert not unknown, _report(unknown)
    if not _PAIRS:
        closed = holes.closed(name, failures)
        assert not closed, f"Repaired, so remove from tests/faults/holes.py: {closed}"


def collect_killed() -> None:
    """Collect what killed tasks held now, so that no later test is blamed for it.

    The test that calls it must ignore PytestUnraisableExceptionWarning.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


def _chosen(actor: Actor, found: Sequence[Operation]) -> list[Case]:
    every = cases.cases_of(actor, found)
    if _REPEATED:
        return [Case.parse(_ONLY)]
    if _PAIRS:
        return cases.pairs_of(every, max(1, _PAIRS // len(BY_NAME)), _SEED)
    if ALL:
        return every
    # The same in each run, but other faults and other places for each actor.
    spread = random.Random(actor.name).sample(every, min(_BOUND, len(every)))
    known = [holes.examples(hole, every, found) for hole in holes.HOLES]
    ends = [case for some in known for case in (*some[:1], *some[-1:])]
    return list(dict.fromkeys(spread + ends))


def _report(failures: Sequence[cases.Failure]) -> str:
    seed = f" (pairs with SEED={_SEED})" if _PAIRS else ""
    return f"{len(failures)} cases{seed}:\n" + "\n".join(map(str, failures))
