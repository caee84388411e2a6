"""Shell completion of names known to the server. Offers nothing if the request fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import typer
from finetuned import Client, config
from finetuned.errors import FinetunedError

_MAX = 50


def _offered(
    names: Callable[[Client], Iterator[str]],
) -> Callable[[typer.Context, str], list[str]]:
    def complete(context: typer.Context, incomplete: str) -> list[str]:
        try:
            profile = context.params.get("profile")
            with Client(profile=profile, timeout=2.0, max_retries=0) as client:
                found = (name for name in names(client) if name.startswith(incomplete))
                return list(islice(found, _MAX))
        except (FinetunedError, OSError):
            return []

    return complete


models = _offered(lambda client: (m.id for m in client.models.list()))
bases = _offered(lambda client: (m.id for m in client.models.list() if m.owned_by == "system"))
jobs = _offered(lambda client: (j.id for j in client.fine_tuning.jobs.list(limit=_MAX)))
files = _offered(lambda client: (f.id for f in client.files.list(limit=_MAX)))
aliases = _offered(lambda client: (a.id for a in client.aliases.list(limit=_MAX)))


def profiles(incomplete: str) -> list[str]:
    """Return the saved profiles that begin so."""
    try:
        return [name for name in config.profiles() if name.startswith(incomplete)]
    except FinetunedError:
        return []
