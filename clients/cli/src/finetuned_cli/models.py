"""The `finetuned models` and `finetuned aliases` commands."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from finetuned import omit
from finetuned.errors import OperationFailed
from finetuned.types import (
    Alias,
    AliasChange,
    AliasCheck,
    AliasSuite,
    AliasTarget,
    Model,
    ModelOrigin,
)

from finetuned_cli import approving, complete, evidence, sharing
from finetuned_cli.failures import GateFailed, WrongUsage
from finetuned_cli.gates import parse_gate
from finetuned_cli.listing import After, Limit, listed
from finetuned_cli.nouns import Noun, say, show
from finetuned_cli.options import App
from finetuned_cli.output import Json, Out, Wide, when
from finetuned_cli.session import client, pairs
from finetuned_cli.tables import Column

app = App(help="Base models, trained models and aliases.")
aliases = App(help="Custom names for models.", no_args_is_help=True)

Name = Annotated[
    str, typer.Argument(metavar="NAME", autocompletion=complete.aliases, show_default=False)
]
IfMatch = Annotated[
    str | None, typer.Option(help="Change only if the alias still has this ETag.", metavar="ETAG")
]


@app.callback(invoke_without_command=True)
def models(context: typer.Context, wide: Wide = False, as_json: Json = False) -> None:
    """Manage base models, trained models and aliases. Lists them if no command is given."""
    if context.invoked_subcommand is None:
        list_models(wide=wide, as_json=as_json)


@app.command("list")
def list_models(
    limit: Limit = None, after: After = None, wide: Wide = False, as_json: Json = False
) -> None:
    """List all available models."""
    out = Out(as_json)
    with client() as server:
        found = listed(server.models.list, out, limit=limit, after=after)
    if out.json:
        out.value(found)
        return
    # An alias's targets are listed themselves, so they need not be copied from here.
    columns = [
        *(Column("model"), Column("kind", 1)),
        *(Column("of", 2, cut="end"), Column("created", 3)),
    ]
    names = ("context", "license", "job", "owner")
    more = [Column(name, 4) for name in names] if wide else []
    rows = [
        (
            *(m.id, _kind(m), m.base_model or _shares(m.alias_of), when(m.created or None)),
            *((m.context_length, m.license, m.fine_tuning_job, m.owned_by) if wide else ()),
        )
        for m in found
    ]
    out.table(columns + more, rows, wide=wide)


def _facts(found: Model) -> list[tuple[str, object]]:
    return [
        ("model", found.id),
        ("kind", _kind(found)),
        ("owner", None if found.owned_by == "system" else found.owned_by),
        ("base model", found.base_model),
        ("alias of", _shares(found.alias_of)),
        ("job", found.fine_tuning_job),
        ("imported from", found.origin and _origin(found.origin)),
        ("license", found.license),
        ("context", found.context_length),
        ("languages", ", ".join(found.languages or [])),
        ("created", when(found.created)),
    ]


_models = Noun(app, "models", "MODEL", complete=complete.models)
_models.show("Show a model.", _facts)
_models.delete("Delete a trained model. Its name is never reused.", "Delete {}?")
sharing.add_to(app)
app.command("evidence")(evidence.download)
approving.add_to(app)


@aliases.command("list")
def list_aliases(
    limit: Limit = None, after: After = None, wide: Wide = False, as_json: Json = False
) -> None:
    """List the project's aliases, newest first."""
    out = Out(as_json)
    with client() as server:
        found = listed(server.aliases.list, out, limit=limit, after=after)
    if out.json:
        out.value(found)
        return
    out.table(
        ["alias", "target", *_share_column(out, 2), Column("changed", 3)],
        [row for a in found for row in _by_target(out, [a.id], a.targets, [when(a.updated_at)])],
        empty="no aliases yet: `finetuned aliases set NAME MODEL`",
        wide=wide,
    )


@aliases.command("set")
def set_alias(
    name: Name,
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", autocompletion=complete.models, show_default=False),
    ] = None,
    split: Annotated[
        list[str] | None, typer.Option(help="MODEL=PERCENT, given twice, to split requests.")
    ] = None,
    new: Annotated[bool, typer.Option("--new", help="Fail if the alias exists.")] = False,
    gate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONDITION",
            help="Condition on the evaluation of trained models, such as 'chrf_gain>=5'; "
            "repeatable. Replaces the alias's gate.",
        ),
    ] = None,
    no_gate: Annotated[bool, typer.Option("--no-gate", help="Remove the gate.")] = False,
    suite: Annotated[
        list[str] | None,
        typer.Option(
            metavar="EVAL_ID/RUN_ID",
            help="Run that a new model must repeat well enough; repeatable. Replaces the alias's "
            "suites.",
        ),
    ] = None,
    min_difference: Annotated[
        float | None,
        typer.Option(help="Bound of the suites for the difference to the run, such as -0.05."),
    ] = None,
    min_score: Annotated[
        float | None, typer.Option(help="Bound of the suites for the share of passed items.")
    ] = None,
    no_suites: Annotated[bool, typer.Option("--no-suites", help="Remove the suites.")] = False,
    schedule: Annotated[
        str | None,
        typer.Option(
            metavar="CRON",
            help="When the suites run again, in UTC, such as '0 3 * * *'; '' for never.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Change the alias even if the gate or a suite fails.")
    ] = False,
    reason: Annotated[
        str | None,
        typer.Option(help="Reason for --force, or for looser suites, for the audit log."),
    ] = None,
    if_match: IfMatch = None,
    as_json: Json = False,
) -> None:
    """Point an alias at a model, or split its requests between two."""
    if gate and no_gate:
        raise WrongUsage("Pass either --gate or --no-gate.")
    if (model is None) == (not split):
        raise WrongUsage("Pass either a MODEL, or --split twice.")
    try:
        shares = pairs(split or [], "--split").items()
        targets: Any = [{"model": name, "weight": int(share)} for name, share in shares]
    except ValueError:
        raise WrongUsage("--split takes MODEL=PERCENT with a whole number.") from None
    runs = [name.partition("/") for name in suite or []]
    bounds = {"min_difference": min_difference, "min_score": min_score}
    suites: Any = [
        {"eval_id": eval_id, "run_id": run_id}
        | {name: bound for name, bound in bounds.items() if bound is not None}
        for eval_id, _, run_id in runs
    ]
    if not (suites or no_suites):
        suites = omit
    with client() as server:
        changed = server.aliases.set(
            name,
            model=omit if model is None else model,
            targets=targets if split else omit,
            gate=parse_gate(gate or []) if gate or no_gate else omit,
            suites=suites,
            schedule=omit if schedule is None else schedule or None,
            force=force or omit,
            reason=reason or omit,
            if_none_match="*" if new else None,
            if_match=if_match,
        )
    show(changed, _alias_facts, Out(as_json))


@aliases.command()
def check(
    name: Name,
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", autocompletion=complete.models, show_default=False),
    ] = None,
    move: Annotated[
        bool, typer.Option("--move", help="Point the alias at the model if it passes.")
    ] = False,
    wait: Annotated[bool, typer.Option(help="Wait until the check has ended.")] = True,
    as_json: Json = False,
) -> None:
    """Run the suites of an alias with a model. Exits with 1 if the model does not pass."""
    out = Out(as_json)
    with client() as server:
        made = server.alias_checks.create(alias=name, model=model, move=move)
        if not wait:
            say(made, made.id, out)
            return
        out.say(f"created {made.id}")
        found = server.alias_checks.wait(made.id)
    show(found, _check_facts, out)
    if found.result is None:
        error = found.error
        raise OperationFailed(
            f"The check ended early: {error.message if error else found.status}",
            code=error.code if error else found.status,
        )
    if not found.result.passed:
        raise GateFailed(f"{name} does not pass its suites.", code="gate_failed")


def _check_facts(found: AliasCheck) -> list[tuple[str, object]]:
    limits = [
        f"{run.run_id} with {run.model}: {run.metric} from {run.score_low}, difference from "
        f"{run.difference_low}, {'passed' if run.passed else 'not passed'}"
        for run in found.runs
    ]
    return [
        *(("check", found.id), ("alias", found.alias), ("status", found.status)),
        *(("run", limit) for limit in limits),
        ("moved", found.result and found.result.moved),
    ]


@aliases.command()
def rollback(name: Name, if_match: IfMatch = None, as_json: Json = False) -> None:
    """Undo the last change of an alias."""
    with client() as server:
        changed = server.aliases.rollback(name, if_match=if_match)
    show(changed, _alias_facts, Out(as_json))


@aliases.command()
def history(name: Name, wide: Wide = False, as_json: Json = False) -> None:
    """List the changes of an alias: who, what and when."""
    out = Out(as_json)
    with client() as server:
        found = list(server.aliases.history(name))
    if out.json:
        out.value(found)
        return
    out.table(
        [
            *("change", Column("when", 4), Column("what", 3), Column("to", 1)),
            *(_share_column(out, 2)),
            Column("by", 5),
        ],
        [
            row
            for c in found
            for row in _by_target(
                out, [c.generation, when(c.created_at), _action(c)], c.targets, [c.api_key_id]
            )
        ],
        wide=wide,
    )


def _alias_facts(found: Alias) -> list[tuple[str, object]]:
    return [
        ("alias", found.id),
        ("target", _shares(found.targets)),
        ("gate", ", ".join(f"{key} {text}" for key, text in (found.gate or {}).items())),
        *(("suite", f"{s.eval_id}/{s.run_id} {_bounds(s)}") for s in found.suites or ()),
        ("schedule", found.schedule),
        ("changes", found.generation),
        ("changed", when(found.updated_at)),
        ("etag", found.etag),
    ]


_aliases = Noun(aliases, "aliases", "NAME", complete=complete.aliases)
_aliases.show("Show an alias: its target and its ETag.", _alias_facts)
_aliases.delete("Delete an alias. Its target models are kept.", "Delete the alias {}?")


def _bounds(suite: AliasSuite) -> str:
    bounds = {"difference": suite.min_difference, "score": suite.min_score}
    shown = (f"{name} >= {bound}" for name, bound in bounds.items() if bound is not None)
    return f"{suite.metric} {', '.join(shown)}"


def _action(change: AliasChange) -> str:
    if change.forced:
        return f"{change.action} (forced)"
    return f"{change.action} (gate)" if change.targets == change.previous_targets else change.action


def _kind(model: Model) -> str:
    if model.alias_of:
        return "alias"
    if model.origin:
        return "imported"
    return "trained" if model.base_model else "base"


def _origin(origin: ModelOrigin) -> str:
    named = origin.base_model_name_or_path
    return f"{origin.import_id}, trained on {named}" if named else origin.import_id


def _shares(targets: list[AliasTarget] | None) -> str:
    if targets is None or len(targets) == 1:
        return targets[0].model if targets else ""
    return ", ".join(f"{t.model} {t.weight}%" for t in targets)


def _share_column(out: Out, rank: int) -> list[Column]:
    return [Column("share", rank)] if out.live else []


def _by_target(
    out: Out, before: list[object], targets: list[AliasTarget], after: list[object]
) -> list[list[object]]:
    """Return a row per target on a terminal, whose width two names of models exceed, else one."""
    if not out.live:
        return [[*before, _shares(targets), *after]]
    rows = [[t.model, f"{t.weight}%" if len(targets) > 1 else ""] for t in targets]
    blank = ([""] * len(before), [""] * len(after))
    return [
        [*(before if n == 0 else blank[0]), *row, *(after if n == 0 else blank[1])]
        for n, row in enumerate(rows)
    ]
