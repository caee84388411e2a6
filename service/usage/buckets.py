"""Leaky bucket whose usage drains at a constant rate: one minute's allowance per minute.

An idle client may use a full minute's allowance at once, and then continues at the constant rate.
`used` may exceed the capacity if a response was longer than estimated or if other replicas
admitted requests at the same time. The excess, at most one minute of it, must drain first.
"""

from __future__ import annotations

WINDOW_S = 60.0
MAX_DEBT = 2.0  # maximum `used` as a multiple of capacity, which bounds the wait to one minute


class Bucket:
    """One allowance, as known to this replica.

    `used` is the last value read from Redis, drained until `at_s`, plus `unsent`: local usage
    since then that Redis does not know yet.
    """

    __slots__ = ("at_s", "capacity", "capacity_text", "drain_per_s", "unsent", "used")

    def __init__(self, capacity: int, now_s: float) -> None:
        self.resize(capacity)
        self.used = 0.0
        self.at_s = now_s
        self.unsent = 0

    def resize(self, capacity: int) -> None:
        """Change the capacity. Current usage is kept."""
        self.capacity = capacity
        self.capacity_text = b"%d" % capacity
        self.drain_per_s = capacity / WINDOW_S

    def drain(self, now_s: float) -> float:
        """Drain the bucket to `now_s` and return the remaining usage."""
        elapsed_s = now_s - self.at_s
        if elapsed_s > 0:  # a clock set back must not refill the bucket
            used = self.used - elapsed_s * self.drain_per_s
            self.used = used if used > 0.0 else 0.0
            self.at_s = now_s
        return self.used

    def use(self, amount: int) -> None:
        """Consume `amount`. A negative amount is a refund."""
        self.unsent += amount
        used = self.used + amount
        if used > self.capacity:
            most = MAX_DEBT * self.capacity
            used = used if used < most else most
        self.used = used if used > 0.0 else 0.0

    def wait_s(self, amount: int) -> float:
        """Seconds until `amount` fits, as of the last drain."""
        return max(0.0, (self.used + amount - self.capacity) / self.drain_per_s)

    def learn(self, used: float, at_s: float, now_s: float) -> None:
        """Adopt the usage of all replicas as of `at_s`, plus the unsent local usage."""
        drained = max(0.0, used - max(0.0, now_s - at_s) * self.drain_per_s)
        self.used = max(0.0, drained + self.unsent)
        self.at_s = now_s

    def settle(self) -> int:
        """Return the unsent usage and mark it as sent."""
        amount, self.unsent = self.unsent, 0
        return amount
