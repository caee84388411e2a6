"""The `finetuned chats` commands: stored chats."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from finetuned.types import StoredChat

from finetuned_cli import complete
from finetuned_cli.failures import WrongUsage
from finetuned_cli.listing import After, Limit, listed
from finetuned_cli.nouns import Table, Yes
from finetuned_cli.options import App
from finetuned_cli.output import Json, Out, Wide, when
from finetuned_cli.session import client, confirm, given, pairs
from finetuned_cli.tables import Column
from finetuned_cli.usage import start_of

app = App(
    help="Chats that the project stored, with personal data replaced, to train on.",
    no_args_is_help=True,
)
_TABLE = Table(
    ["id", Column("model", 2, cut="middle"), Column("answer", 1, cut="end"), "created"],
    lambda chat: (chat.id, chat.model, " ".join(_answer(chat).split()), when(chat.created)),
    "no stored chats: an administrator switches them on with `finetuned admin projects capture`",
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
    wanted = given(model=model, metadata=pairs(metadata or (), "--metadata") or None, order="desc")
    with client() as server:
        found = listed(server.chat.completions.list, out, limit=limit, after=after, **wanted)
    _TABLE.show(found, out, wide=wide)


@app.command()
def show(
    chat_id: Annotated[str, typer.Argument(metavar="CHAT_ID", show_default=False)],
    as_json: Json = False,
) -> None:
    """Show the messages of a stored chat and its answer."""
    out = Out(as_json)
    with client() as server:
        completions = server.chat.completions
        chat = completions.retrieve(chat_id)
        messages = list(completions.messages(chat_id, limit=100))
    if out.json:
        out.value({"chat": chat, "messages": messages})
        return
    for message in messages:
        out.line(f"{message.role}: {message.content or ''}")
    out.line(f"assistant: {_answer(chat)}")


@app.command()
def delete(
    chat_ids: Annotated[
        list[str] | None, typer.Argument(metavar="CHAT_ID...", show_default=False)
    ] = None,
    all_of_them: Annotated[
        bool, typer.Option("--all", help="Delete all chats, or all of --model.")
    ] = False,
    model: Model = None,
    yes: Yes = False,
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
    with client() as server:
        deleted: Any
        if all_of_them:
            deleted = server.chat.completions.delete_all(model=model)
            said = f"{deleted.count} deleted"
        else:
            deleted = [server.chat.completions.delete(one) for one in chat_ids or ()]
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
        file = server.chat.completions.create_file(
            model=model,
            created_after=None if since is None else start_of(since),
            metadata=pairs(metadata or (), "--metadata") or None,
            limit=limit,
            filename=filename,
        )
    if out.json:
        out.value(file)
    else:
        out.line(file.id)


def _answer(chat: StoredChat) -> str:
    message = chat.choices[0].message
    calls = [str(call["function"]["name"]) for call in message.tool_calls or ()]
    return message.content or f"calls {', '.join(calls)}"
