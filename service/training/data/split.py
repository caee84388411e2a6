"""Selection of the training rows held out for validation: a pure function of rows and seed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from itertools import takewhile

from service.training.data.chats import Preference
from service.training.data.judged import Judged, Line


def prompt_key(row: Line) -> bytes:
    """Key that is equal for rows with the same prompt.

    The prompt consists of the tools and all messages before the first answer.
    """
    match row:
        case Preference():
            chat = row.better
        case Judged():
            chat = row.chat
        case _:
            chat = row
    prompt = list(takewhile(lambda message: message["role"] != "assistant", chat.messages))
    return hashlib.sha256(json.dumps([chat.tools, prompt], sort_keys=True).encode()).digest()


def validation_rows(keys: Sequence[bytes], share: float, seed: int) -> frozenset[int]:
    """Indices of about `share` of the rows, with all rows that share a key kept together.

    Empty if no split is possible because all rows share one key.
    """
    groups: dict[bytes, list[int]] = {}
    for row, key in enumerate(keys):
        groups.setdefault(key, []).append(row)
    if len(groups) < 2:
        return frozenset()
    target = max(1, round(share * len(keys)))
    order = sorted(groups, key=lambda key: hashlib.sha256(b"%d/%s" % (seed, key)).digest())
    chosen: list[int] = []
    for key in order:
        if len(chosen) + len(groups[key]) <= target:
            chosen += groups[key]
    if not chosen:  # every group is larger than the requested share
        chosen = min((groups[key] for key in order), key=len)
    return frozenset(chosen)
