"""`/v1/aliases`: names of a project's own. Any of its keys may set them.

A member key may train and delete the project's models, which is more; and a deployment
pipeline that promotes a model should not hold an admin key, which opens all projects.
"""

from __future__ import annotations

from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from service.core.errors import ApiError, BadRequest, Conflict, NotFound
from service.core.records import Missing
from service.models.aliases.changes import (
    Aliases,
    Changed,
    Expected,
    NameReserved,
    NothingBefore,
    TooMany,
    UnknownTarget,
)
from service.models.aliases.records import AliasRecord
from service.models.aliases.schemas import AliasChange, AliasDeleted, AliasObject, SetAlias
from service.web.deps import Caller
from service.web.http import ListOf, list_of
from service.web.openapi.parts import headers

router = APIRouter(prefix="/v1/aliases", tags=["Aliases"])


def _aliases(request: Request) -> Aliases:
    return cast("Aliases", request.app.state.aliases)


def _expected(
    if_match: Annotated[
        str | None,
        Header(description="The alias's etag; 409 where it was changed since. `*`: it exists."),
    ] = None,
) -> Expected:
    if if_match is None:
        return Expected()
    if if_match.strip() == "*":
        return Expected(exists=True)
    return Expected(etag=if_match.strip().strip('"'))


def _expected_or_new(
    expected: Annotated[Expected, Depends(_expected)],
    if_none_match: Annotated[
        str | None, Header(description="`*`: 409 where the alias exists.")
    ] = None,
) -> Expected:
    if if_none_match is None:
        return expected
    if if_none_match.strip() != "*" or expected != Expected():
        raise BadRequest("If-None-Match can only be '*', and not together with If-Match.")
    return Expected(exists=False)


Store = Annotated[Aliases, Depends(_aliases)]
IfMatch = Annotated[Expected, Depends(_expected)]
IfMatchOrNew = Annotated[Expected, Depends(_expected_or_new)]
_WITH_ETAG: dict[int | str, dict[str, Any]] = {
    200: {"description": "The alias.", "headers": headers("etag")}
}


@router.get("", operation_id="listAliases", summary="List aliases")
async def list_aliases(
    caller: Caller,
    store: Store,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> ListOf[AliasObject]:
    """The project's aliases, newest first, with the models that they stand for."""
    try:
        page = await store.records.page(caller.project_id, after=after, limit=limit)
    except Missing as e:
        raise BadRequest("No alias has the name given in 'after'.", param="after") from e
    return list_of([AliasObject.of(r) for r in page.items], page.has_more)


@router.get(
    "/{name:path}/history", operation_id="listAliasHistory", summary="List changes of an alias"
)
async def list_history(name: str, caller: Caller, store: Store) -> ListOf[AliasChange]:
    """Who pointed it where and when, newest first; the last 100 changes."""
    await _existing(store, caller.project_id, name)
    changes = await store.history(caller.project_id, name)
    return list_of([AliasChange.of(c) for c in changes], has_more=False)


@router.post(
    "/{name:path}/rollback",
    operation_id="rollbackAlias",
    summary="Undo an alias's last change",
    responses=_WITH_ETAG,
)
async def rollback_alias(
    name: str, caller: Caller, store: Store, expected: IfMatch, response: Response
) -> AliasObject:
    """Sets what stood before the last change, at once on every replica. Twice in a row undoes
    itself: send `If-Match`.
    """
    await _existing(store, caller.project_id, name)
    try:
        record = await store.rollback(
            caller.project_id, name, key_id=caller.key_id, expected=expected
        )
    except NothingBefore as e:
        raise Conflict(
            f"The alias '{name}' has pointed at nothing else so far.",
            code="alias_without_previous",
        ) from e
    except UnknownTarget as e:
        raise Conflict(
            f"The model '{e.model}', which stood before, does not exist any more. "
            "Point the alias at another one.",
            code="model_not_found",
        ) from e
    except (Changed, Missing) as e:
        raise _lost_race(name) from e
    return _answer(record, response)


@router.get(
    "/{name:path}",
    operation_id="retrieveAlias",
    summary="Retrieve an alias",
    responses=_WITH_ETAG,
)
async def retrieve_alias(
    name: str, caller: Caller, store: Store, response: Response
) -> AliasObject:
    """The models that a name stands for now, and the `etag` to guard a change of it with."""
    return _answer(await _existing(store, caller.project_id, name), response)


@router.put("/{name:path}", operation_id="setAlias", summary="Set an alias", responses=_WITH_ETAG)
async def set_alias(
    name: str,
    body: SetAlias,
    caller: Caller,
    store: Store,
    expected: IfMatchOrNew,
    response: Response,
) -> AliasObject:
    """Points a name at a model, or splits its requests between two, in one step.

    Takes effect at once on every replica. Names are 1 to 128 letters, digits and `._:/-`, so
    a name of OpenAI's can be an alias. A name of a base model, or of the form in which
    trained models are named here, cannot.
    """
    try:
        record = await store.put(
            caller.project_id, name, body.chosen(), key_id=caller.key_id, expected=expected
        )
    except (ValueError, NameReserved, UnknownTarget, TooMany, Changed) as e:
        raise _refusal(name, body, e) from e
    return _answer(record, response)


@router.delete("/{name:path}", operation_id="deleteAlias", summary="Delete an alias")
async def delete_alias(name: str, caller: Caller, store: Store, expected: IfMatch) -> AliasDeleted:
    """Removes the alias and its history. The models that it pointed at stay."""
    record = await _existing(store, caller.project_id, name)
    try:
        await store.delete(caller.project_id, record.id, key_id=caller.key_id, expected=expected)
    except Changed as e:
        raise _lost_race(name) from e
    except Missing as e:
        raise _unknown(name) from e
    return AliasDeleted(id=name)


async def _existing(store: Aliases, project_id: str, name: str) -> AliasRecord:
    record = await store.get(project_id, name)
    if record is None:
        raise _unknown(name)
    return record


def _answer(record: AliasRecord, response: Response) -> AliasObject:
    response.headers["etag"] = f'"{record.etag}"'
    return AliasObject.of(record)


def _refusal(name: str, body: SetAlias, error: Exception) -> ApiError:
    match error:
        case NameReserved():
            return Conflict(
                f"'{name}' cannot be an alias: it is the name of a base model, or of the form "
                "in which trained models are named. Choose another name.",
                param="name",
                code="alias_name_reserved",
            )
        case UnknownTarget(model=model):
            return NotFound(
                f"The model '{model[:200]}' does not exist or you do not have access to it. An "
                "alias points at base models and trained models, not at other aliases.",
                param="model" if body.targets is None else "targets",
                code="model_not_found",
            )
        case TooMany():
            return Conflict(
                "The project has as many aliases as it may. Delete one that is not used.",
                code="too_many_aliases",
            )
        case Changed():
            return _lost_race(name)
    return BadRequest(
        "A name has 1 to 128 letters (a-z), digits and '._:/-', begins with a letter or digit, "
        "has no empty, '.' or '..' part between slashes, and does not end in '/history' or "
        "'/rollback'.",
        param="name",
        code="invalid_value",
    )


def _lost_race(name: str) -> Conflict:
    return Conflict(
        f"The alias '{name[:200]}' is not what your request expects: it was changed meanwhile. "
        "Read it again and decide anew.",
        code="alias_changed",
    )


def _unknown(name: str) -> NotFound:
    return NotFound(f"No such alias: {name[:200]}", param="name", code="alias_not_found")
