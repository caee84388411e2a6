"""Options of commands that list objects, and a note if there are more."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Annotated, Any, Protocol, TypeVar

import typer

from finetuned.cli.output import Out

Limit = Annotated[int | None, typer.Option(help="Maximum number of results.", min=1, metavar="N")]
After = Annotated[str | None, typer.Option(help="Continue the list after this id.", metavar="ID")]


class _Object(Protocol):
    id: str


T = TypeVar("T", bound=_Object)
_PAGE = 100


def all_pages(
    list_of: Callable[..., Iterable[T]],
    *ids: str,
    limit: int | None = None,
    after: str | None = None,
) -> Iterable[T]:
    """Return the objects of a list of OpenAI's SDK, whose `limit` is that of a page."""
    options = {} if after is None else {"after": after}
    return list_of(*ids, limit=min(limit or _PAGE, _PAGE), **options)


def listed(
    list_of: Callable[..., Iterable[T]], out: Out, *, limit: int | None, **more: Any
) -> list[T]:
    """Return up to `limit` objects. Their table says how to see the others, if there are any."""
    results = iter(list_of(limit=None if limit is None else limit + 1, **more))
    found = list(islice(results, limit))
    if found and next(results, None) is not None:
        out.say_below(f"There are more: pass --limit N, or --after {found[-1].id}.")
    return found
