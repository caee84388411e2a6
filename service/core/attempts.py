"""Records of work that is done in attempts, each by one worker under a lease.

Whatever the work is, three functions lead to the next attempt: `hand_back` (the worker stopped on
purpose), `lose` (it died) and, if users may ask for it, `restart`. Only `lose` counts, and it ends
the work after too many. `restart` begins to count again.
"""

from __future__ import annotations

from typing import Any

from service.core.records import Record


class AttemptedRecord(Record):
    """A record of work. `attempt` is the fencing token of what its worker writes."""

    attempt: int = 1
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
