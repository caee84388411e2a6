"""Where commands about samples wait for the training that asked for them."""

from __future__ import annotations

import threading

from service.training.contract.protocol import Purpose, SamplesCommand


class Inbox:
    """The newest samples of each purpose. One thread puts them in, and the training waits."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._newest: dict[Purpose, SamplesCommand] = {}
        self._count = 0

    def put(self, command: SamplesCommand) -> None:
        """Replace the samples of the same purpose."""
        with self._changed:
            self._newest[command.purpose] = command
            self._count += 1
            self._changed.notify_all()

    @property
    def count(self) -> int:
        """Number of commands so far."""
        return self._count

    @property
    def newest(self) -> list[SamplesCommand]:
        """The newest command of each purpose."""
        with self._changed:
            return list(self._newest.values())

    def wait(self, number: int, purpose: Purpose, seconds: float) -> SamplesCommand | None:
        """Return the samples of a round, for which it waits at most this time."""
        with self._changed:
            self._changed.wait_for(lambda: self._has(number, purpose), seconds)
            return self._newest[purpose] if self._has(number, purpose) else None

    def _has(self, number: int, purpose: Purpose) -> bool:
        found = self._newest.get(purpose)
        return found is not None and found.round == number
