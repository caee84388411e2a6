"""The `finetuned files` commands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from finetuned.types import FileObject

from finetuned_cli import checking, complete, previews, reports, versions
from finetuned_cli import rows as row_table
from finetuned_cli.failures import WrongUsage
from finetuned_cli.formats import FormatOptions, format_of
from finetuned_cli.hints import with_commands
from finetuned_cli.listing import Limit, listed
from finetuned_cli.nouns import Noun, Table, Yes, show
from finetuned_cli.options import App
from finetuned_cli.output import Json, Out, Wide, size, span, when
from finetuned_cli.sending import send
from finetuned_cli.session import client, confirm, given, pairs
from finetuned_cli.tables import Column

app = App(
    help="Data files: upload, preview, report, list rows, clean, diff, merge.", no_args_is_help=True
)
_files = Noun(app, "files", "FILE_ID", complete=complete.files)
FileId = Annotated[
    str, typer.Argument(metavar="FILE_ID", autocompletion=complete.files, show_default=False)
]


@app.command()
def upload(
    path: Annotated[Path, typer.Argument(metavar="PATH", show_default=False)],
    purpose: Annotated[
        Literal["fine-tune", "evals", "batch", "user_data", "model-import"],
        typer.Option(help="Purpose of the file."),
    ] = "fine-tune",
    wait: Annotated[bool, typer.Option(help="Wait until the rows are validated.")] = True,
    column: Annotated[
        list[str] | None, typer.Option(help="FIELD=COLUMN, such as prompt=Frage; repeatable.")
    ] = None,
    encoding: Annotated[str | None, typer.Option(help="Text encoding, such as gb18030.")] = None,
    system: Annotated[str | None, typer.Option(help="System message for rows without one.")] = None,
    options: FormatOptions = None,
    resume: Annotated[bool, typer.Option(help="Resume an interrupted upload.")] = True,
    as_json: Json = False,
) -> None:
    """Upload a data file: JSON, a table, an export of another tool, or a document such as a PDF."""
    out = Out(as_json)
    form = format_of(options) | given(encoding=encoding, system=system)
    if column:
        form["columns"] = {**form.get("columns", {}), **pairs(column, "--column")}
    with client() as server:
        file = send(server, path, out, purpose=purpose, format=form or None, resume=resume)
        if wait and purpose == "fine-tune":
            file = server.files.wait(file.id)
    show(file, _facts, out)


app.command()(checking.check)


_files.list(
    "List the project's files, newest first.",
    Table(
        [
            *("id", Column("name", 1, cut="end"), Column("purpose", 4), Column("status", 2)),
            *(Column("rows", 3), Column("size", 6), Column("created", 5)),
        ],
        lambda f: (
            f.id,
            f.filename,
            f.purpose,
            f.status,
            f.rows,
            size(f.bytes),
            when(f.created_at),
        ),
        "no files yet: `finetuned files upload PATH`",
    ),
    limit=20,
    options={"purpose": (Annotated[str | None, typer.Option(help="Purpose to filter by.")], None)},
)


def _facts(file: FileObject) -> list[tuple[str, object]]:
    found = file.found if isinstance(file.found, dict) else {}
    return [
        ("id", file.id),
        ("name", file.filename),
        ("purpose", file.purpose),
        ("status", file.status),
        ("details", file.status_details and with_commands(file.status_details)),
        ("rows", file.rows),
        ("warnings", file.warnings),
        ("size", size(file.bytes)),
        ("found", ", ".join(str(v) for v in found.values() if isinstance(v, str))),
        ("created", when(file.created_at)),
        ("expires", when(file.expires_at)),
    ]


_files.show("Show a file.", _facts)


@app.command()
def preview(
    file_id: FileId,
    options: FormatOptions = None,
    limit: Annotated[int, typer.Option(help="Maximum number of rows.", min=1, max=100)] = 20,
    as_json: Json = False,
) -> None:
    """Show how the first rows of a file are read, and the format options that it allows.

    Options replace those of the upload. Exits with 5 if the file cannot be read as a whole.
    """
    out = Out(as_json)
    with client() as server:
        form: Any = given(format=format_of(options) or None)
        found = server.datasets.preview(file_id=file_id, limit=limit, **form)
    previews.show(found, out)
    if found.error is not None:
        raise typer.Exit(5)


@app.command()
def report(
    file_id: FileId,
    model: Annotated[
        str | None,
        typer.Option(help="Base model whose tokenizer is used.", autocompletion=complete.bases),
    ] = None,
    validation_file: Annotated[
        str | None, typer.Option(help="Check for rows shared with this file.")
    ] = None,
    form: Annotated[
        Literal["md", "html"] | None, typer.Option("--format", help="Print the full report.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the report to a file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show statistics, findings and advice on a file. Exits with 5 if any rows are invalid."""
    out = Out(as_json)
    options: Any = given(
        models=None if model is None else [model], validation_file_id=validation_file
    )
    with client() as server:
        if form is not None or output is not None:
            chosen = form or ("html" if output and output.suffix in (".html", ".htm") else "md")
            text = server.datasets.report_text(file_id=file_id, format=chosen, **options)
            if output is None:
                out.raw(text)
            else:
                output.write_text(text, "utf-8")
                out.say(f"written to {output}")
            return
        found = server.datasets.report(file_id=file_id, **options)
    reports.show(found, out)
    if found.validation.errors:
        raise typer.Exit(5)


@app.command()
def rows(
    file_id: FileId,
    issue: Annotated[
        str | None, typer.Option(help="Code of a finding that the rows have, such as refusal.")
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="Language of the rows, by its code, such as ja.")
    ] = None,
    max_score: Annotated[
        float | None, typer.Option(min=0, max=1, help="Highest score of the rows, such as 0.6.")
    ] = None,
    sort: Annotated[
        Literal["line", "score"],
        typer.Option(help="Order: that of the file, or the lowest scores first."),
    ] = "line",
    model: Annotated[
        str | None,
        typer.Option(help="Base model of the report.", autocompletion=complete.bases),
    ] = None,
    limit: Limit = 20,
    after: Annotated[
        int | None, typer.Option(help="Continue after the row at this line.", metavar="LINE")
    ] = None,
    wide: Wide = False,
    as_json: Json = False,
) -> None:
    """List the rows of a data set with their scores and findings."""
    out = Out(as_json)
    with client() as server:
        found = listed(
            server.datasets.rows,
            out,
            file_id,
            issue=issue,
            language=language,
            max_score=max_score,
            sort=sort,
            models=None if model is None else [model],
            after=after,
            limit=limit,
        )
    row_table.show(found, out, wide=wide)


@app.command()
def clean(
    file_id: FileId,
    contradictions: Annotated[
        Literal["keep", "first", "last", "most_common", "longest", "drop"],
        typer.Option(help="Answer to keep if a question has several."),
    ] = "keep",
    personal_data: Annotated[
        Literal["keep", "mask", "pseudonym"], typer.Option(help="Treatment of personal data.")
    ] = "keep",
    possible: Annotated[
        bool,
        typer.Option("--possible", help="Also treat numbers that are only possibly personal data."),
    ] = False,
    near_duplicates: Annotated[
        bool,
        typer.Option(help="Also drop rows that say the same as an earlier one in other words."),
    ] = False,
    mend_mojibake: Annotated[
        bool,
        typer.Option("--mend-mojibake", help="Repair letters that a wrong encoding damaged."),
    ] = False,
    validation_share: Annotated[
        float | None, typer.Option(help="Share of rows for a validation file.", min=0, max=0.5)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed of the split.", min=0)] = None,
    decisions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help='Decisions on single rows, such as {"line": 7, "action": "drop"} on each line.',
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Create clean files from a file. The original file is not changed.

    Drops invalid rows and exact duplicates; keeps everything else unless an option says otherwise.
    """
    out = Out(as_json)
    with client() as server:
        more: Any = given(validation_share=validation_share, seed=seed)
        if decisions:
            sent = server.files.create(decisions, purpose="user_data", resume=False)
            more["decisions_file_id"] = sent.id
        done = server.datasets.clean(
            file_id=file_id,
            **more,
            contradictions=contradictions,
            personal_data=personal_data,
            possible_personal_data=possible,
            near_duplicates=near_duplicates,
            mend_mojibake=mend_mojibake,
        )
    if out.json:
        out.value(done)
        return
    result = done.result
    assert result is not None
    took = (done.finished_at or done.created_at) - done.created_at
    out.facts(
        [
            ("training file", result.training_file_id),
            ("validation file", result.validation_file_id),
            ("diff", result.diff_file_id),
            ("rows", f"{result.source_rows} → {result.training_rows}"),
            ("held out", result.validation_rows),
            ("dropped", _counts(result.dropped)),
            ("changed", _counts(result.changed)),
            ("took", span(took)),
        ]
    )


app.command()(versions.diff)
app.command()(versions.merge)


@app.command()
def get(
    file_id: FileId,
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="Output path, or - for standard output.")
    ] = None,
    force: Annotated[bool, typer.Option(help="Overwrite an existing file.")] = False,
    as_json: Json = False,
) -> None:
    """Download a file exactly as uploaded."""
    out = Out(as_json)
    with client() as server:
        if output == "-":
            sys.stdout.buffer.write(server.files.content(file_id))
            return
        target = Path(output) if output else Path(_bare(server.files.retrieve(file_id).filename))
        if target.exists() and not force:
            raise WrongUsage(
                f"{target} already exists.", next_step="Use --force, or another path with -o PATH."
            )
        if not target.parent.is_dir():
            raise WrongUsage(f"The folder {target.parent} does not exist.")
        server.files.download(file_id, target)
    if out.json:
        out.value({"id": file_id, "path": str(target)})
    else:
        out.line(target)


@app.command()
def delete(
    file_ids: Annotated[
        list[str],
        typer.Argument(metavar="FILE_ID…", autocompletion=complete.files, show_default=False),
    ],
    cascade: Annotated[
        bool,
        typer.Option(
            "--cascade", help="Also delete the models trained on them, and their exports."
        ),
    ] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Delete files. Models trained on them are kept, unless --cascade is given."""
    out = Out(as_json)
    models = " and all models trained on it" if cascade else ""
    confirm(f"Delete {', '.join(file_ids)}{models}?", yes=yes)
    with client() as server:
        gone = [server.files.delete(file_id, cascade=cascade) for file_id in file_ids]
    for one in gone:
        for model in one.models:
            out.say(f"{model} was trained on {one.id} and is kept")
        for model in one.deleted_models:
            out.say(f"{model} was trained on {one.id} and is deleted")
        for job in one.unfinished_jobs:
            out.say(f"{job} reads {one.id} and may fail: it has not ended")
    if out.json:
        out.value(gone)
        return
    for one in gone:
        out.line(one.id)


def _bare(filename: str) -> str:
    """Reduce a server-side file name to a plain name in the current folder."""
    name = filename.replace("\\", "/").rsplit("/", 1)[-1].lstrip(".")
    return "".join(c for c in name if c.isprintable()) or "download"


def _counts(counts: dict[str, int] | None) -> str:
    return ", ".join(f"{count} {name}" for name, count in (counts or {}).items() if count)
