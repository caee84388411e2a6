"""The `finetuned leave-openai record` command: an account into an archive."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from finetuned_cli.failures import WrongUsage
from finetuned_cli.output import Json, Out, size

if TYPE_CHECKING:
    import openai

    from finetuned_migrate.openai import Summary

_RETRIES = 8


def record(
    folder: Annotated[Path, typer.Argument(metavar="ARCHIVE", show_default=False)],
    prompts: Annotated[
        Path | None, typer.Option(help="JSON Lines file with the prompts for the old models.")
    ] = None,
    most: Annotated[
        int | None, typer.Option("--max-prompts", help="Ask only the first N prompts.", min=1)
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Fine-tuned model to ask; repeatable. Default: all.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="Maximum tokens per answer.", min=1)] = 512,
    requests_per_minute: Annotated[
        float, typer.Option(help="Maximum requests per minute.", min=0.1)
    ] = 60,
    price: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Dollars per million tokens, of prompts and of answers."),
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="Default: OpenAI's.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be recorded, and its cost.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Skip confirmation.")] = False,
    as_json: Json = False,
) -> None:
    """Record an OpenAI account's files, jobs, evals and models, and its models' answers to prompts.

    The key is read from OPENAI_API_KEY. An interrupted recording continues if it is repeated.
    """
    from finetuned_migrate.openai import Archive, Prompts, Recorder, Settings

    out = Out(as_json)
    settings = Settings(max_tokens, requests_per_minute, tuple(model) if model else None, price)
    asked = None if prompts is None else Prompts.read(prompts, most)
    with _client(base_url) as account:
        recorder = Recorder(account, asked, settings, say=lambda text: out.say(text, "dim"))
        archive = Archive(folder) if folder.exists() or not dry_run else None
        before = recorder.survey(archive)
        if dry_run:
            _show(before, out)
            return
        if not out.json:
            _show(before, Out(False), to_errors=True)
        if before.estimate.requests and not yes:
            typer.confirm("Record this?", abort=True, err=True)
        _show(recorder.record(Archive(folder)), out)


def _client(base_url: str | None) -> openai.OpenAI:
    import openai

    key = os.environ.get("OPENAI_API_KEY")
    if not key:
        raise WrongUsage("No OpenAI API key was given.", next_step="Set OPENAI_API_KEY.")
    return openai.OpenAI(api_key=key, base_url=base_url, max_retries=_RETRIES)


def _show(found: Summary, out: Out, *, to_errors: bool = False) -> None:
    cost, estimate = "unknown: give --price", found.estimate
    if estimate.most_dollars is not None:
        cost = f"${estimate.most_dollars:.2f} at most"
    facts: list[tuple[str, object]] = [
        ("files", f"{found.files} ({size(found.file_bytes)})"),
        ("jobs", found.jobs),
        ("evals", found.evals),
        ("models", ", ".join(found.models) or "none"),
        ("answers to fetch", estimate.requests),
        ("tokens of prompts", estimate.prompt_tokens),
        ("cost", cost if estimate.requests else "none"),
        ("refused prompts", found.refused or None),
    ]
    if out.json:
        out.value(
            {
                "files": found.files,
                "file_bytes": found.file_bytes,
                "jobs": found.jobs,
                "evals": found.evals,
                "models": found.models,
                "missing_answers": estimate.requests,
                "prompt_tokens": estimate.prompt_tokens,
                "most_answer_tokens": estimate.most_answer_tokens,
                "most_dollars": estimate.most_dollars,
                "refused": found.refused,
            }
        )
    elif to_errors:
        for name, value in facts:
            if value is not None:
                out.say(f"{name}: {value}")
    else:
        out.facts(facts)
