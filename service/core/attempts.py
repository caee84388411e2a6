"""Records of work that is done in attempts, each by one worker under a lease.

Whatever the work is, three functions lead to the next attempt: `hand_back` (the worker stopped on
purpose), `lose` (it died) and, if users may ask for it, `restart`. Only `lose` counts, and it ends
the work after too many. `restart` begins to count again.
"""

from __future__ import annotations

from typing import Any, Self

from service.core import ids
from service.core.records import Record

_NONCE_CHARS = 8


class NumberedRecord(Record):
    """A record of work with the number of its present attempt.

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


class AttemptedRecord(NumberedRecord):
    """A record of work. The attempt is the fencing token of what its worker writes."""

    lost_attempts: int = 0  # whose worker died

    @property
    def subject(self) -> str:
        """Name of the work in the queue and in leases."""
        return self.id

    def is_hopeless(self, most_lost: int) -> bool:
        """Return whether the loss of this attempt ends the work.

        Each such attempt also takes down what else its worker does.
        """
        return self.lost_attempts + 1 >= most_lost

    def next_attempt(self, *, is_lost: bool = False) -> dict[str, Any]:
        """Return the fields of the next attempt."""
        lost_attempts = self.lost_attempts + is_lost
        return {"attempt": self.attempt + 1, "lost_attempts": lost_attempts}


def died_while_it(did: str) -> str:
    """Return the message of work whose workers died."""
    return (
        f"The worker died several times while it {did}. The worker's log has the cause; it may "
        "need more memory."
    )
