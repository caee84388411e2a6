"""The `finetuned files` commands on versions of a data set: diff and merge."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import typer
from finetuned.types import DatasetDiffContent, DatasetMerge, FileDiffRow, FileMergeSource
from rich.text import Text

from finetuned_cli import complete
from finetuned_cli.failures import WrongUsage
from finetuned_cli.listing import listed
from finetuned_cli.output import Json, Out, plain, printable
from finetuned_cli.session import client, pairs

_MAX_CHARS = 240
_MAX_SHIFTS = 8
_STYLES = {"-": "red", "+": "green"}


def diff(
    file_id: Annotated[
        str, typer.Argument(metavar="FILE_ID", autocompletion=complete.files, show_default=False)
    ],
    other_file: Annotated[
        str, typer.Argument(metavar="LATER_FILE", autocompletion=complete.files, show_default=False)
    ],
    change: Annotated[
        Literal["changed", "removed", "added"] | None,
        typer.Option(help="Kind of rows to show; all if omitted."),
    ] = None,
    limit: Annotated[int, typer.Option(help="Maximum number of rows to show.", min=0)] = 10,
    as_json: Json = False,
) -> None:
    """Show which rows differ between a file and a later one, and what shifts.

    The order of the rows does not matter.
    """
    out = Out(as_json)
    with client() as server:
        made = server.datasets.diff(file_id=file_id, other_file_id=other_file)
        found = server.dataset_diffs.content(made.id)
        rows = (
            listed(server.dataset_diffs.rows, out, made.id, change=change, limit=limit)
            if limit
            else []
        )
    if out.json:
        out.value({**plain(found), "rows": plain(rows)})
        return
    out.line(found.summary)
    out.facts(
        [
            ("unchanged", found.unchanged),
            ("changed", found.changed),
            ("removed", found.removed),
            ("added", found.added),
        ]
    )
    for shift in found.drift[:_MAX_SHIFTS]:
        out.line(f"  {shift.text}")
    for row in rows:
        _show_row(row, out)
    _say_more(found, rows, change, out)


def merge(
    file_ids: Annotated[
        list[str],
        typer.Argument(metavar="FILE_ID…", autocompletion=complete.files, show_default=False),
    ],
    name: Annotated[
        str | None, typer.Option("--name", "-o", help="Name of the merged file.")
    ] = None,
    balance: Annotated[
        Literal["none", "files", "languages"],
        typer.Option(help="Take as many rows of each file or language."),
    ] = "none",
    max_rows: Annotated[
        list[str] | None, typer.Option(help="FILE_ID=N: take at most N of its rows; repeatable.")
    ] = None,
    weight: Annotated[
        list[str] | None,
        typer.Option(help="FILE_ID=W: share relative to the others, 1 by default; repeatable."),
    ] = None,
    duplicates: Annotated[
        bool, typer.Option("--duplicates", help="Keep all copies of identical rows.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Random seed for choosing rows.", min=0)] = None,
    as_json: Json = False,
) -> None:
    """Merge files into a new file. The files are not changed.

    Identical rows are kept once. Questions that files answer differently are counted.
    """
    out = Out(as_json)
    files: dict[str, Any] = {file_id: {"file_id": file_id} for file_id in file_ids}
    for option, field, kind, given in (
        ("--max-rows", "max_rows", int, max_rows),
        ("--weight", "weight", float, weight),
    ):
        for file_id, value in pairs(given or (), option).items():
            if file_id not in files:
                raise WrongUsage(f"{option} names {file_id}, which is not merged.")
            files[file_id][field] = _number(value, kind, option)
    with client() as server:
        done = server.datasets.merge(
            list(files.values()),
            filename=name,
            exact_duplicates=not duplicates,
            balance=balance,
            seed=seed,
        )
    _show_merge(done, out)


def _number(text: str, kind: type[int | float], option: str) -> float:
    try:
        return kind(text)
    except ValueError as e:
        raise WrongUsage(f"{option} takes FILE_ID=NUMBER, not '{text}'.") from e


def _show_merge(done: DatasetMerge, out: Out) -> None:
    if out.json:
        out.value(done)
        return
    result = done.result
    assert result is not None
    languages = sorted(result.languages.items(), key=lambda one: -one[1])
    out.facts(
        [
            ("merged file", result.merged_file_id),
            ("diff", result.diff_file_id),
            ("rows", result.rows),
            *((source.file_id, _taken(source)) for source in result.sources),
            ("languages", ", ".join(f"{count} {language}" for language, count in languages)),
            ("conflicts", result.conflicts),
        ]
    )
    for group in result.conflict_examples:
        rows = " and ".join(f"line {row.line} of {row.file_id}" for row in group)
        out.say(f"different answers to one question: {rows}")


def _taken(source: FileMergeSource) -> str:
    left_out = {"duplicates": source.duplicates, "left out": source.left_out}
    more = ", ".join(f"{count} {what}" for what, count in left_out.items() if count)
    return f"{source.taken} of {source.rows}" + (f" ({more})" if more else "")


def _say_more(
    found: DatasetDiffContent, rows: list[FileDiffRow], change: str | None, out: Out
) -> None:
    counts = {"changed": found.changed, "removed": found.removed, "added": found.added}
    more = (sum(counts.values()) if change is None else counts[change]) - len(rows)
    if more > 0:
        out.say(f"… and {more} more rows: see --limit and --change")


def _show_row(row: FileDiffRow, out: Out) -> None:
    places = [f"line {line}" for line in (row.line, row.other_line) if line is not None]
    out.line(f"\n{row.change}: {' → '.join(places)}")
    before = [] if row.row is None else list(_texts(plain(row.row)))
    after = [] if row.other_row is None else list(_texts(plain(row.other_row)))
    for sign, texts, others in (("-", before, after), ("+", after, before)):
        for text in texts:
            if text not in others:
                cut = text if len(text) <= _MAX_CHARS else text[: _MAX_CHARS - 1] + "…"
                out.console.print(Text(printable(f"{sign} {cut}"), style=_STYLES[sign]))


def _texts(row: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the parts of a row that can differ, each on one line."""
    for name, value in row.items():
        if name == "messages" or (isinstance(value, list) and name.endswith("output")):
            kind = "" if name == "messages" else f"{name} "
            yield from (_message(message, f"{prefix}{kind}") for message in value)
        elif isinstance(value, Mapping):
            yield from _texts(value, prefix)
        else:
            yield f"{prefix}{name}: {json.dumps(value, ensure_ascii=False)}"


def _message(message: Mapping[str, Any], prefix: str) -> str:
    more = {key: message[key] for key in message if key not in ("role", "content")}
    parts = [message.get("content") or "", json.dumps(more, ensure_ascii=False) if more else ""]
    text = " ".join(" ".join(part for part in parts if part).split())
    return f"{prefix}{message['role']}: {text}"
