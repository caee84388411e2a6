"""The command `finetuned evals import`: the evals of an archive of `leave-openai record`."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import finetuned
import typer
from finetuned.errors import FinetunedError, RateLimited
from finetuned.types import Eval

from finetuned_cli import complete
from finetuned_cli.failures import WrongUsage
from finetuned_cli.output import Json, Out
from finetuned_cli.session import client
from finetuned_cli.tables import Column

_EVALS: Final = "evals.json"  # of an archive
_MOST_INLINE_BYTES: Final = 256 * 1024
_WAIT_S: Final = 5.0


class NotImported(FinetunedError):
    """Raised if the runs of an eval cannot be repeated."""


def import_evals(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="ARCHIVE",
            help="Folder that `leave-openai record` wrote.",
            show_default=False,
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(help="Model to run the evals with.", autocompletion=complete.models),
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(help="Model that judges answers.", autocompletion=complete.models),
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Leave out runs that cannot be repeated.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Create the evals of an archive of OpenAI's, and run them with --model.

    Creates nothing if no run of an eval can be repeated, unless --partial is given.
    """
    out = Out(as_json)
    planned, faults = _of_archive(source, judge)
    if faults and not partial:
        raise NotImported(
            "\n".join(["Nothing was created, because of these evals:", *faults]),
            next_step="Pass --partial to create them without runs.",
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
