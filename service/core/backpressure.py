"""Limits concurrent work in this process, and estimates when refused callers should try again.

Slots are for work that takes memory, such as the bodies of uploads. If no slot is free, work waits
for one, and is refused after some time. A free slot goes to the waiting owner (a project) that
holds the fewest slots, so an owner with many requests hardly delays the others. The number of
waiting requests is limited too.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from service.core.errors import RateLimited

WAIT_S = 30.0
"""Default time that work waits for a slot: half of the time limit of common proxies."""
_WAITING_PER_SLOT = 4  # each waiting upload holds up to 0.3 MiB of its body


class Slots:
    """A pool of slots. `refusal` creates the error for work that gets none within `wait_s`.

    At most `most` slots are held at once, and at most `most_per_owner` by one owner.
    """

    def __init__(
        self,
        most: int,
        refusal: Callable[[], RateLimited],
        *,
        most_per_owner: int | None = None,
        wait_s: float = WAIT_S,
    ) -> None:
        self._most = most
        self._most_per_owner = most if most_per_owner is None else most_per_owner
        self._refusal = refusal
        self._wait_s = wait_s
        self._held: Counter[str] = Counter()
        self._waiting: dict[asyncio.Future[None], str] = {}  # and their owners, oldest first

    @asynccontextmanager
    async def hold(self, owner: str) -> AsyncIterator[None]:
        """Hold a slot for the owner inside the block. Raises RateLimited."""
        await self._take(owner)
        try:
            yield
        finally:
            self._give_back(owner)

    @property
    def held(self) -> int:
        """Number of slots that are in use."""
        return self._held.total()

    def _has_room(self, owner: str) -> bool:
        return self.held < self._most and self._held[owner] < self._most_per_owner

    async def _take(self, owner: str) -> None:
        if self._has_room(owner):
            self._held[owner] += 1
            return
        if self._wait_s <= 0 or len(self._waiting) >= _WAITING_PER_SLOT * self._most:
            raise self._refusal()
        turn = asyncio.get_running_loop().create_future()
        self._waiting[turn] = owner
        try:
            await asyncio.wait([turn], timeout=self._wait_s)
        except asyncio.CancelledError:
            if turn.done():
                self._give_back(owner)
            raise
        finally:
            self._waiting.pop(turn, None)
        if not turn.done():
            raise self._refusal()

    def _give_back(self, owner: str) -> None:
        self._held[owner] -= 1
        if not self._held[owner]:
            del self._held[owner]
        fitting = [turn for turn, other in self._waiting.items() if self._has_room(other)]
        if fitting:
            turn = min(fitting, key=lambda turn: self._held[self._waiting[turn]])
            self._held[self._waiting.pop(turn)] += 1
            turn.set_result(None)


_WEIGHT: Final = 0.2  # of the newest interval in the average
_MIN_S: Final = 1.0
_MAX_S: Final = 40.0  # with the spread, at most 60 s, beyond which OpenAI's SDKs do not wait


class Pace:
    """Average time between two admissions of a queue."""

    def __init__(self) -> None:
        self._moved_s = time.monotonic()
        self._each_s = 0.0

    def begin(self) -> None:
        """Note that the first request began to wait."""
        self._moved_s = time.monotonic()

    def move(self) -> None:
        """Note that a waiting request was admitted."""
        now_s = time.monotonic()
        each_s, self._moved_s = now_s - self._moved_s, now_s
        self._each_s += _WEIGHT * (each_s - self._each_s) if self._each_s else each_s

    def retry_headers(self, waiting: int) -> dict[str, str]:
        """Return the headers of a refusal while this many requests wait.

        Times are spread around the expected one, so that callers do not all return together.
        """
        expected_s = min(max(waiting * self._each_s, _MIN_S), _MAX_S)
        after_s = expected_s * random.uniform(0.5, 1.5)  # noqa: S311
        return {
            "retry-after": str(max(1, round(after_s))),
            "retry-after-ms": str(int(after_s * 1000)),
        }
