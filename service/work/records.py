"""Records of background work, which is done in attempts, each by one worker under a lease.

Three changes lead to the next attempt: a hand-back (the worker stopped on purpose), a loss (it
died) and, where users may ask for it, a restart. Only losses count: after too many, the work fails,
because what kills a worker takes down everything that this worker does.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Self

from service.core import ids
from service.core.metric_types import Gauge
from service.core.records import PREFIX, Record, Stored

_NONCE_CHARS = 8


class AttemptedRecord(Record):
    """A record with the number of its current attempt, the fencing token of what its worker writes.

    If a failover of Redis loses the start of an attempt, the next one has the same number. So each
    attempt after the first also gets a random `nonce`. Records of older versions have none.
    """

    attempt: int = 1
    nonce: str = ""

    def changed_from(self, before: Self) -> Self:
        """Return the record, with a new nonce if this change starts an attempt."""
        if self.attempt == before.attempt:
            return self
        return self.model_copy(update={"nonce": ids.random_part(_NONCE_CHARS)})

    def is_attempt_of(self, other: Self) -> bool:
        """Return whether both records are of the same attempt."""
        if self.attempt != other.attempt:
            return False
        # An older version drops the nonce when it writes a record.
        return self.nonce == other.nonce or not (self.nonce and other.nonce)

    @property
    def attempt_name(self) -> str:
        """Name of the attempt in storage, which no other attempt has."""
        return f"a{self.attempt}-{self.nonce}" if self.nonce else f"a{self.attempt}"


class AttemptSuperseded(Exception):
    """The attempt is no longer the current one, or the work has ended."""


class WorkEnded(Exception):
    """The work has a final status, or is about to, which does not allow the action."""

    def __init__(self, record: WorkRecord) -> None:
        self.status = record.current_status
        super().__init__(f"{record.id} is {self.status}")


class WorkError(Stored):
    """Reason why work failed, as its owner sees it."""

    code: str
    message: str


@dataclass(frozen=True)
class Kind:
    """Names and limits of a kind of work.

    `collection` is part of the Redis keys of its records, and `function` the name of its task in
    the queue `lane`. If its workers die, the error has the code `interrupted`, and `doing` ends its
    message: "The worker died several times while it …", or of resumed work "… in a row before …".
    A final status adds an event of the type `{event}.{status}` to the outbox.
    """

    noun: str
    collection: str
    function: str
    lane: str
    id_prefix: str
    doing: str
    interrupted: str
    event: str | None = None
    unfinished: str = ""
    gauge: Gauge | None = None

    @property
    def unfinished_key(self) -> str:
        """Redis key of the set of all projects' unfinished work, as "project/…/id"."""
        return f"{PREFIX}:{self.unfinished or f'{self.collection}-unfinished'}"


class WorkRecord(AttemptedRecord):
    """A record of work. Its class names its kind, and says which statuses are final."""

    work: ClassVar[Kind]
    final: ClassVar[frozenset[StrEnum]]
    failed: ClassVar[StrEnum]
    """Status of work that failed."""
    status_field: ClassVar[str] = "status"

    @property
    def current_status(self) -> StrEnum:
        """The status of the work."""
        found: StrEnum = getattr(self, self.status_field)
        return found

    @property
    def is_final(self) -> bool:
        """Whether the work has a final status."""
        return self.current_status in self.final

    @property
    def parents(self) -> tuple[str, ...]:
        """IDs of the objects below which the record is, such as a file."""
        return ()

    @property
    def subject(self) -> str:
        """Name of the work in the queue and in leases."""
        return "/".join((*self.parents, self.id))

    @property
    def member(self) -> str:
        """Name of the work in the sets of all projects."""
        return "/".join((self.project_id, *self.parents, self.id))

    def require_attempt(self, own: Self) -> Self:
        """Return the record if it is still of the attempt `own`. Raises AttemptSuperseded."""
        if self.is_final or not self.is_attempt_of(own):
            raise AttemptSuperseded(self.id)
        return self

    def next_attempt(self, **fields: Any) -> Self:
        """Return the record with the next attempt, which a worker has to take."""
        return self.model_copy(update={"attempt": self.attempt + 1, **fields})

    def restart(self, **fields: Any) -> Self:
        """Return the record with the next attempt, as a user asked for."""
        return self.next_attempt(**fields)

    def end(self, status: StrEnum, now_s: int, **fields: Any) -> Self:
        """Return the record with a final status."""
        final = {self.status_field: status, "finished_at": now_s}
        return self.model_copy(update={**final, **fields})

    def give_up(self, code: str, message: str, now_s: int) -> Self:
        """Return the record after an error that would also end the next attempt."""
        return self.end(self.failed, now_s, error=WorkError(code=code, message=message))

    def lose_attempt(self, most_lost: int, now_s: int) -> Self:
        """Return the record after its worker died: with the next attempt, or given up."""
        raise NotImplementedError


class RestartedRecord(WorkRecord):
    """A record of work whose next attempt starts again. All lost attempts count."""

    lost_attempts: int = 0

    def restart(self, **fields: Any) -> Self:
        """Return the record with the next attempt, as a user asked for."""
        return self.next_attempt(lost_attempts=0, **fields)

    def lose_attempt(self, most_lost: int, now_s: int) -> Self:
        """Return the record after its worker died: with the next attempt, or given up."""
        lost = self.lost_attempts + 1
        if lost < most_lost:
            return self.next_attempt(lost_attempts=lost)
        message = (
            f"The worker died several times while it {self.work.doing}. The worker's log has the "
            "cause; it may need more memory."
        )
        after = self.give_up(self.work.interrupted, message, now_s)
        return after.model_copy(update={"lost_attempts": lost})


class ResumedRecord(WorkRecord):
    """A record of work whose next attempt continues where the last one stopped.

    Only attempts that were lost in a row, without progress, count.
    """

    fruitless_attempts: int = 0

    def make_progress(self, **fields: Any) -> Self:
        """Return the record after progress."""
        return self.model_copy(update={**fields, "fruitless_attempts": 0})

    def lose_attempt(self, most_lost: int, now_s: int) -> Self:
        """Return the record after its worker died: with the next attempt, or given up."""
        fruitless = self.fruitless_attempts + 1
        if fruitless < most_lost:
            return self.next_attempt(fruitless_attempts=fruitless)
        message = (
            f"The worker died {fruitless} times in a row before {self.work.doing}. The worker's "
            "log has the cause; it may need more memory."
        )
        return self.give_up(self.work.interrupted, message, now_s)
