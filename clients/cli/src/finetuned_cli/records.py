"""Commands that only read and delete: receipts, recognizers, evals and batches."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from finetuned.errors import OperationFailed
from finetuned.types import Batch, ErasureReceipt, Eval, EvalRun

from finetuned_cli import complete, eval_files
from finetuned_cli.failures import WrongUsage
from finetuned_cli.nouns import Noun, Table, say
from finetuned_cli.options import App
from finetuned_cli.output import Json, Out, when
from finetuned_cli.session import client, pairs
from finetuned_cli.tables import Column

# Receipts: what deletions removed, signed by the server.
receipts = App(help="Receipts of deleted files and models.", no_args_is_help=True)
_receipts = Noun(receipts, "erasure_receipts", "RECEIPT_ID")
Of = Annotated[
    str | None,
    typer.Option("--of", metavar="ID", help="Deleted object, such as a file."),
]
_receipts.list(
    "List the receipts of what was deleted and of what expired, newest first.",
    Table(
        ["id", "status", "erased", "objects", "when"],
        lambda r: (r.id, r.status, r.subject_id, f"{len(r.objects):,}", when(r.requested_at)),
        "nothing was deleted yet",
    ),
    options={"subject_id": (Of, None)},
)


@receipts.command("show")
def show_receipt(
    receipt_id: Annotated[str, typer.Argument(metavar="RECEIPT_ID", show_default=False)],
    as_json: Json = False,
) -> None:
    """Show a receipt. Save it with --json; `finetuned-server erasure verify` checks it later."""
    out = Out(as_json)
    with client() as server:
        found: ErasureReceipt = server.erasure_receipts.retrieve(receipt_id)
    if out.json:
        out.value(found)
        return
    out.line(f"{found.subject} {found.subject_id}: {found.status}")
    for one in found.objects:
        out.line(f"{one.sha256}  {one.bytes:>14,}  {one.key}")


# Recognizers: kinds of personal data that the project defines.
recognizers = App(
    help="Personal data that only your project has, such as customer numbers.",
    no_args_is_help=True,
)
_recognizers = Noun(recognizers, "recognizers", "NAME")
_recognizers.list(
    "List the project's recognizers, newest first.",
    Table(
        ["name", Column("pattern", 1, cut="end"), "terms", "created"],
        lambda r: (r.id, r.pattern or "", f"{len(r.terms):,}", when(r.created_at)),
        "no recognizers yet: `finetuned recognizers set NAME --pattern REGEX`",
    ),
)
_recognizers.show(
    "Show a recognizer with its pattern and its terms.",
    lambda r: [("name", r.id), ("pattern", r.pattern), ("terms", ", ".join(r.terms))],
)


@recognizers.command("set")
def set_recognizer(
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False)],
    pattern: Annotated[
        str | None, typer.Option(metavar="REGEX", help="Regular expression in RE2 syntax.")
    ] = None,
    terms: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File with one word or phrase per line.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Define a kind of personal data, or replace its definition."""
    words = [] if terms is None else terms.read_text("utf-8").splitlines()
    found = [word for word in words if word.strip()]
    with client() as server:
        made = server.recognizers.set(name, pattern=pattern, terms=found)
    say(made, made.id, Out(as_json))


_recognizers.delete("Delete a recognizer. Files that were cleaned with it remain as they are.")

# Evals, and their runs.
evals = App(help="Evaluations of models with graders, and their runs.", no_args_is_help=True)
_evals = Noun(evals, "evals", "EVAL_ID")
_REQUIRED, _OPTIONAL = {"data_source_config", "testing_criteria"}, {"name", "metadata"}


def _read(path: Path, option: str) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as e:
        raise WrongUsage(f"{option}: {path} cannot be read as JSON: {e}") from None


@evals.command("create")
def create_eval(
    request: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="JSON file with `data_source_config`, `testing_criteria` and, optionally, `name`.",
            show_default=False,
        ),
    ],
    as_json: Json = False,
) -> None:
    """Create an eval: what its rows look like, and the graders that judge the answers."""
    fields = _read(request, "FILE")
    if not isinstance(fields, dict) or not _REQUIRED <= fields.keys() <= _REQUIRED | _OPTIONAL:
        raise WrongUsage(
            f"FILE: {request} is not a JSON object with the fields of an eval.",
            next_step=f"Required: {', '.join(sorted(_REQUIRED))}. "
            f"Optional: {', '.join(sorted(_OPTIONAL))}.",
        )
    with client() as server:
        made = server.evals.create(**fields)
    say(made, made.id, Out(as_json))


_evals.list(
    "List the project's evals, newest first.",
    Table(
        ["id", Column("name", 1, cut="end"), Column("graders", 3), Column("created", 2)],
        lambda e: (e.id, e.name, len(e.testing_criteria), when(e.created_at)),
        "no evals yet: `finetuned evals create FILE`",
    ),
    limit=20,
)


def _eval_facts(found: Eval) -> list[tuple[str, object]]:
    graders = ", ".join(str(grader.name) for grader in found.testing_criteria)
    return [
        *(("id", found.id), ("name", found.name), ("graders", graders)),
        ("created", when(found.created_at)),
    ]


_evals.show("Show an eval.", _eval_facts)
_evals.delete(
    "Delete an eval and its runs.", "Delete {} and its runs?", said=lambda gone: str(gone.eval_id)
)

_runs = Noun(evals, "evals.runs", "EVAL_ID", "RUN_ID")


@evals.command()
def run(
    eval_id: Annotated[str, typer.Argument(metavar="EVAL_ID", show_default=False)],
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="JSON file with the data source of the run.", show_default=False
        ),
    ],
    name: Annotated[str | None, typer.Option(help="Name of the run.")] = None,
    wait: Annotated[bool, typer.Option(help="Wait until the run has ended.")] = True,
    as_json: Json = False,
) -> None:
    """Run an eval, and wait for the result."""
    out = Out(as_json)
    with client() as server:
        made = server.evals.runs.create(eval_id, data_source=_read(source, "FILE"), name=name)
        if wait:
            out.say(f"created {made.id}")
            made = server.evals.runs.wait(eval_id, made.id)
    if out.json:
        out.value(made)
    else:
        out.facts(_run_facts(made))
    if wait and made.status != "completed":
        raise OperationFailed(
            f"The run ended early: {made.error.message if made.error else made.status}",
            code=made.error.code if made.error else made.status,
        )


_runs.list(
    "List the runs of an eval, newest first.",
    Table(
        ["id", "status", Column("name", 2, cut="end"), Column("passed", 1), Column("created", 3)],
        lambda r: (r.id, r.status, r.name, _passed(r), when(r.created_at)),
        "no runs yet: `finetuned evals run EVAL_ID FILE`",
    ),
    limit=20,
    name="runs",
)


def _passed(found: EvalRun) -> str:
    return f"{found.result_counts.passed} of {found.result_counts.total}"


def _run_facts(found: EvalRun) -> list[tuple[str, object]]:
    counts = found.result_counts
    return [
        *(("id", found.id), ("status", found.status), ("name", found.name)),
        *(("model", found.model), ("passed", _passed(found)), ("failed", counts.failed)),
        *(("errors", counts.errored), ("error", found.error and found.error.message)),
        ("created", when(found.created_at)),
    ]


_runs.show("Show a run of an eval, with its counts.", _run_facts, name="show-run")
_runs.action("cancel-run", "Cancel a run.", lambda r: f"{r.id} is {r.status}", method="cancel")
_runs.delete("Delete a run.", "Delete {}?", name="delete-run", said=lambda gone: str(gone.run_id))


@evals.command()
def compare(
    eval_id: Annotated[str, typer.Argument(metavar="EVAL_ID", show_default=False)],
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN_ID RUN_ID …", help="Ended runs; the first is the baseline."),
    ],
    limit: Annotated[int, typer.Option(help="Number of items to show, up to 50.")] = 10,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the comparison as Markdown.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare runs of an eval: differences with intervals, and the items that got worse."""
    out, names = Out(as_json), ",".join(runs)
    with client() as server:
        found = json.loads(server.evals.compare(eval_id, runs=names, limit=limit))
        if report is not None:
            text = server.evals.compare(eval_id, runs=names, limit=limit, format="md")
            report.write_text(text, "utf-8")
            out.say(f"The comparison is in {report}.")
    if out.json:
        out.value(found)
        return
    out.table(
        [
            *("run", Column("metric", 1), Column("mean", 2), Column("difference", 1)),
            *(Column("95%", 1), Column("worse", 3), Column("tokens", 4), Column("seconds", 5)),
        ],
        [row for run in found["runs"] for row in _compared(run)],
    )
    for item in found["items"]:
        if item["change"] == "equal":
            break
        out.line("")
        out.line(f"{item['change']}: {json.dumps(item['datasource_item'], ensure_ascii=False)}")
        for output in item["outputs"]:
            out.line(f"  {output['run_id']} {output['status']}: {output['answer']}")


def _compared(run: Any) -> Iterator[tuple[object, ...]]:
    differences = {one["metric"]: one for one in run["differences"]}
    for score in run["scores"]:
        change = differences.get(score["metric"], {})
        low, high, mean = change.get("low"), change.get("high"), change.get("mean")
        yield (
            *(run["run_id"], score["metric"], _rounded(score["mean"])),
            "" if mean is None else f"{mean:+.3f}",
            "" if low is None else f"[{low:+.3f}, {high:+.3f}]",
            change.get("worse", ""),
            *(_rounded(run["completion_tokens"]), _rounded(run["latency_s"])),
        )


def _rounded(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


eval_files.add_to(evals)

# Batches
batches = App(help="Batches of inference requests.", no_args_is_help=True)
_batches = Noun(batches, "batches", "BATCH_ID")
Endpoint = Literal["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings"]


@batches.command("create")
def create_batch(
    file_id: Annotated[
        str, typer.Argument(metavar="FILE_ID", autocompletion=complete.files, show_default=False)
    ],
    endpoint: Annotated[
        Endpoint, typer.Option(help="Route of the requests.")
    ] = "/v1/chat/completions",
    metadata: Annotated[list[str] | None, typer.Option(help="KEY=VALUE; repeatable.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the batch has ended.")] = False,
    as_json: Json = False,
) -> None:
    """Send the requests of a file with the purpose `batch`. The answers come as files."""
    out = Out(as_json)
    with client() as server:
        made = server.batches.create(
            input_file_id=file_id,
            endpoint=endpoint,
            completion_window="24h",
            metadata=pairs(metadata, "--metadata") if metadata else None,
        )
        if wait:
            made = server.batches.wait(made.id)
    if out.json or not wait:
        say(made, made.id, out)
    else:
        out.facts(_batch_facts(made))
    if wait and made.status != "completed":
        raise OperationFailed(f"{made.id} is {made.status}.", code=made.status)


_batches.list(
    "List the project's batches, newest first.",
    Table(
        ["id", "status", Column("route", 3), Column("done", 1), Column("created", 2)],
        lambda b: (b.id, b.status, b.endpoint, _done(b), when(b.created_at)),
        "no batches yet: `finetuned batches create FILE_ID`",
    ),
    limit=20,
)


def _done(found: Batch) -> str:
    counts = found.request_counts
    return f"{counts.completed + counts.failed} of {counts.total}" if counts else ""


def _batch_facts(found: Batch) -> list[tuple[str, object]]:
    errors = (found.errors and found.errors.data) or []
    return [
        *(("id", found.id), ("status", found.status), ("route", found.endpoint)),
        *(("done", _done(found)), ("failed", found.request_counts and found.request_counts.failed)),
        *(("answers", found.output_file_id), ("errors", found.error_file_id)),
        *(("error", one.message) for one in errors),
        *(("created", when(found.created_at)), ("expires", when(found.expires_at))),
    ]


_batches.show("Show a batch, with the files of its answers and errors.", _batch_facts)
_batches.action(
    "cancel", "Cancel a batch. Its answers are kept.", lambda b: f"{b.id} is {b.status}"
)
