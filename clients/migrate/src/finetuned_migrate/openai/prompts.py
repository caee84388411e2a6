"""The prompts that the old models are asked."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetuned.errors import BadRequest

_MAX_PROMPTS = 10_000


@dataclass(frozen=True)
class Prompts:
    """Chats without their last answer, and the digest of the file they came from.

    `expected` has the last answers, as texts: None for a chat without one.
    """

    chats: list[list[dict[str, Any]]]
    sha256: str
    expected: list[str | None]

    @classmethod
    def read(cls, path: str | os.PathLike[str], most: int | None = None) -> Prompts:
        """Read up to `most` prompts of a JSON Lines file of chats. Raises BadRequest."""
        try:
            data = Path(path).read_bytes()
        except OSError as e:
            raise BadRequest(f"{path} cannot be read: {e.strerror}.") from e
        lines = [line for line in data.splitlines() if line.strip()][: most or _MAX_PROMPTS]
        found = [_chat(line, number) for number, line in enumerate(lines, 1)]
        if not found:
            raise BadRequest(f"{path} has no prompts.", next_step="Write one chat per line.")
        chats, expected = [chat for chat, _ in found], [answer for _, answer in found]
        return cls(chats, hashlib.sha256(b"\n".join(lines)).hexdigest(), expected)

    def numbered(self) -> list[dict[str, Any]]:
        """Return the prompts as the archive stores them."""
        return [
            {"index": i, "messages": chat} | ({} if answer is None else {"expected": answer})
            for i, (chat, answer) in enumerate(zip(self.chats, self.expected, strict=True))
        ]


def _chat(line: bytes, number: int) -> tuple[list[dict[str, Any]], str | None]:
    expected = None
    try:
        messages = json.loads(line)["messages"]
        if messages[-1]["role"] == "assistant":
            answer = messages[-1].get("content")
            expected = answer if isinstance(answer, str) and answer.strip() else None
            messages = messages[:-1]
        if messages[-1]["role"] != "user":
            raise ValueError
    except (ValueError, KeyError, TypeError, IndexError) as e:
        raise BadRequest(
            f"Line {number} of the prompts is not a chat that ends with a question.",
            next_step='Write lines such as {"messages": [{"role": "user", "content": "…"}]}.',
        ) from e
    return list(messages), expected
