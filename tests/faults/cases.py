"""Cases: one run of an actor with its faults, and what was wrong afterwards."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Self

from tests.faults.actor.base import Actor
from tests.faults.actor.every import BY_NAME
from tests.faults.gate import Fault, Gate, Operation, without_ids
from tests.faults.invariants import violations
from tests.faults.world import CURRENT, Unsettled, World

_RECOVERY = 60
"""Operations of the first round after the actor, among which the second fault of a pair is."""


@dataclass(frozen=True)
class Case:
    """A fault, or a user's act, at one operation of an actor. Its text is `actor/fault/number`.

    A pair has a second fault, in the first round after the actor.
    """

    actor: str
    fault: str
    number: int
    second: tuple[str, int] | None = None

    def __str__(self) -> str:
        first = f"{self.actor}/{self.fault}/{self.number}"
        return first if self.second is None else f"{first}/{self.second[0]}/{self.second[1]}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the text of a case."""
        actor, fault, number, *second = text.split("/")
        pair = (second[0], int(second[1])) if second else None
        return cls(actor, fault, int(number), pair)

    def gate(self, world: World) -> Gate:
        """Return the gate of the actor."""
        act = BY_NAME[self.actor].acts.get(self.fault)
        if act is None:
            return Gate(faults={self.number: Fault(self.fault)})
        return Gate(acts={self.number: lambda: act(world)})

    def gates_afterwards(self) -> list[Gate]:
        """Return the gate of the first round after the actor, if that has a fault too."""
        if self.second is None:
            return []
        fault, number = self.second
        return [Gate(faults={number: Fault(fault)})]


@dataclass(frozen=True)
class Failure:
    """What was wrong after a case."""

    case: Case
    operation: str
    found: tuple[str, ...]

    def __str__(self) -> str:
        lines = "\n".join(f"    {violation}" for violation in self.found)
        repeat = f"make proof NAME=faults ONLY={self.case}"
        return f"{self.case} at: {self.operation}\n{lines}\n    {repeat}"


async def operations(world: World, actor: Actor) -> list[Operation]:
    """Return the operations of a run without faults. Raises AssertionError if it is not sound."""
    CURRENT.set(world)
    for _ in range(2):  # the first run also loads scripts into Redis, which later ones do not
        gate = Gate()
        found = await _run(world, actor, gate, [])
        assert not found, f"{actor.name} without faults: {found}"
    return gate.operations


def cases_of(actor: Actor, found: Sequence[Operation]) -> list[Case]:
    """Return all cases of an actor with one fault."""
    faults = [
        Case(actor.name, fault, number)
        for number, operation in enumerate(found, 1)
        for fault in operation.faults
    ]
    numbers = range(1, len(found) + 1)
    return faults + [Case(actor.name, act, number) for act in actor.acts for number in numbers]


def pairs_of(cases: Sequence[Case], number: int, seed: int) -> list[Case]:
    """Return pairs of faults, by the seed."""
    chance = random.Random(f"{seed} {cases[0].actor}")
    faults = [fault for fault in Fault if fault is not Fault.FULL]
    pairs = []
    for _ in range(number):
        first = chance.choice(cases)
        second = (chance.choice(faults), chance.randint(1, _RECOVERY))
        pairs.append(Case(first.actor, first.fault, first.number, second))
    return pairs


async def run_all(worlds: Sequence[World], cases: Sequence[Case]) -> list[Failure]:
    """Run cases, as many at a time as there are worlds: most of their time is round trips."""
    waiting, failures = list(reversed(cases)), list[Failure]()

    async def work(world: World) -> None:
        CURRENT.set(world)
        while waiting:
            if (failure := await _failure(world, waiting.pop())) is not None:
                failures.append(failure)

    async with asyncio.TaskGroup() as group:
        for world in worlds:
            group.create_task(work(world))
    return sorted(failures, key=lambda failure: cases.index(failure.case))


async def _failure(world: World, case: Case) -> Failure | None:
    """Run a case, and return what was wrong."""
    gate = case.gate(world)
    found = await _run(world, BY_NAME[case.actor], gate, case.gates_afterwards())
    if not found:
        return None
    done = gate.operations
    words = done[case.number - 1].words if case.number <= len(done) else "never reached"
    return Failure(case, words, tuple(dict.fromkeys(map(without_ids, found))))


async def _run(world: World, actor: Actor, gate: Gate, afterwards: Sequence[Gate]) -> list[str]:
    await world.begin(actor.arrange)
    if Fault.FULL in gate.faults.values():
        world.notes["failed"] = True  # the user learns that the operator has to free space
    found = []
    try:
        try:
            await _behind(world, gate, actor.run(world))
        except Exception as e:  # noqa: BLE001 - whatever it is, the case is wrong
            found.append(f"the actor raised {type(e).__name__}: {e}")
        for later in afterwards:
            await _behind(world, later, world.round())
        await world.settle()
        sent = world.sent
        await actor.again(world)
        if world.sent > sent:
            await world.settle()
        found += [violation async for violation in actor.check(world)]
        found += await violations(world)
    except (AssertionError, Unsettled) as e:
        found.append(f"{type(e).__name__}: {e}")
    finally:
        for one in (gate, *afterwards):
            await one.bury()
    return found


async def _behind(world: World, gate: Gate, work: Awaitable[object]) -> None:
    await gate.run(work)
    if gate.killed.is_set():
        await world.restart_worker()
