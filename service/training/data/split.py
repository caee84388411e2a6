"""Selection of the training rows held out for validation: a pure function of rows and seed."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from itertools import takewhile

from service.training.data.chats import Chat, Message, Preference
from service.training.data.judged import Judged, Line, Text
from service.training.data.prompts import PromptRow


def prompt_key(row: Line) -> bytes:
    """Key that is equal for rows with the same prompt.

    The prompt consists of the tools and all messages before the first answer. A text has none, so
    the key is that of the text. A row to which answers are sampled is a prompt as a whole.
    """
    match row:
        case Text():
            return hashlib.sha256(row.text.encode("utf-8", "surrogatepass")).digest()
        case PromptRow():
            return _key(row.chat, row.chat.messages)
        case Preference():
            chat = row.better
        case Judged():
            chat = row.chat
        case _:
            chat = row
    return _key(chat, takewhile(lambda message: message["role"] != "assistant", chat.messages))


def _key(chat: Chat, prompt: Iterable[Message]) -> bytes:
    return hashlib.sha256(json.dumps([chat.tools, list(prompt)], sort_keys=True).encode()).digest()


def validation_rows(
    keys: Sequence[bytes], share: float, seed: int, weights: Sequence[float] = ()
) -> frozenset[int]:
    """Indices of about `share` of the rows, with all rows that share a key kept together.

    With the `weights` of the rows, as in a mixture of files, a row of which an epoch draws only a
    part counts and is chosen accordingly less often. Empty if no split is possible because all rows
    share one key.
    """
    groups: dict[bytes, list[int]] = {}
    for row, key in enumerate(keys):
        groups.setdefault(key, []).append(row)
    if len(groups) < 2:
        return frozenset()
    # A row that is drawn several times per epoch is still one row.
    chances = [min(weight, 1.0) for weight in weights]
    target = max(1, round(share * (sum(chances) if chances else len(keys))))

    def turn(key: bytes) -> tuple[float, bytes]:
        digest = hashlib.sha256(b"%d/%s" % (seed, key)).digest()
        if not chances:
            return 0.0, digest
        return _turn(digest, max(chances[row] for row in groups[key])), digest

    order = sorted(groups, key=turn)
    chosen: list[int] = []
    for key in order:
        if len(chosen) + len(groups[key]) <= target:
            chosen += groups[key]
    if not chosen:  # every group is larger than the requested share
        chosen = min((groups[key] for key in order), key=len)
    return frozenset(chosen)


def _turn(digest: bytes, chance: float) -> float:
    """Place of a group in a draw without replacement (Efraimidis and Spirakis, 2006)."""
    uniform = int.from_bytes(digest[:6]) / 2**48
    return -math.log1p(-uniform) / chance
