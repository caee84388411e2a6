"""Records of background work and their lifecycle: attempts, fencing, losses and giving up.

The work is done in attempts, each by one worker under a lease. A hand-back, a loss and a restart
lead to the next attempt. Only losses count against the work. It fails after too many of them,
because work that kills its worker takes down everything else that this worker does.

All methods are pure: they return the changed record, which `store.py` writes.
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
    """A record with the number of its current attempt, which is the fencing token of its worker.

    If a failover of Redis loses the start of an attempt, the next one gets the same number. So each
    attempt after the first also has a random `nonce`. Records of older versions have none.
    """

    attempt: int = 1
    nonce: str = ""

    def changed_from(self, before: Self) -> Self:
        """Return the record, with a new nonce if its attempt is not that of `before`."""
        if self.attempt == before.attempt:
            return self
        return self.model_copy(update={"nonce": ids.random_part(_NONCE_CHARS)})

    def is_attempt_of(self, other: Self) -> bool:
        """Return whether both records are of the same attempt."""
        if self.attempt != other.attempt:
            return False
        # A worker of an older version drops the nonce when it writes the record.
        return self.nonce == other.nonce or not (self.nonce and other.nonce)

    @property
    def attempt_name(self) -> str:
        """Name of the attempt in storage keys, unique among the attempts at this record."""
        return f"a{self.attempt}-{self.nonce}" if self.nonce else f"a{self.attempt}"


class AttemptSuperseded(Exception):
    """The write is fenced off: the attempt is not the current one, or the work has ended."""


class WorkEnded(Exception):
    """The action is not allowed: the work has a final status, or is about to have one."""

    def __init__(self, record: WorkRecord) -> None:
        self.status = record.current_status
        super().__init__(f"{record.id} is {self.status}")


class WorkError(Stored):
    """The reason why work failed, as shown to its owner."""

    code: str
    message: str


@dataclass(frozen=True)
class Kind:
    """The names of a kind of work."""

    noun: str
    """The work in error messages and traces, such as "batch"."""
    collection: str
    """The part of the Redis keys of its records after the project."""
    function: str
    """The name of its task in the queue."""
    lane: str
    """The queue: `queue.CPU`, `queue.EVALS` or `queue.BATCHES`."""
    id_prefix: str
    """The prefix of IDs; empty if they differ."""
    doing: str
    """The end of the message if the work is given up: "The worker died several times while it …",
    or for a `ResumedRecord` "The worker died 3 times in a row before …"."""
    interrupted: str
    """The code of that error."""
    event: str | None = None
    """A final status adds an event of the type `{event}.{status}` to the outbox."""
    unfinished: str = ""
    """The name of the set of unfinished work; `{collection}-unfinished` by default."""
    gauge: Gauge | None = None
    """The metric of the number of unfinished records."""

    @property
    def unfinished_key(self) -> str:
        """Redis key of the set of unfinished work of all projects, as "project/…/id"."""
        return f"{PREFIX}:{self.unfinished or f'{self.collection}-unfinished'}"


class WorkRecord(AttemptedRecord):
    """A record of work. Its class declares the kind and the final statuses."""

    work: ClassVar[Kind]
    final: ClassVar[frozenset[StrEnum]]
    failed: ClassVar[StrEnum]
    """The final status of work that failed."""
    status_field: ClassVar[str] = "status"
    """The name of the field with the status."""

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
        """IDs of the objects that contain the record, such as a file."""
        return ()

    @property
    def subject(self) -> str:
        """The name of the work in queue entries and leases."""
        return "/".join((*self.parents, self.id))

    @property
    def member(self) -> str:
        """The name of the work in sets of all projects."""
        return "/".join((self.project_id, *self.parents, self.id))

    def require_attempt(self, own: Self) -> Self:
        """Return the record if `own` is its current attempt. Raises AttemptSuperseded.

        This is the fence of every write of a worker.
        """
        if self.is_final or not self.is_attempt_of(own):
            raise AttemptSuperseded(self.id)
        return self

    def next_attempt(self, **fields: Any) -> Self:
        """Return the record with its next attempt, which must then be enqueued."""
        return self.model_copy(update={"attempt": self.attempt + 1, **fields})

    def restart(self, **fields: Any) -> Self:
        """Return the record with the next attempt at a user's request."""
        return self.next_attempt(**fields)

    def end(self, status: StrEnum, now_s: int, **fields: Any) -> Self:
        """Return the record with a final status."""
        final = {self.status_field: status, "finished_at": now_s}
        return self.model_copy(update={**final, **fields})

    def give_up(self, code: str, message: str, now_s: int) -> Self:
        """Return the record after an error that the next attempt would meet, too."""
        return self.end(self.failed, now_s, error=WorkError(code=code, message=message))

    def lose_attempt(self, most_lost: int, now_s: int) -> Self:
        """Return the record after its worker died: with its next attempt, or given up.

        `most_lost` is the number of lost attempts at which work is given up.
        """
        raise NotImplementedError


class OperationRecord(WorkRecord):
    """A record of work that the API shows as an operation (web/operations.py)."""

    cancelled: ClassVar[StrEnum]
    """The final status of work that was cancelled."""

    started_at: int | None = None
    """When the first attempt began; None in records of 0.2, too."""
    metadata: dict[str, str] | None = None

    def start(self, now_s: int) -> Self:
        """Return the record at the beginning of its first attempt."""
        return self.model_copy(update={"started_at": now_s})

    def cancel(self, now_s: int) -> Self:
        """Return the cancelled record. Its worker stops soon. Raises WorkEnded."""
        if self.is_final:
            raise WorkEnded(self)
        return self.end(self.cancelled, now_s)


class RestartedRecord(WorkRecord):
    """A record of work whose next attempt starts from the beginning. All lost attempts count."""

    lost_attempts: int = 0

    def restart(self, **fields: Any) -> Self:
        """Return the record with the next attempt at a user's request."""
        return self.next_attempt(lost_attempts=0, **fields)

    def lose_attempt(self, most_lost: int, now_s: int) -> Self:
        """Return the record after its worker died: with its next attempt, or given up."""
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

    Only consecutive lost attempts without progress count.
    """

    fruitless_attempts: int = 0

    def make_progress(self, **fields: Any) -> Self:
        """Return the record after progress, with the count of lost attempts at zero."""
        return self.model_copy(update={**fields, "fruitless_attempts": 0})

    def lose_attempt(self, most_lost: int, now_s: int) -> Self:
        """Return the record after its worker died: with its next attempt, or given up."""
        fruitless = self.fruitless_attempts + 1
        if fruitless < most_lost:
            return self.next_attempt(fruitless_attempts=fruitless)
        message = (
            f"The worker died {fruitless} times in a row before {self.work.doing}. The worker's "
            "log has the cause; it may need more memory."
        )
        return self.give_up(self.work.interrupted, message, now_s)
