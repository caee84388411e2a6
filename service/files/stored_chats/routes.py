"""`/v1/chat/completions`: the stored chat completions of a project, as in the OpenAI API.

The gateway serves `POST`. Chats are stored only while the project's `capture` is on.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request
from starlette.types import Scope

from service.core.errors import NotFound
from service.core.records import Missing
from service.files.records import Files
from service.files.schemas import FileObject
from service.files.stored_chats.records import StoredChatRecord, StoredChats
from service.files.stored_chats.redaction import StoredChat
from service.files.stored_chats.schemas import (
    CreateStoredChatFile,
    StoredChatMessage,
    StoredChatObject,
    StoredChatsDeleted,
    UpdateStoredChat,
    has_metadata,
)
from service.files.stored_chats.training_file import make_file, no_chats_error
from service.files.upload import clean_name, enqueue_check
from service.web import audit_trail
from service.web.audit_events import AuditEvent
from service.web.deps import Caller, resource
from service.web.permissions import Permission, needs
from service.web.resources import Deleted, ListOf, OldestFirst, Resource, deleted, list_of

_LIST: Final = "/v1/chat/completions"
_LIST_METHODS: Final = frozenset({"GET", "DELETE"})

router = APIRouter(prefix="/v1", tags=["Stored chats"])

Store = Annotated[StoredChats, Depends(resource("stored_chats"))]
FileStore = Annotated[Files, Depends(resource("files"))]
Model = Annotated[str | None, Query(max_length=512, description="Model to filter by.")]

_METADATA: Final = re.compile(r"metadata\[(.+)\]")
_METADATA_PARAMETER: Final[dict[str, Any]] = {
    "name": "metadata",
    "in": "query",
    "style": "deepObject",
    "explode": True,
    "required": False,
    "description": "Metadata to filter by, as `metadata[key]=value`.",
    "schema": {"type": "object", "additionalProperties": {"type": "string"}},
}


def answers(scope: Scope) -> bool:
    """Return whether these routes, not the gateway, answer a request."""
    return scope["path"] == _LIST and scope["method"] in _LIST_METHODS


async def _existing(store: Store, completion_id: str, caller: Caller) -> StoredChatRecord:
    record = await store.get(caller.project_id, completion_id)
    if record is None:
        raise _no_chat(completion_id)
    return record


Existing = Annotated[StoredChatRecord, Depends(_existing)]


def _no_chat(chat_id: str) -> NotFound:
    return NotFound(
        f"Chat completion not found: {chat_id[:80]}. A project stores chats only while "
        "its 'capture' is on, until they expire.",
        param="completion_id",
    )


async def _stored(store: Store, record: StoredChatRecord) -> StoredChat:
    chat = await store.read(record)
    if chat is None:
        raise _no_chat(record.id)
    return chat


@router.get(
    "/chat/completions",
    operation_id="listChatCompletions",
    summary="List stored chat completions",
    openapi_extra=needs(
        Permission.DATA_READ, AuditEvent.STORED_CHATS_READ, parameters=[_METADATA_PARAMETER]
    ),
)
async def list_chats(
    request: Request,
    caller: Caller,
    store: Store,
    paging: OldestFirst,
    model: Model = None,
) -> ListOf[StoredChatObject]:
    """List the stored chat completions of the project, oldest first by default. Personal data in
    them was replaced before they were stored.
    """
    wanted = {
        found[1]: value
        for name, value in request.query_params.items()
        if (found := _METADATA.fullmatch(name))
    }
    page = await Resource("chat completion").read(
        store.page(
            caller.project_id,
            model=model,
            where=lambda record: has_metadata(record, wanted),
            **paging.bounds,
        )
    )
    chats = await store.read_all(page.items)
    audit_trail.count(chat_completions=len(chats))
    return list_of(
        [StoredChatObject.from_record(record, chat) for record, chat in chats], page.has_more
    )


@router.delete(
    "/chat/completions",
    operation_id="deleteChatCompletions",
    summary="Delete all stored chat completions",
    openapi_extra=needs(Permission.DATA_ERASE, AuditEvent.STORED_CHATS_DELETED),
)
async def delete_chats(caller: Caller, store: Store, model: Model = None) -> StoredChatsDeleted:
    """Delete all stored chat completions of the project, or those of a model, with their content.
    Training files created from them are kept.
    """
    count = await store.delete(await store.list_all(caller.project_id, model=model))
    audit_trail.count(chat_completions=count)
    return StoredChatsDeleted(count=count)


@router.get(
    "/chat/completions/{completion_id}",
    operation_id="getChatCompletion",
    summary="Retrieve a stored chat completion",
    openapi_extra=needs(Permission.DATA_READ, AuditEvent.STORED_CHAT_READ),
)
async def retrieve_chat(record: Existing, store: Store) -> StoredChatObject:
    """Retrieve a stored chat completion. It is stored within seconds after its answer."""
    return StoredChatObject.from_record(record, await _stored(store, record))


@router.post(
    "/chat/completions/{completion_id}",
    operation_id="updateChatCompletion",
    summary="Update a stored chat completion",
    openapi_extra=needs(Permission.FILES_WRITE, AuditEvent.STORED_CHAT_UPDATED),
)
async def update_chat(record: Existing, body: UpdateStoredChat, store: Store) -> StoredChatObject:
    """Replace the metadata of a stored chat completion, for example to mark good answers."""
    try:
        record = await store.set_metadata(record, body.metadata or {})
    except Missing as e:
        raise _no_chat(record.id) from e
    return StoredChatObject.from_record(record, await _stored(store, record))


@router.delete(
    "/chat/completions/{completion_id}",
    operation_id="deleteChatCompletion",
    summary="Delete a stored chat completion",
    openapi_extra=needs(Permission.FILES_WRITE, AuditEvent.STORED_CHAT_DELETED),
)
async def delete_chat(record: Existing, store: Store) -> Deleted:
    """Delete a stored chat completion with its bytes."""
    await store.delete([record])
    return deleted(record.id, "chat.completion")


@router.get(
    "/chat/completions/{completion_id}/messages",
    operation_id="listChatCompletionMessages",
    summary="List the messages of a stored chat completion",
    openapi_extra=needs(Permission.DATA_READ, AuditEvent.STORED_CHAT_READ),
)
async def list_messages(
    record: Existing, store: Store, paging: OldestFirst
) -> ListOf[StoredChatMessage]:
    """List the messages of the request of a stored chat completion, oldest first by default."""
    messages = StoredChatMessage.all_of(await _stored(store, record))
    page, has_more = Resource("message").slice(messages, paging)
    return list_of(list(page), has_more)


@router.post(
    "/datasets/chat_completions",
    operation_id="createStoredChatFile",
    summary="Make a training file of stored chat completions",
    openapi_extra=needs(Permission.FILES_WRITE, AuditEvent.FILE_CREATED),
)
async def create_file(
    body: CreateStoredChatFile, caller: Caller, store: Store, files: FileStore
) -> FileObject:
    """Write stored chat completions to a file with the purpose `fine-tune`, one row for each, and
    check it like an upload. Answers that the limit of tokens cut off are left out.
    """
    caller.require(Permission.DATA_READ)
    page = await store.page(
        caller.project_id,
        model=body.model,
        where=body.covers,
        limit=body.limit,
        oldest_first=False,
    )
    if not page.items:
        raise no_chats_error()
    record = await make_file(
        store,
        files,
        caller.project_id,
        page.items[::-1],
        filename=clean_name(body.filename),
        expires_after_s=None if body.expires_after is None else body.expires_after.seconds,
    )
    audit_trail.count(chat_completions=len(page.items))
    await enqueue_check(files, record)
    return FileObject.from_record(record)
