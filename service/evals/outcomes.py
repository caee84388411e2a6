"""Stores the outcomes of items in chunks of JSON Lines. Redis knows in which chunk each one is.

{project}/evals/{eval}/{run}/source.jsonl        the items of the request, or IDs of stored chats
{project}/evals/{eval}/{run}/items/{chunk}       outcomes, written once and never changed
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from service.core import ids
from service.core.storage import Storage, StorageMissing
from service.evals.records import ItemFigures, ItemPage, ItemRow, ItemStatus, RunRecord
from service.evals.tally import Tally
from service.files.curation.masking import Masking

_CONCURRENT_READS = 16
_TEXTS = ("sample", "errors", "label")  # of a result


class Outcome(msgspec.Struct, frozen=True):
    """Outcome of one item: what the API shows, and its part of the run's counters."""

    number: int
    status: ItemStatus
    created_at: int
    body: dict[str, Any]
    tally: Tally
    figures: ItemFigures


class OutcomeWriter:
    """Writes the outcomes of one attempt, in chunks whose names no other attempt uses."""

    def __init__(self, storage: Storage, run: RunRecord) -> None:
        self._storage = storage
        self._run = run
        self._prefix = f"a{run.attempt}-{ids.random_part(8)}"
        self._written = 0

    async def write(self, outcomes: Sequence[Outcome]) -> dict[int, ItemRow]:
        """Store outcomes as one chunk. Returns the rows to record, by item number."""
        chunk, self._written = f"{self._prefix}-{self._written:05d}.jsonl", self._written + 1
        rows, data = {}, bytearray()
        for outcome in outcomes:
            line = msgspec.json.encode(outcome.body)
            rows[outcome.number] = ItemRow(
                outcome.status, outcome.created_at, chunk, len(data), len(line), outcome.figures
            )
            data += line + b"\n"
        await self._storage.put_bytes(_key(self._run, chunk), bytes(data))
        return rows


async def read_outcomes(
    storage: Storage, run: RunRecord, page: ItemPage
) -> list[tuple[int, ItemRow, dict[str, Any]]]:
    """Read the outcomes of a page. Outcomes that are already deleted are left out."""
    gate = asyncio.Semaphore(_CONCURRENT_READS)

    async def read(chunk: str) -> bytes | None:
        async with gate:
            try:
                return await storage.get_bytes(_key(run, chunk))
            except StorageMissing:
                return None

    names = list(dict.fromkeys(row.chunk for _, row in page.items))
    chunks = dict(zip(names, await asyncio.gather(*map(read, names)), strict=True))
    return [
        (number, row, msgspec.json.decode(data[row.start : row.start + row.length]))
        for number, row in page.items
        if (data := chunks[row.chunk]) is not None
    ]


async def mask_outcomes(
    bodies: Sequence[dict[str, Any]], project_id: str, masking: Masking
) -> list[dict[str, Any]]:
    """Return outcomes without personal data in their texts. Raises Unavailable.

    An item is masked by itself, so that it is the same in each run.
    """
    groups: list[list[Any]] = []
    for body in bodies:
        results = [{name: result.get(name) for name in _TEXTS} for result in body["results"]]
        sample = [body["sample"]["input"], body["sample"]["output"]]
        groups += ([body["item"]], [body["item"], sample, results])
    found = await masking.mask(project_id, groups)
    masked = []
    for body, [item], [_, sample, results], counts in zip(
        bodies, found.groups[::2], found.groups[1::2], found.masked[1::2], strict=True
    ):
        given = zip(body["results"], results, strict=True)
        masked.append(
            {
                "item": item,
                "sample": {**body["sample"], "input": sample[0], "output": sample[1]},
                "results": [result | texts for result, texts in given],
                "masked_values": sum(counts),
            }
        )
    return masked


def _key(run: RunRecord, chunk: str) -> str:
    return f"{run.folder}/items/{chunk}"
