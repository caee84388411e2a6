"""Records chats in an API process: copies them as they pass, has them redacted, and stores them.

Responses of `/v1/responses` are chats, too. Recording never delays or fails a request. Memory is
bounded: chats that do not fit, or cannot be stored soon, are dropped and counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import sys
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import msgspec

from service.core import clock, metrics, tasks
from service.core.child import Child, environment
from service.core.redis import REDIS_ERRORS, Client, Purpose, writing_for
from service.core.storage import QuotaExceeded, Storage, StorageError, StorageFull
from service.files.curation.recognizers.records import Recognizers
from service.files.stored_chats.records import StoredChatRecord, StoredChats, TooManyChats, is_id
from service.files.stored_chats.redaction import CHATS, RESPONSES, Recorded, Redacted, StoredChat
from service.projects.records import Projects
from service.web.auth import Capture, Principal

log = logging.getLogger(__name__)

PATHS: Final = frozenset({CHATS, RESPONSES})
MAX_CHAT_BYTES: Final = 1024 * 1024  # of a request and its answer together
MAX_HELD_BYTES: Final = 32 * 1024 * 1024  # of all chats
MAX_WAITING: Final = 256
_STORE_S: Final = 60.0  # includes the start of the child process on a busy machine
_IDLE_S: Final = 60.0  # after which the child process ends
_DRAIN_S: Final = 5.0
_DAY_S: Final = 24 * 3600


class _StoreOption(msgspec.Struct):
    store: bool | None = None


_decode_store = msgspec.json.Decoder(_StoreOption).decode


class Recording:
    """A copy of a chat in progress."""

    __slots__ = ("_answer", "_recorder", "body", "dropped", "path", "project_id", "size")

    def __init__(self, recorder: Recorder, project_id: str, path: str, body: bytes) -> None:
        self._recorder = recorder
        self._answer: list[bytes] = []
        self.project_id = project_id
        self.path = path
        self.body = body
        self.size = len(body)
        self.dropped: str | None = None
        """Reason why the chat will not be stored; None if it will."""

    @property
    def answer(self) -> bytes:
        """The body of the response so far."""
        return b"".join(self._answer)

    def keep(self, chunk: bytes) -> None:
        """Copy a part of the response's body."""
        if self.dropped is None:
            self._answer.append(chunk)
            self.size += len(chunk)
            self._recorder.hold(self, len(chunk))

    def end(self, status: int) -> None:
        """End the copy. If the response was not a success, nothing is stored."""
        self._recorder.take(self, is_success=status == 200)

    def drop(self, why: str) -> None:
        """Forget the chat."""
        self.dropped, self.body, self.size = why, b"", 0
        self._answer.clear()


class Recorder:
    """Stores the chats of projects whose capture is on."""

    def __init__(self, stored_chats: StoredChats, projects: Projects) -> None:
        self.stored_chats = stored_chats
        self._projects = projects
        self._recognizers = Recognizers(stored_chats.redis)
        self.held_bytes = 0
        """Bytes of the chats that are in progress or queued."""
        self._waiting: deque[Recording] = deque()
        self._arrived = asyncio.Event()
        self._done = asyncio.Event()
        self._done.set()
        self._child: Child | None = None

    @property
    def child_pid(self) -> int | None:
        """ID of the child process that redacts, if it is running."""
        return None if self._child is None else self._child.pid

    def begin(
        self, caller: Principal, path: str, names: tuple[str, str], body: bytes
    ) -> Recording | None:
        """Return a recording to fill, or None if the chat should not be stored.

        `names` are the requested name of the model, such as an alias, and its own name.
        """
        capture = caller.capture
        if capture is None or path not in PATHS or not _is_chosen(capture, names, body):
            return None
        recording = Recording(self, caller.project_id, path, body)
        self.hold(recording, recording.size)
        return recording

    def hold(self, recording: Recording, more: int) -> None:
        """Count more bytes of a recording. It is dropped if they are too many."""
        self.held_bytes += more
        if recording.size > MAX_CHAT_BYTES:
            self._drop(recording, "too_large")
        elif self.held_bytes > MAX_HELD_BYTES:
            self._drop(recording, "buffer_full")

    def take(self, recording: Recording, *, is_success: bool) -> None:
        """Queue a recording that has ended."""
        if not is_success:
            self._drop(recording, "no_answer")
            return
        if len(self._waiting) >= MAX_WAITING and recording.dropped is None:
            self._drop(recording, "buffer_full")
        if recording.dropped is not None:
            _count(recording.dropped)
            return
        self._waiting.append(recording)
        self._arrived.set()
        self._done.clear()

    def _drop(self, recording: Recording, why: str) -> None:
        self.held_bytes -= recording.size
        recording.drop(why)

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Store chats while the context is open, and finish the queue at its end."""
        task = asyncio.create_task(tasks.keep("capture", self._run), name="capture")
        try:
            yield
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_DRAIN_S):
                    await self._done.wait()
            await tasks.end(task)
            await self._end_child()
            for _ in self._waiting:
                _count("shut_down")

    async def _run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(_IDLE_S):
                    await self._arrived.wait()
            except TimeoutError:
                await self._end_child()
                continue
            self._arrived.clear()
            while self._waiting:
                recording = self._waiting.popleft()
                try:
                    _count(await self._try_to_store(recording))
                finally:
                    self.held_bytes -= recording.size
            self._done.set()

    async def _try_to_store(self, recording: Recording) -> str:
        """Store a chat, and return the outcome as the metric names it."""
        try:
            async with asyncio.timeout(_STORE_S):
                with writing_for(Purpose.CREATE):
                    return await self._store(recording)
        except QuotaExceeded:
            return "quota_exceeded"
        except StorageFull:
            return "storage_full"
        except TooManyChats:
            return "project_full"
        except (StorageError, *REDIS_ERRORS, TimeoutError) as e:
            log.info("a chat is not stored: %s", type(e).__name__)
            return "unavailable"
        except Exception as e:  # noqa: BLE001 - a traceback could contain its text
            log.error("a chat could not be stored: %s", type(e).__name__)
            return "failed"

    async def _store(self, recording: Recording) -> str:
        project = await self._projects.get(recording.project_id)
        if project is None or project.archived_at is not None or project.capture is None:
            return "switched_off"
        capture = project.capture
        answer = await self._redact(
            Recorded(
                path=recording.path,
                body=recording.body,
                answer=recording.answer,
                redaction=capture.redaction,
                possible_personal_data=capture.possible_personal_data,
                recognizers=await self._recognizers.all(project.id),
            )
        )
        if (chat := answer.chat) is None:
            return answer.refused.reason if answer.refused else "failed"
        if not is_id(chat.id):
            return "unsupported"
        data = msgspec.json.encode(chat)
        is_new = await self.stored_chats.add(_record(project.id, chat, capture, len(data)), data)
        return "stored" if is_new else "duplicate"

    async def _redact(self, recorded: Recorded) -> Redacted:
        """Have the child process redact a chat. It is started if it is not running."""
        if self._child is None:
            self._child = await Child.start(
                [sys.executable, "-m", "service.files.stored_chats.redaction"],
                env=environment(),
                stderr=Path("/dev/null"),  # a library might quote the text
            )
        try:
            await self._child.send(msgspec.json.encode(recorded) + b"\n")
            async for line in self._child.lines():
                return msgspec.json.decode(line, type=Redacted)
        except BaseException:
            await self._end_child()  # a late answer must not be taken for the next chat's
            raise
        await self._end_child()
        return Redacted()

    async def _end_child(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            await child.kill()


@contextlib.asynccontextmanager
async def recording(redis: Client, storage: Storage, projects: Projects) -> AsyncIterator[Recorder]:
    """Provide a recorder that stores chats while the context is open."""
    recorder = Recorder(StoredChats(redis, storage), projects)
    async with recorder.writing():
        yield recorder


def _is_chosen(capture: Capture, names: tuple[str, str], body: bytes) -> bool:
    if capture.models is not None and not set(names) & set(capture.models):
        return False
    if b'"store"' in body and (store := _decode_store(body).store) is not None:
        return store
    return random.random() < capture.sampling  # noqa: S311 - no secret


def _record(project_id: str, chat: StoredChat, capture: Capture, size: int) -> StoredChatRecord:
    now_s = clock.now_s()
    return StoredChatRecord(
        id=chat.id,
        project_id=project_id,
        created_at=now_s,
        model=chat.model,
        finish_reason=chat.finish_reason,
        expires_at=now_s + capture.expires_after_days * _DAY_S,
        bytes=size,
        metadata=chat.metadata,
        redactions=sum(chat.redactions.values()),
    )


def _count(outcome: str) -> None:
    metrics.CAPTURES.cell(outcome).inc()
