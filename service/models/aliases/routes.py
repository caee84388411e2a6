"""Routes of `/v1/aliases`: project-defined model names, which any member key may set.

A member key may already train and delete the project's models, which is a broader permission. A
deployment pipeline that promotes a model should not hold an admin key, which grants access to
all projects.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Response

from service.core.errors import (
    ApiError,
    BadRequest,
    Conflict,
    LimitReached,
    NotFound,
    PreconditionFailed,
)
from service.core.records import Missing
from service.models.aliases.changes import (
    AliasChanged,
    Aliases,
    HasSuites,
    NameReserved,
    NoPreviousTargets,
    Precondition,
    ReasonMissing,
    TooManyAliases,
    UnknownTarget,
)
from service.models.aliases.gates import GateFailed, explain
from service.models.aliases.records import AliasRecord
from service.models.aliases.schemas import AliasChange, AliasObject, AliasSuite, SetAlias
from service.models.aliases.suites import Lows
from service.models.lookup import model_not_found
from service.web import audit_trail
from service.web.audit_events import AuditEvent
from service.web.deps import Caller, resource
from service.web.openapi.parts import headers
from service.web.path_names import ALIAS
from service.web.permissions import Permission, needs
from service.web.resources import Deleted, ListOf, Paged, Resource, deleted, list_of

router = APIRouter(prefix="/v1/aliases", tags=["Aliases"])
Store = Annotated[Aliases, Depends(resource("aliases"))]
RequireSuite = Annotated[
    Callable[[str, AliasSuite, Collection[str]], Awaitable[dict[str, Lows]]],
    Depends(resource("require_suite")),
]
"""Raises NotFound or BadRequest if a suite of a project cannot be run. Returns the limits that its
own run measured, if its model is one of these."""
_WITH_ETAG: dict[int | str, dict[str, Any]] = {
    200: {"description": "Alias object.", "headers": headers("etag")}
}


def _expected(
    if_match: Annotated[
        str | None,
        Header(
            description="Expected etag of the alias. The request fails with 412 if the alias has "
            "changed since. `*` requires that the alias exists."
        ),
    ] = None,
) -> Precondition:
    if if_match is None:
        return Precondition()
    if if_match.strip() == "*":
        return Precondition(exists=True)
    return Precondition(etag=if_match.strip().strip('"'))


def _expected_or_new(
    expected: Annotated[Precondition, Depends(_expected)],
    if_none_match: Annotated[
        str | None,
        Header(description="Only `*` is accepted. The request fails with 412 if the alias exists."),
    ] = None,
) -> Precondition:
    if if_none_match is None:
        return expected
    if if_none_match.strip() != "*" or expected != Precondition():
        raise BadRequest("If-None-Match can only be '*', and not together with If-Match.")
    return Precondition(exists=False)


IfMatch = Annotated[Precondition, Depends(_expected)]
IfMatchOrNew = Annotated[Precondition, Depends(_expected_or_new)]


@router.get(
    "",
    operation_id="listAliases",
    summary="List aliases",
    openapi_extra=needs(Permission.ALIASES_READ),
)
async def list_aliases(caller: Caller, store: Store, paging: Paged) -> ListOf[AliasObject]:
    """List the project's aliases, newest first, with their target models."""
    page = store.records.page(caller.project_id, **paging.bounds)
    return await Resource("alias", label="name").list(page, AliasObject.from_record)


@router.get(
    f"{ALIAS}/history",
    operation_id="listAliasHistory",
    summary="List an alias's changes",
    openapi_extra=needs(Permission.ALIASES_READ),
)
async def list_history(name: str, caller: Caller, store: Store) -> ListOf[AliasChange]:
    """List an alias's last 100 changes, newest first: the targets, the time and the API key."""
    await _existing(store, caller.project_id, name)
    changes = await store.history(caller.project_id, name)
    return list_of([AliasChange.from_record(c) for c in changes], has_more=False)


@router.post(
    f"{ALIAS}/rollback",
    operation_id="rollbackAlias",
    summary="Roll back an alias",
    responses=_WITH_ETAG,
    openapi_extra=needs(Permission.ALIASES_WRITE, AuditEvent.ALIAS_ROLLED_BACK),
)
async def rollback_alias(
    name: str, caller: Caller, store: Store, expected: IfMatch, response: Response
) -> AliasObject:
    """Restore the targets from before the last change, effective immediately on every replica. A
    second rollback undoes the first; send `If-Match` to avoid rolling back twice. The alias's gate
    is kept and does not apply to a rollback.
    """
    await _existing(store, caller.project_id, name)
    try:
        record = await store.rollback(
            caller.project_id, name, key_id=caller.key_id, expected=expected
        )
    except NoPreviousTargets as e:
        raise Conflict(f"The alias '{name}' has not pointed at any other model yet.") from e
    except UnknownTarget as e:
        raise Conflict(
            f"The previous model, '{e.model}', no longer exists. Point the alias at another one."
        ) from e
    except (AliasChanged, Missing) as e:
        raise _lost_race(name) from e
    return _respond(record, response)


@router.get(
    ALIAS,
    operation_id="getAlias",
    summary="Retrieve an alias",
    responses=_WITH_ETAG,
    openapi_extra=needs(Permission.ALIASES_READ),
)
async def retrieve_alias(
    name: str, caller: Caller, store: Store, response: Response
) -> AliasObject:
    """Retrieve an alias's current targets, and its `etag` for conditional changes."""
    return _respond(await _existing(store, caller.project_id, name), response)


@router.put(
    ALIAS,
    operation_id="putAlias",
    summary="Set an alias",
    responses=_WITH_ETAG,
    openapi_extra=needs(Permission.ALIASES_WRITE, AuditEvent.ALIAS_UPDATED),
)
async def set_alias(
    name: str,
    body: SetAlias,
    caller: Caller,
    store: Store,
    expected: IfMatchOrNew,
    response: Response,
    require_suite: RequireSuite,
) -> AliasObject:
    """Point an alias at a model, or split its requests between two models, in one atomic step.

    Changes take effect immediately on every replica. A name has 1 to 128 letters, digits and
    `._:/-`, so an OpenAI model name can be an alias. The name of a base model, or a name in the
    format of trained models, cannot.

    If the targets change, the trained models among them must meet the alias's gate. Otherwise the
    request fails with 409 `gate_failed`, and the message lists the failed conditions. It also fails
    if the alias has suites, and a new model was not checked or is below a bound. In a project with
    `four_eyes`, a second person must have approved the models: otherwise, the request fails with
    409 `approval_required`.
    """
    measured: dict[str, Lows] = {}
    models = {target.model for target in body.chosen()}
    for suite in body.suites or ():
        for model, lows in (await require_suite(caller.project_id, suite, models)).items():
            measured.setdefault(model, {}).update(lows)
    if body.reason is not None:
        audit_trail.give_reason(body.reason)
    try:
        record = await store.put(
            caller.project_id,
            name,
            body.chosen(),
            key_id=caller.key_id,
            gate=body.gate,
            suites=body.chosen_suites(),
            schedule=body.chosen_schedule(caller.key_id),
            force=body.force,
            reason=body.reason,
            measured=measured,
            expected=expected,
        )
    except (
        *(ValueError, NameReserved, UnknownTarget, GateFailed, TooManyAliases, AliasChanged),
        ReasonMissing,
    ) as e:
        raise _refusal(name, body, e) from e
    return _respond(record, response)


@router.delete(
    ALIAS,
    operation_id="deleteAlias",
    summary="Delete an alias",
    openapi_extra=needs(Permission.ALIASES_WRITE, AuditEvent.ALIAS_DELETED),
)
async def delete_alias(name: str, caller: Caller, store: Store, expected: IfMatch) -> Deleted:
    """Delete an alias and its history. Its target models are kept. If it has suites, remove them
    first, with a reason.
    """
    record = await _existing(store, caller.project_id, name)
    try:
        await store.delete(caller.project_id, record.id, key_id=caller.key_id, expected=expected)
    except HasSuites as e:
        raise Conflict(
            f"The alias '{name}' has suites. Remove them first, with \"suites\": [] and a 'reason' "
            "('finetuned aliases set --no-suites --reason')."
        ) from e
    except AliasChanged as e:
        raise _lost_race(name) from e
    except Missing as e:
        raise _unknown(name) from e
    return deleted(name, "alias")


async def _existing(store: Aliases, project_id: str, name: str) -> AliasRecord:
    record = await store.get(project_id, name)
    if record is None:
        raise _unknown(name)
    return record


def _respond(record: AliasRecord, response: Response) -> AliasObject:
    response.headers["etag"] = f'"{record.etag}"'
    return AliasObject.from_record(record)


def _refusal(name: str, body: SetAlias, error: Exception) -> ApiError:
    match error:
        case NameReserved():
            return BadRequest(
                f"'{name}' cannot be an alias: it is the name of a base model, or has the form of "
                f"a trained model's name. Choose another name.",
                param="name",
                code="name_reserved",
            )
        case UnknownTarget(model=model):
            return model_not_found(
                model,
                "model" if body.targets is None else "targets",
                " An alias points at base models and trained models, not at other aliases.",
            )
        case GateFailed(failed=failed):
            return Conflict(
                f"The alias '{name}' was not changed. {explain(failed)} To change it anyway, send "
                '"force": true; the history of the alias records it.',
                param="model" if body.targets is None else "targets",
                code="gate_failed",
            )
        case ReasonMissing():
            return BadRequest(
                "To override the suites of an alias, to remove one, or to lower its bound, send a "
                "'reason'.",
                param="reason",
                code="missing_required_parameter",
            )
        case TooManyAliases():
            return LimitReached(
                "The project has the maximum number of aliases. Delete one that is not used."
            )
        case AliasChanged():
            return _lost_race(name)
    return BadRequest(
        "A name has 1 to 128 letters (a-z), digits and '._:/-', begins with a letter or digit, "
        "has no empty, '.' or '..' part between slashes, and does not end in '/history' or "
        "'/rollback'.",
        param="name",
        code="invalid_value",
    )


def _lost_race(name: str) -> PreconditionFailed:
    return PreconditionFailed(
        f"The alias '{name[:200]}' does not have the version that your request expects: it was "
        f"changed in the meantime. Retrieve it again before you decide."
    )


def _unknown(name: str) -> NotFound:
    if not name:
        return NotFound(
            "Unknown request URL: /v1/aliases/. Leave out the '/' at its end, or add a name.",
            code="unknown_url",
        )
    return NotFound(f"No such alias: {name[:200]}", param="name")
