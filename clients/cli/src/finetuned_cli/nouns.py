"""Groups of commands for one kind of object: most of them only call a method of the client."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter, Signature
from operator import attrgetter
from typing import Annotated, Any

import typer
from finetuned import Client

from finetuned_cli.listing import After, Limit, listed
from finetuned_cli.options import App
from finetuned_cli.output import Json, Out, Wide
from finetuned_cli.session import client, confirm
from finetuned_cli.tables import Column

Facts = Callable[[Any], Iterable[tuple[str, object]]]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Skip confirmation.")]
Options = Mapping[str, tuple[Any, Any]]
"""Options of a command by their names in the client: annotation and default value."""


def show(found: Any, facts: Facts, out: Out) -> None:
    """Print one object: as JSON, or its facts."""
    if out.json:
        out.value(found)
    else:
        out.facts(facts(found))


def say(found: Any, text: str, out: Out) -> None:
    """Print one object: as JSON, or a line about it."""
    if out.json:
        out.value(found)
    else:
        out.line(text)


@dataclass(frozen=True)
class Table:
    """How objects are listed."""

    columns: Sequence[str | Column]
    row: Callable[[Any], Sequence[object]]
    empty: str = "nothing here yet"

    def show(self, found: Sequence[Any], out: Out, *, wide: bool) -> None:
        """Print objects: as JSON, or as a table."""
        if out.json:
            out.value(found)
            return
        rows = [self.row(one) for one in found]
        out.table(self.columns, rows, empty=self.empty, wide=wide)


class Noun:
    """Commands for one kind of object.

    `path` names its methods in the client, such as `evals.runs`, and `ids` the arguments that
    identify an object, such as EVAL_ID and RUN_ID.
    """

    def __init__(
        self, app: App, path: str, *ids: str, complete: Callable[..., list[str]] | None = None
    ) -> None:
        self._app, self._of = app, attrgetter(path)
        completions = [*[None] * (len(ids) - 1), complete]
        self._ids = {
            name.lower(): Annotated[
                str, typer.Argument(metavar=name, autocompletion=completion, show_default=False)
            ]
            for name, completion in zip(ids, completions, strict=True)
        }

    def list(
        self,
        about: str,
        table: Table,
        *,
        options: Options | None = None,
        limit: int | None = None,
        name: str = "list",
        method: str = "list",
        within: bool = False,
    ) -> None:
        """Add a command that lists objects. `within`: those of the object that all IDs name."""
        ids = [*self._ids] if within else [*self._ids][:-1]

        def run(out: Out, server: Client, given: dict[str, Any]) -> None:
            wide, count = given.pop("wide"), given.pop("limit")
            chosen = {key: value for key, value in given.items() if value is not None}
            at = [chosen.pop(one) for one in ids]
            found = listed(getattr(self._of(server), method), out, *at, limit=count, **chosen)
            table.show(found, out, wide=wide)

        page: Options = {"limit": (Limit, limit), "after": (After, None), "wide": (Wide, False)}
        self._add(name, about, ids, {**(options or {}), **page}, run)

    def show(
        self, about: str, facts: Facts, *, name: str = "show", method: str = "retrieve"
    ) -> None:
        """Add a command that shows an object."""

        def run(out: Out, server: Client, given: dict[str, Any]) -> None:
            show(getattr(self._of(server), method)(*given.values()), facts, out)

        self._add(name, about, [*self._ids], {}, run)

    def action(
        self,
        name: str,
        about: str,
        said: Callable[[Any], str],
        *,
        method: str | None = None,
        question: str | None = None,
        options: Options | None = None,
    ) -> None:
        """Add a command that calls a method, and says what it did."""

        def run(out: Out, server: Client, given: dict[str, Any]) -> None:
            given.pop("yes", None)
            at = [given.pop(one) for one in self._ids]
            chosen = {key: value for key, value in given.items() if value is not None}
            found = getattr(self._of(server), method or name.replace("-", "_"))(*at, **chosen)
            say(found, said(found), out)

        asked: Options = {} if question is None else {"yes": (Yes, False)}
        self._add(name, about, [*self._ids], {**(options or {}), **asked}, run, question)

    def delete(
        self,
        about: str,
        question: str | None = None,
        *,
        name: str = "delete",
        said: Callable[[Any], str] = lambda gone: str(gone.id),
    ) -> None:
        """Add a command that deletes an object, once that is confirmed."""
        self.action(name, about, said, method="delete", question=question)

    def _add(
        self,
        name: str,
        about: str,
        ids: Sequence[str],
        options: Options,
        run: Callable[[Out, Client, dict[str, Any]], None],
        question: str | None = None,
    ) -> None:
        def command(**given: Any) -> None:
            out = Out(given.pop("as_json"))
            if question is not None:
                confirm(question.format(*(given[one] for one in ids[::-1])), yes=given["yes"])
            with client() as server:
                run(out, server, given)

        wanted: dict[str, tuple[Any, Any]] = {one: (self._ids[one], Parameter.empty) for one in ids}
        wanted |= {**options, "as_json": (Json, False)}
        command.__doc__ = about
        command.__annotations__ = {key: kind for key, (kind, _) in wanted.items()}
        command.__signature__ = Signature(  # type: ignore[attr-defined]
            [
                Parameter(key, Parameter.KEYWORD_ONLY, default=default, annotation=kind)
                for key, (kind, default) in wanted.items()
            ]
        )
        self._app.command(name)(command)
