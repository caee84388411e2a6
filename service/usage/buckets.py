"""A leaky bucket: what was used drains evenly, a minute's allowance within a minute.

Whoever was quiet may use a minute's allowance at once, and then goes on at the even rate.
`used` may pass the capacity, when an answer was longer than estimated or other replicas
admitted at the same time: the rest is waited off, at most one minute of it.
"""

from __future__ import annotations

WINDOW_S = 60.0
MAX_DEBT = 2.0  # used never exceeds so many capacities: nobody waits longer than a minute for it


class Bucket:
    """One allowance, as this replica knows it.

    `used` is what Redis last told, drained until `at_s`, plus `unsent`: what was used here
    since and Redis does not know yet.
    """

    __slots__ = ("at_s", "capacity", "capacity_text", "drain_per_s", "unsent", "used")

    def __init__(self, capacity: int, now_s: float) -> None:
        self.resize(capacity)
        self.used = 0.0
        self.at_s = now_s
        self.unsent = 0

    def resize(self, capacity: int) -> None:
        """Let another capacity hold; what was used stays used."""
        self.capacity = capacity
        self.capacity_text = b"%d" % capacity
        self.drain_per_s = capacity / WINDOW_S

    def drain(self, now_s: float) -> float:
        """What is used at `now_s`."""
        elapsed_s = now_s - self.at_s
        if elapsed_s > 0:  # a clock set back drains nothing, and must not fill
            used = self.used - elapsed_s * self.drain_per_s
            self.used = used if used > 0.0 else 0.0
            self.at_s = now_s
        return self.used

    def use(self, amount: int) -> None:
        """Take `amount`; a negative one gives back."""
        self.unsent += amount
        used = self.used + amount
        if used > self.capacity:
            most = MAX_DEBT * self.capacity
            used = used if used < most else most
        self.used = used if used > 0.0 else 0.0

    def wait_s(self, amount: int) -> float:
        """How long until `amount` fits, as of the last drain."""
        return max(0.0, (self.used + amount - self.capacity) / self.drain_per_s)

    def learn(self, used: float, at_s: float, now_s: float) -> None:
        """Take over what all replicas used by `at_s`; what is unsent comes on top."""
        drained = max(0.0, used - max(0.0, now_s - at_s) * self.drain_per_s)
        self.used = max(0.0, drained + self.unsent)
        self.at_s = now_s

    def settle(self) -> int:
        """What Redis does not know yet; from now on it is held to be sent."""
        amount, self.unsent = self.unsent, 0
        return amount
