"""Aliases: project-defined names for models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from finetuned._flows.common import Page, at, listed
from finetuned._http import Request
from finetuned._steps import Flow, Items, fetch
from finetuned.errors import BadRequest
from finetuned.types import AliasChange, AliasObject, Deleted


def list_aliases(*, limit: int | None = None, after: str | None = None) -> Items[AliasObject]:
    """List the project's aliases, newest first."""
    return listed(AliasObject, "aliases", limit=limit, after=after)


def retrieve(name: str) -> Flow[AliasObject]:
    """Retrieve an alias."""
    return fetch(AliasObject, Request("GET", at("aliases", name)))


def set_alias(
    name: str,
    model: str | None = None,
    *,
    targets: Mapping[str, int] | None = None,
    gate: Mapping[str, str] | None = None,
    force: bool = False,
    if_match: str | None = None,
    create_only: bool = False,
) -> Flow[AliasObject]:
    """Point an alias at a model, or split it: `targets={"ft:…": 90, "ft:…": 10}` in percent.

    `gate={"chrf_gain": ">=5", "memorized": "==0"}` are conditions that the evaluation of a trained
    model must meet; `{}` removes them, None keeps them. Raises Conflict with the code `gate_failed`
    if a new target does not meet them, unless `force` is set, which the history records.

    `if_match` is the ETag of the version you read. Raises Conflict if it has changed since.
    """
    if (model is None) == (targets is None):
        raise BadRequest(
            "An alias needs a model or targets.", next_step="Pass exactly one of them."
        )
    shares = [{"model": m, "weight": w} for m, w in (targets or {}).items()]
    headers = _expected(if_match) | ({"if-none-match": "*"} if create_only else {})
    body: dict[str, Any] = {"model": model} if model is not None else {"targets": shares}
    if gate is not None:
        body["gate"] = dict(gate)
    if force:
        body["force"] = True
    request = Request(
        "PUT",
        at("aliases", name),
        json=body,
        headers=headers,
        repeatable=not headers,
    )
    return fetch(AliasObject, request)


def rollback(name: str, *, if_match: str | None = None) -> Flow[AliasObject]:
    """Undo the last change. A second rollback undoes the first, so send `if_match`."""
    return fetch(
        AliasObject,
        Request("POST", at("aliases", name, "rollback"), headers=_expected(if_match)),
    )


def history(name: str) -> Flow[list[AliasChange]]:
    """List the last 100 changes of an alias (who, what, when), newest first."""
    page = yield from fetch(Page[AliasChange], Request("GET", at("aliases", name, "history")))
    return page.data


def delete(name: str, *, if_match: str | None = None) -> Flow[Deleted]:
    """Delete an alias and its history. Its target models are kept."""
    return fetch(Deleted, Request("DELETE", at("aliases", name), headers=_expected(if_match)))


def _expected(etag: str | None) -> dict[str, str]:
    if etag is None:
        return {}
    return {"if-match": etag if etag == "*" else f'"{etag.strip(chr(34))}"'}
