"""Where the sealed entries of the audit log are in storage.

    audit/{day}/{number}/checkpoint       the state of the log after these entries, signed
    audit/{day}/{number}/{random}.jsonl   the entries, one per line

`number` is that of the first entry, and `day` the day of this entry, in UTC. A worker that is
killed may leave another file beside the one that the checkpoint names; the next one removes it.

    audit-heads/{number}                  the checkpoint with this number, written only once

Heads are never replaced, deleted or encrypted. A log that was rolled back has a head whose entries
are missing.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from service.core.encryption.keyring import AUDIT_HEADS

ROOM: Final = "audit"
HEADS: Final = AUDIT_HEADS
CHECKPOINT: Final = "checkpoint"
_HEAD: Final = re.compile(rf"{HEADS}/(?P<number>\d{{12}})")
_PLACE: Final = re.compile(
    rf"{ROOM}/(?P<day>\d{{4}}-\d\d-\d\d)/(?P<number>\d{{12}})/(?P<name>{CHECKPOINT}|\w+\.jsonl)"
)


@dataclass
class Place:
    """A folder with entries: the number of the first of them, and its day."""

    day: str
    number: int
    names: set[str] = field(default_factory=set)

    @property
    def folder(self) -> str:
        """The key of the folder."""
        return f"{ROOM}/{self.day}/{self.number:012}"

    @property
    def segments(self) -> list[str]:
        """The names of the files with entries."""
        return sorted(self.names - {CHECKPOINT})

    def key(self, name: str) -> str:
        """Return the key of an object in the folder."""
        return f"{self.folder}/{name}"


def head_key(number: int) -> str:
    """Return the key of the head with this number."""
    return f"{HEADS}/{number:012}"


def heads_in(keys: Iterable[str]) -> tuple[list[int], list[str]]:
    """Return the numbers of the heads in their order, and the keys that are no heads."""
    names = [(key, _HEAD.fullmatch(key)) for key in keys]
    numbers = sorted(int(match["number"]) for _, match in names if match)
    return numbers, [key for key, match in names if match is None]


def day_of(time_s: float) -> str:
    """Return the day of a time, in UTC."""
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d")


def places_in(keys: Iterable[str]) -> tuple[list[Place], list[str]]:
    """Return the folders with entries in their order, and the keys that are no part of the log."""
    found: defaultdict[tuple[int, str], set[str]] = defaultdict(set)
    unknown = []
    for key in keys:
        if place := _PLACE.fullmatch(key):
            found[int(place["number"]), place["day"]].add(place["name"])
        else:
            unknown.append(key)
    return [Place(day, number, names) for (number, day), names in sorted(found.items())], unknown
