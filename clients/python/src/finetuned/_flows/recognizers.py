"""Recognizers: what a project counts as personal data beyond the kinds that are detected."""

from __future__ import annotations

from collections.abc import Iterable

from finetuned._flows.common import at, listed
from finetuned._http import Request, body_of
from finetuned._steps import Flow, Items, fetch
from finetuned.types import Deleted, RecognizerObject


def list_recognizers(
    *, limit: int | None = None, after: str | None = None
) -> Items[RecognizerObject]:
    """List the project's recognizers, newest first."""
    return listed(RecognizerObject, "recognizers", limit=limit, after=after)


def retrieve(name: str) -> Flow[RecognizerObject]:
    """Retrieve a recognizer with its pattern and terms."""
    return fetch(RecognizerObject, Request("GET", at("recognizers", name)))


def set_recognizer(
    name: str, *, pattern: str | None = None, terms: Iterable[str] | None = None
) -> Flow[RecognizerObject]:
    """Define a kind of personal data, or replace its definition.

    `pattern` is a regular expression in RE2 syntax, such as `r"\\bC-\\d{6}\\b"`; `terms` are words
    and phrases. Reports count what is found as `name`, and cleanings replace it with `[NAME]`.
    """
    body = body_of(pattern=pattern, terms=None if terms is None else [*terms])
    return fetch(RecognizerObject, Request("PUT", at("recognizers", name), json=body))


def delete(name: str) -> Flow[Deleted]:
    """Delete a recognizer. Files that were cleaned with it remain as they are."""
    return fetch(Deleted, Request("DELETE", at("recognizers", name)))
