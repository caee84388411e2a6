"""The commands `finetuned evals import` and `export`: promptfoo's files, and OpenAI's evals."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import finetuned
import typer
from finetuned.errors import BadRequest, FinetunedError, RateLimited
from finetuned.types import Eval

from finetuned_cli import complete, promptfoo
from finetuned_cli.failures import WrongUsage
from finetuned_cli.options import App
from finetuned_cli.output import Json, Out, plain
from finetuned_cli.session import client
from finetuned_cli.tables import Column

_EVALS: Final = "evals.json"  # of an archive
_MOST_INLINE_BYTES: Final = 256 * 1024
_WAIT_S: Final = 5.0
_Model = Annotated[
    str | None,
    typer.Option(help="Model to run the evals with.", autocompletion=complete.models),
]


class NotImported(FinetunedError):
    """Raised if a part of a file has no equivalent."""


def add_to(app: App) -> None:
    """Add the commands to a group."""
    app.command("import")(import_evals)
    app.command("export")(export_eval)


def import_evals(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Configuration of promptfoo, or the archive of `leave-openai record`.",
            show_default=False,
        ),
    ],
    model: _Model = None,
    judge: Annotated[
        str | None,
        typer.Option(help="Model that judges answers.", autocompletion=complete.models),
    ] = None,
    embeddings: Annotated[
        str | None, typer.Option(help="Model that creates embeddings, for `similar`.")
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Leave out what has no equivalent.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Create evals from a file of another program, and run them with --model.

    Names each line without an equivalent, and then creates nothing unless --partial is given.
    """
    out = Out(as_json)
    if source.is_dir():
        planned, faults = _of_archive(source, judge)
    else:
        planned, faults = _of_promptfoo(source, judge, embeddings)
    if faults and not partial:
        raise NotImported(
            "\n".join(["Nothing was created, because these parts have no equivalent:", *faults]),
            next_step="Change them, or pass --partial to leave them out.",
        )
    for fault in faults:
        out.say(f"left out: {fault}", "yellow")
    made = []
    with client() as server:
        evals = _create_all(server, [request for request, _ in planned])
        for created, (_, runs) in zip(evals, planned, strict=True):
            sent = [_run(server, created.id, run, model) for run in runs] if model else []
            made.append({"eval_id": created.id, "name": created.name, "runs": sent})
    if out.json:
        out.value({"evals": made, "left_out": faults})
        return
    out.table(
        ["eval", Column("name", 1, cut="end"), "runs"],
        [(one["eval_id"], one["name"], ", ".join(one["runs"])) for one in made],
        empty="no evals were found",
    )


def _create_all(server: finetuned.Client, requests: list[dict[str, Any]]) -> list[Eval]:
    """Create all evals, or none."""
    made: list[Eval] = []
    try:
        made += (server.evals.create(**request) for request in requests)
    except FinetunedError:
        for one in made:
            server.evals.delete(one.id)
        raise
    return made


_Plan = list[tuple[dict[str, Any], list[dict[str, Any]]]]
"""Requests that create evals, each with runs: a data source without its model, `content` (rows) or
`file` (a path), and a name."""


def _of_promptfoo(path: Path, judge: str | None, embeddings: str | None) -> tuple[_Plan, list[str]]:
    try:
        found = promptfoo.read(path, judge=judge, embeddings=embeddings)
    except promptfoo.ConfigurationInvalid as e:
        raise WrongUsage(str(e)) from None
    planned = []
    for one in found.evals:
        rows = [{"item": item} for item in one.items]
        runs = [
            {
                "name": label,
                "content": rows,
                "source": {
                    "type": "completions",
                    "input_messages": {"type": "template", "template": messages},
                    "sampling_params": found.sampling_params or None,
                },
            }
            for label, messages in found.prompts
        ]
        planned.append((one.request, runs))
    return planned, [f"{path}: {fault}" for fault in found.faults]


def _of_archive(folder: Path, judge: str | None) -> tuple[_Plan, list[str]]:
    """Plan the evals of an archive, each with its newest run that samples answers."""
    planned: _Plan = []
    faults = []
    for one in _read(folder / _EVALS):
        graders = [_with_judge(grader, judge) for grader in one["testing_criteria"]]
        request = {
            "name": one.get("name") or one["id"],
            "metadata": one.get("metadata") or None,
            "data_source_config": _data_source_config(one["data_source_config"], graders),
            "testing_criteria": graders,
        }
        runs = sorted(_read(folder / "evals" / one["id"] / "runs.json"), key=_created)
        found = list(filter(None, (_archived_run(folder, run) for run in runs)))
        if runs and not found:
            faults.append(f"{one['id']}: none of its runs can be repeated, as items are missing")
        planned.append((request, found[-1:]))
    return planned, faults


def _data_source_config(config: Mapping[str, Any], graders: list[Any]) -> dict[str, Any]:
    if config["type"] != "custom":  # the chats that this project stores
        return {"type": config["type"], "metadata": config.get("metadata") or None}
    properties = config["schema"].get("properties", {})
    return {
        "type": "custom",
        "item_schema": properties.get("item", {"type": "object"}),
        "include_sample_schema": "sample" in json.dumps([properties, graders]),
    }


def _created(run: Mapping[str, Any]) -> int:
    return int(run.get("created_at") or 0)


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        if path.name == _EVALS:
            raise WrongUsage(f"{path.parent} has no {_EVALS}, so it is no archive.") from None
        return []
    except (OSError, ValueError) as e:
        raise WrongUsage(f"{path} cannot be read as JSON: {e}") from None
    return found


def _with_judge(grader: Mapping[str, Any], judge: str | None) -> dict[str, Any]:
    known = {name: value for name, value in grader.items() if value is not None and name != "id"}
    if judge is not None and grader["type"] in ("label_model", "score_model"):
        known["model"] = judge
    return known


def _archived_run(folder: Path, run: Mapping[str, Any]) -> dict[str, Any] | None:
    data = dict(run.get("data_source") or {})
    given = data.pop("source", {})
    data.pop("model", None)
    if data.get("type") not in ("completions", "responses") or "input_messages" not in data:
        return None
    planned = {"name": run.get("name") or "", "source": data}
    if given.get("type") == "file_content":
        return {**planned, "content": given["content"]}
    path = folder / "files" / str(given.get("id"))
    return {**planned, "file": path} if given.get("type") == "file_id" and path.is_file() else None


def _run(server: finetuned.Client, eval_id: str, run: Mapping[str, Any], model: str) -> str:
    source: dict[str, Any] = {"type": "file_content", "content": run.get("content")}
    raw = run["file"].read_bytes() if "file" in run else _lines(run["content"])
    if "file" in run or len(raw) > _MOST_INLINE_BYTES:
        sent = server.files.create(raw, filename="items.jsonl", purpose="evals")
        source = {"type": "file_id", "id": sent.id}
    asked = {name: value for name, value in run["source"].items() if value is not None}
    data_source: Any = {**asked, "model": model, "source": source}
    name = run["name"] or None
    while True:
        with contextlib.suppress(RateLimited):  # a project may have this many unfinished runs
            return str(server.evals.runs.create(eval_id, data_source=data_source, name=name).id)
        time.sleep(_WAIT_S)


def _lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def export_eval(
    eval_id: Annotated[str, typer.Argument(metavar="EVAL_ID", show_default=False)],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write.", show_default=False)
    ],
    run_id: Annotated[
        str | None,
        typer.Option("--run", metavar="RUN_ID", help="Run with the items and the prompt."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write an eval as a configuration of promptfoo, with the items and the prompt of a run.

    Without --run, it is the newest run. Names each grader without an equivalent.
    """
    out = Out(as_json)
    with client() as server:
        found = plain(server.evals.retrieve(eval_id))
        if run_id is None:
            newest = next(iter(server.evals.runs.list(eval_id, order="desc", limit=1)), None)
            if newest is None:
                raise BadRequest(
                    f"The eval {eval_id} has no runs, so it has no items.",
                    next_step=f"Create one: finetuned evals run {eval_id} FILE",
                )
            run_id = newest.id
        run = plain(server.evals.runs.retrieve(eval_id, run_id))
        items = list(_items(server, eval_id, run_id))
    source = run["data_source"]
    messages = (source.get("input_messages") or {}).get("template")
    text, faults = promptfoo.write(
        found["name"] or eval_id, found["testing_criteria"], items, messages, run["model"]
    )
    for fault in faults:
        out.say(fault, "yellow")
    output.write_text(text, "utf-8")
    if out.json:
        out.value({"output": str(output), "items": len(items), "left_out": faults})
    else:
        out.line(f"{output}: {len(items)} tests")


def _items(server: finetuned.Client, eval_id: str, run_id: str) -> Iterator[dict[str, Any]]:
    found = server.evals.runs.output_items.list(eval_id, run_id, limit=100)
    rows = sorted(map(plain, found), key=lambda row: int(row["datasource_item_id"]))
    return (row["datasource_item"] for row in rows)
