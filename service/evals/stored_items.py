"""Stored chats as the items of a run: which ones, and how they are read.

A run has only the IDs of its chats. Each attempt reads the chats that have no outcome yet, so a
chat that was deleted in between, or expired, is neither sampled nor graded nor stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Generator, Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from service.core import clock
from service.core.errors import BadRequest, Unavailable
from service.core.redis import batched
from service.core.storage import StorageMissing
from service.datasets.limits import MAX_EVAL_ITEMS
from service.evals.data_sources import StoredResponsesSource, StoredSource
from service.evals.records import EvalRecord, RunRecord
from service.evals.sampling import given_fields
from service.files.curation.masking import Masking
from service.files.stored_chats.records import StoredChatRecord, StoredChats
from service.files.stored_chats.redaction import StoredChat
from service.reasoning import take_out
from service.web import audit_trail
from service.work.task import WorkFailed

# Larger chats are left out: a worker holds up to 192 items of each of its runs.
MAX_CHAT_BYTES: Final = 256 * 1024
_BATCH: Final = 64
_RESPONSE: Final = "resp_"
_INSTRUCTIONS: Final = ("system", "developer")  # roles of a response's instructions
_TEXTS: Final = ("input", "tools", "metadata")  # of an item
_PAUSE_S: Final = 1.0
_TRIES: Final = 3

Row = dict[str, Any]


async def select_chats(
    source: StoredSource, record: EvalRecord, stored_chats: StoredChats
) -> list[str]:
    """Return the IDs of the chats that a new run reads, oldest first.

    Filters that need the texts are left to the worker. Raises BadRequest if no chat matches, or if
    the eval is not one of stored chats.
    """
    if record.logs is None:
        raise BadRequest(
            f"Invalid value for 'data_source.source.type': the eval {record.id} has items of its "
            "own. Create an eval whose 'data_source_config' has the type 'logs', and run that.",
            param="data_source.source.type",
        )
    wanted = [*(record.logs.get("metadata") or {}).items(), *(source.metadata or {}).items()]
    are_responses = isinstance(source, StoredResponsesSource)
    reads_texts = isinstance(source, StoredResponsesSource) and source.reads_texts
    page = await stored_chats.page(
        record.project_id,
        model=source.model,
        where=lambda chat: (
            chat.id.startswith(_RESPONSE) == are_responses
            and chat.bytes <= MAX_CHAT_BYTES
            and (source.created_after is None or chat.created_at >= source.created_after)
            and (source.created_before is None or chat.created_at <= source.created_before)
            and all(pair in chat.metadata.items() for pair in wanted)
        ),
        limit=MAX_EVAL_ITEMS if reads_texts else source.limit or MAX_EVAL_ITEMS,
        oldest_first=False,
    )
    if not page.items:
        raise BadRequest(
            f"No {'response' if are_responses else 'chat completion'} of at most "
            f"{MAX_CHAT_BYTES // 1024} KiB that the project has stored matches. List them with GET "
            "/v1/chat/completions. If there are none, switch on 'capture' in the project's "
            "settings, and wait for chats.",
            param="data_source.source",
            code="no_stored_chats",
        )
    audit_trail.count(chat_completions=len(page.items))
    return [chat.id for chat in page.items[::-1]]


class StoredItems:
    """The stored chats of one attempt at a run."""

    def __init__(
        self,
        run: RunRecord,
        source: StoredSource,
        stored_chats: StoredChats,
        masking: Masking,
        path: Path,
    ) -> None:
        self._run = run
        self._source = source
        self._chats = stored_chats
        self._masking = masking
        self._path = path

    async def prepare(self, done: Collection[int]) -> tuple[int, int]:
        """Write the chats that are not done to a local file.

        Returns the number of all chats of the run, and of those that are gone. Raises WorkFailed.
        """
        try:
            raw = await self._chats.storage.get_bytes(self._run.source_key)
        except StorageMissing as e:
            raise WorkFailed("source_missing", "The items of the run are not in storage.") from e
        chat_ids: list[str] = [msgspec.json.decode(line) for line in raw.splitlines()]
        source = self._source
        if self._run.items is None and isinstance(source, StoredResponsesSource):
            chat_ids = await self._filter(chat_ids, source)
        left = [(number, one) for number, one in enumerate(chat_ids) if number not in done]
        written = 0
        with self._path.open("wb") as file:
            for some in batched(left, _BATCH):
                rows = await self._read(dict(some))
                written += len(rows)
                lines = [msgspec.json.encode(row) + b"\n" for row in rows.items()]
                await asyncio.to_thread(file.writelines, lines)
        if not written and not done:
            raise WorkFailed(
                "no_stored_chats",
                "All stored chats of the run were deleted, or they expired, before it began.",
            )
        return len(chat_ids), len(left) - written

    def items(self) -> Generator[tuple[int, Row]]:
        """Yield the number and the row of each chat that `prepare` wrote, in order."""
        with self._path.open("rb") as file:
            for line in file:
                number, row = msgspec.json.decode(line)
                yield number, row

    async def is_there(self, row: Row) -> bool:
        """Return whether the chat of a row still exists, and has not expired."""
        return await self._chats.get(self._run.project_id, row["item"]["id"]) is not None

    async def _filter(self, chat_ids: list[str], source: StoredResponsesSource) -> list[str]:
        """Return the IDs of the newest chats that match, and store them as those of the run."""
        if not source.reads_texts:
            return chat_ids
        found: list[str] = []
        limit = source.limit or MAX_EVAL_ITEMS
        for some in batched(chat_ids[::-1], _BATCH):
            found += [chat.id for _, chat in await self._stored(some) if _matches(chat, source)]
            if len(found) >= limit:
                break
        if not found:
            raise WorkFailed("no_stored_chats", "No stored response matches the filters.")
        found = found[:limit][::-1]
        data = b"\n".join(map(msgspec.json.encode, found))
        await self._chats.storage.put_bytes(self._run.source_key, data)
        return found

    async def _stored(self, chat_ids: Iterable[str]) -> list[tuple[StoredChatRecord, StoredChat]]:
        records = await self._chats.records.get_many(self._run.project_id, chat_ids)
        now_s = clock.now_s()
        return await self._chats.read_all([one for one in records if not one.expired(now_s)])

    async def _read(self, chat_ids: dict[int, str]) -> dict[int, Row]:
        """Return the rows of chats by item number, without those that are gone."""
        found = {
            record.id: as_row(record, chat)
            for record, chat in await self._stored(chat_ids.values())
        }
        rows = {number: found[one] for number, one in chat_ids.items() if one in found}
        if self._source.personal_data == "mask":
            return dict(zip(rows, await self._masked([*rows.values()]), strict=True))
        return rows

    async def _masked(self, rows: list[Row]) -> list[Row]:
        """Return rows without personal data. A row is masked by itself."""
        groups = [
            [
                {name: row["item"].get(name) for name in _TEXTS},
                row["sample"].get("output_text"),
                row["sample"].get("output_tools"),
            ]
            for row in rows
        ]
        for attempt in range(_TRIES):
            try:
                masked = await self._masking.mask(self._run.project_id, groups)
                break
            except Unavailable as e:
                if attempt == _TRIES - 1:
                    raise WorkFailed(
                        "masking_failed",
                        "Personal data in the chats could not be masked. Create the run again.",
                    ) from e
                await asyncio.sleep(_PAUSE_S)
        return [
            {
                "item": row["item"] | given_fields(**item),
                "sample": row["sample"] | given_fields(output_text=text, output_tools=calls),
            }
            for row, (item, text, calls) in zip(rows, masked.groups, strict=True)
        ]


def as_row(record: StoredChatRecord, chat: StoredChat) -> Row:
    """Return a stored chat as a row: the item, and the stored answer as the sample."""
    *asked, answer = chat.row["messages"]
    return {
        "item": {
            "input": asked,
            **given_fields(tools=chat.row.get("tools")),
            "metadata": record.metadata,
            "id": record.id,
            "model": record.model,
            "created_at": record.created_at,
        },
        "sample": {
            "model": record.model,
            "output_text": take_out(answer.get("content") or "")[1],
            **given_fields(output_tools=answer.get("tool_calls")),
            "finish_reason": chat.finish_reason,
            "usage": chat.usage or {},
        },
    }


def _matches(chat: StoredChat, source: StoredResponsesSource) -> bool:
    """Return whether a response matches the filters that need its content."""
    first = chat.row["messages"][0]
    instructions = (first.get("content") or "") if first["role"] in _INSTRUCTIONS else ""
    functions = {tool["function"]["name"] for tool in chat.row.get("tools") or ()}
    asked = {
        name: getattr(source, name)
        for name in ("reasoning_effort", "temperature", "top_p")
        if getattr(source, name) is not None
    }
    return (
        (source.instructions_search or "").casefold() in instructions.casefold()
        and functions >= {*(source.tools or ())}
        and all(chat.sampling.get(name) == value for name, value in asked.items())
    )
