"""The `finetuned login` and `logout` commands."""

from __future__ import annotations

import getpass
import os
import sys
from typing import Annotated
from urllib.parse import urlsplit

import typer

from finetuned import Client, config
from finetuned._transport import is_loopback
from finetuned.cli.failures import WrongUsage
from finetuned.cli.output import Json, Out

Url = Annotated[
    str | None, typer.Option(help="Server address; default: FINETUNED_BASE_URL.", metavar="URL")
]


def login(url: Url = None, as_json: Json = False) -> None:
    """Save a server address and an API key.

    Prompts for the key or reads it from standard input. The key is never an argument, because
    every user of the machine can see arguments.
    """
    out = Out(as_json)
    saved = config.read()
    base_url = config.with_v1(
        url or os.environ.get(config.ENV_URL) or (saved.base_url if saved else config.DEFAULT_URL)
    )
    if base_url.startswith("http://") and not is_loopback(base_url):
        out.say(
            "The connection is not encrypted: others on the network can read the key.", "yellow"
        )
    target = config.Target(base_url, _read_key(base_url))
    with Client(api_key=target.api_key, base_url=target.base_url) as client:
        models = sum(1 for _ in client.models.list())
    path = config.write(target)
    if out.json:
        out.value({"base_url": base_url, "models": models, "file": str(path)})
        return
    out.line(f"Logged in to {urlsplit(base_url).netloc}, which offers {models} model(s).")
    out.say(f"The key was saved in {path}.")


def _read_key(base_url: str) -> str:
    if sys.stdin.isatty():
        key = getpass.getpass(f"API key for {base_url}: ")
    else:
        key = sys.stdin.readline()
    key = key.strip()
    if not key:
        raise WrongUsage(
            "No API key was given.",
            next_step="Type it at the prompt, or pipe it in: `finetuned login < api-key`.",
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise WrongUsage("This is not an API key: it contains invalid characters.")
    return key


def logout(as_json: Json = False) -> None:
    """Delete the key that `login` saved."""
    out = Out(as_json)
    was = config.forget()
    if out.json:
        out.value({"forgotten": was})
    else:
        out.line("The saved key was deleted." if was else "No key was saved.")
