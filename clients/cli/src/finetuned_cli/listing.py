"""Options of commands that list objects, and a note if there are more."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Annotated, Any, TypeVar

import typer

from finetuned_cli.output import Out

Limit = Annotated[int | None, typer.Option(help="Maximum number of results.", min=1, metavar="N")]
After = Annotated[str | None, typer.Option(help="Continue the list after this id.", metavar="ID")]

T = TypeVar("T")
_PAGE = 100


def listed(
    list_of: Callable[..., Iterable[T]], out: Out, *ids: str, limit: int | None, **more: Any
) -> list[T]:
    """Return up to `limit` objects. Their table says how to see the others, if there are any."""
    page = _PAGE if limit is None else min(limit + 1, _PAGE)
    results = iter(list_of(*ids, limit=page, **more))
    found = list(islice(results, limit))
    if found and next(results, None) is not None:
        last = getattr(found[-1], "id", None)
        out.say_below("There are more: pass --limit N" + (f", or --after {last}." if last else "."))
    return found
