"""Known holes: what is wrong after some faults until it is repaired. A repair removes its entry.

An entry with no failing case is an error, so that it is removed with the repair.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tests.faults.cases import Case, Failure
from tests.faults.gate import Operation


@dataclass(frozen=True)
class Hole:
    """What is wrong, after which faults, and why. All but the reason are patterns."""

    actor: str
    faults: str
    operations: str
    violation: str
    reason: str

    def covers(self, case: Case, operation: str) -> bool:
        """Return whether the hole is at this case."""
        wanted = (self.actor, case.actor), (self.faults, case.fault), (self.operations, operation)
        return all(_matches(pattern, value) for pattern, value in wanted)

    def explains(self, failure: Failure, violation: str) -> bool:
        """Return whether the hole is why this is wrong."""
        return self.covers(failure.case, failure.operation) and _matches(self.violation, violation)


def _matches(patterns: str, value: str) -> bool:
    return any(fnmatchcase(value, pattern) for pattern in patterns.split("|"))


_TWICE = (
    "the answer is lost although the record exists, and a retry without a key makes another one"
)

_AGAIN = "a client that got no answer and asks again receives 409"
_AFTERWARDS = (
    "* dispatch-wanted|EVAL lease:dispatch|SMEMBERS workers|SMEMBERS jobs-active|"
    "MGET worker-alive:*|MGET *:jobs:*"
)

HOLES: Sequence[Hole] = (
    Hole(
        "cancelFineTuningJob|pauseFineTuningJob|resumeFineTuningJob",
        "kill",
        _AFTERWARDS,
        "* receives 409 *",
        _AGAIN,
    ),
    Hole(
        "cancelFineTuningJob|pauseFineTuningJob|resumeFineTuningJob",
        "lost-away|kill-after",
        "transaction(SET *:jobs:**|* dispatch-wanted|EVAL lease:dispatch",
        "* receives 409 *",
        _AGAIN,
    ),
    Hole(
        "createFile", "kill-after|lost*", "transaction(SET *:files:**", "2 files for one *", _TWICE
    ),
    Hole("createFile", "kill*", "* arq:job:check_file:**", "2 files for one *", _TWICE),
)


def examples(hole: Hole, cases: Iterable[Case], found: Sequence[Operation]) -> list[Case]:
    """Return the cases at the hole."""
    return [case for case in cases if hole.covers(case, found[case.number - 1].words)]


def unexplained(failures: Iterable[Failure]) -> list[Failure]:
    """Return the failures that are not known."""
    return [
        failure
        for failure in failures
        if not all(
            any(hole.explains(failure, violation) for hole in HOLES) for violation in failure.found
        )
    ]


def closed(actor: str, failures: Sequence[Failure]) -> list[Hole]:
    """Return the holes of an actor that explain no failure."""
    return [
        hole
        for hole in HOLES
        if _matches(hole.actor, actor)
        and not any(hole.explains(f, violation) for f in failures for violation in f.found)
    ]
