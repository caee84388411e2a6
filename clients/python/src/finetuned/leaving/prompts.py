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
    """Chats without their last answer, and the digest of the file they came from."""

    chats: list[list[dict[str, Any]]]
    sha256: str

    @classmethod
    def read(cls, path: str | os.PathLike[str], most: int | None = None) -> Prompts:
        """Read up to `most` prompts of a JSON Lines file of chats. Raises BadRequest."""
        try:
            data = Path(path).read_bytes()
        except OSError as e:
            raise BadRequest(f"{path} cannot be read: {e.strerror}.") from e
        lines = [line for line in data.splitlines() if line.strip()][: most or _MAX_PROMPTS]
        chats = [_chat(line, number) for number, line in enumerate(lines, 1)]
        if not chats:
            raise BadRequest(f"{path} has no prompts.", next_step="Write one chat per line.")
        return cls(chats, hashlib.sha256(b"\n".join(lines)).hexdigest())


def _chat(line: bytes, number: int) -> list[dict[str, Any]]:
    try:
        messages = json.loads(line)["messages"]
        if messages[-1]["role"] == "assistant":
            messages = messages[:-1]
        if messages[-1]["role"] != "user":
            raise ValueError
    except (ValueError, KeyError, TypeError, IndexError) as e:
        raise BadRequest(
            f"Line {number} of the prompts is no chat that ends with a question.",
            next_step='Write lines such as {"messages": [{"role": "user", "content": "…"}]}.',
        ) from e
    return list(messages)
