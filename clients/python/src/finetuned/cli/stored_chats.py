"""The `finetuned stored-chats` commands. Single chats are read with OpenAI's SDK."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finetuned.cli import complete
from finetuned.cli.failures import WrongUsage, openai_errors
from finetuned.cli.listing import After, Limit, all_pages, listed
from finetuned.cli.options import App
from finetuned.cli.output import Json, Out, Wide, when
from finetuned.cli.session import client, confirm, given
from finetuned.cli.tables import Column
from finetuned.cli.usage import start_of

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion

app = App(
    help="Chats that the project stored, with personal data replaced, to train on.",
    no_args_is_help=True,
)
Model = Annotated[
    str | None,
    typer.Option("--model", "-m", help="Model that answered.", autocompletion=complete.models),
]
Metadata = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=VALUE", help="Metadata of the chats. Repeat it for more."),
]


@app.command("list")
def list_chats(
    model: Model = None,
    metadata: Metadata = None,
    limit: Limit = None,
    after: After = None,
    wide: Wide = False,
    as_json: Json = False,
) -> None:
    """List stored chats, newest first."""
    out = Out(as_json)
    wanted = given(model=model, metadata=_pairs(metadata) or None, order="desc")
    with client() as server, openai_errors():
        pages = partial(all_pages, partial(server.openai.chat.completions.list, **wanted))
        found: list[ChatCompletion] = listed(pages, out, limit=limit, after=after)
    if out.json:
        out.value(found)
        return
    out.table(
        ["id", Column("model", 2, cut="middle"), Column("answer", 1, cut="end"), "created"],
        [(chat.id, chat.model, _answer(chat), when(chat.created)) for chat in found],
        empty="no stored chats: an administrator switches them on with `finetuned admin projects "
        "capture`",
        wide=wide,
    )


@app.command()
def show(
    chat_id: Annotated[str, typer.Argument(metavar="CHAT_ID", show_default=False)],
    as_json: Json = False,
) -> None:
    """Show the messages of a stored chat and its answer."""
    out = Out(as_json)
    with client() as server, openai_errors():
        completions = server.openai.chat.completions
        chat = completions.retrieve(chat_id)
        messages = list(completions.messages.list(chat_id, limit=100))
    if out.json:
        out.value({"chat": chat, "messages": messages})
        return
    for message in (*messages, chat.choices[0].message):
        out.line(f"{message.role}: {message.content or ''}")


@app.command()
def delete(
    chat_ids: Annotated[
        list[str] | None, typer.Argument(metavar="CHAT_ID...", show_default=False)
    ] = None,
    all_of_them: Annotated[
        bool, typer.Option("--all", help="Delete all chats, or all of --model.")
    ] = False,
    model: Model = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Skip confirmation.")] = False,
    as_json: Json = False,
) -> None:
    """Delete stored chats. Training files that were made of them stay."""
    out = Out(as_json)
    if bool(chat_ids) == all_of_them or (model and not all_of_them):
        raise WrongUsage(
            "It is not clear which chats to delete.",
            next_step="Name them, or pass --all, with --model if you like.",
        )
    confirm(f"Delete {'all' if all_of_them else len(chat_ids or ())} stored chats?", yes=yes)
    with client() as server, openai_errors():
        deleted: Any
        if all_of_them:
            deleted = server.stored_chats.delete_all(model=model)
            said = f"{deleted.count} deleted"
        else:
            deleted = [server.openai.chat.completions.delete(one) for one in chat_ids or ()]
            said = "\n".join(one.id for one in deleted)
    if out.json:
        out.value(deleted)
    else:
        out.line(said)


@app.command("to-file")
def to_file(
    model: Model = None,
    since: Annotated[
        str | None, typer.Option(help="Start of the period: 90m, 12h or 7d ago.")
    ] = None,
    metadata: Metadata = None,
    limit: Annotated[int | None, typer.Option(help="Maximum number of rows.", min=1)] = None,
    filename: Annotated[str | None, typer.Option(help="Name of the file.")] = None,
    as_json: Json = False,
) -> None:
    """Make a training file of stored chats, one row for each. If there are too many, the newest."""
    out = Out(as_json)
    with client() as server:
        file = server.stored_chats.make_file(
            model=model,
            created_after=None if since is None else start_of(since),
            metadata=_pairs(metadata) or None,
            limit=limit,
            filename=filename,
        )
    if out.json:
        out.value(file)
    else:
        out.line(file.id)


def _pairs(texts: list[str] | None) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts or ()]
    if wrong := [name for name, equals, _ in pairs if not equals]:
        raise WrongUsage(
            f"--metadata '{wrong[0]}' has no value.", next_step="Use --metadata key=value."
        )
    return {name: value for name, _, value in pairs}


def _answer(chat: ChatCompletion) -> str:
    message = chat.choices[0].message
    calls = [c.function.name for c in message.tool_calls or () if c.type == "function"]
    return " ".join((message.content or "").split()) or f"calls {', '.join(calls)}"
