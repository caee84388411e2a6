"""Copies of chats, for projects that store some of theirs."""

from __future__ import annotations

from typing import Protocol

from service.web.auth import Principal


class ChatCopy(Protocol):
    """The copy of a chat in progress."""

    def keep(self, chunk: bytes) -> None:
        """Add a part of the response's body."""
        ...

    def end(self, status: int) -> None:
        """End the copy. `status` is that of the response in the end."""
        ...


class ChatCopies(Protocol):
    """What stores chats. Neither waits for anything nor raises."""

    def begin(
        self, caller: Principal, path: str, names: tuple[str, str], body: bytes
    ) -> ChatCopy | None:
        """Begin a copy, or return None if the chat is not stored.

        `names` are the name of the model in the request, and its own name.
        """
        ...
