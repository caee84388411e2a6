"""The `finetuned login`, `logout` and `profiles` commands."""

from __future__ import annotations

import getpass
import os
import sys
from typing import Annotated
from urllib.parse import urlsplit

import typer
from finetuned import Client, config

from finetuned_cli.failures import WrongUsage
from finetuned_cli.output import Json, Out
from finetuned_cli.session import profile

Url = Annotated[
    str | None,
    typer.Option(
        help="Server address, such as https://HOST or 127.0.0.1:8000; default: FINETUNED_BASE_URL.",
        metavar="URL",
    ),
]


def login(url: Url = None, as_json: Json = False) -> None:
    """Save a server address and an API key, in the profile of --profile if one is given.

    Prompts for the key or reads it from standard input. The key is never an argument, because
    every user of the machine can see arguments.
    """
    out = Out(as_json)
    name = profile()
    saved = config.read(name)
    base_url = config.with_v1(
        url or os.environ.get(config.ENV_URL) or (saved.base_url if saved else config.DEFAULT_URL)
    )
    if base_url.startswith("http://") and not config.is_loopback(base_url):
        out.say(
            "The connection is not encrypted: others on the network can read the key.", "yellow"
        )
    target = config.Target(base_url, _read_key(base_url))
    with Client(api_key=target.api_key, base_url=target.base_url) as client:
        models = sum(1 for _ in client.models.list())
    path = config.write(target, name)
    if out.json:
        out.value({"base_url": base_url, "models": models, "file": str(path), "profile": name})
        return
    out.line(f"Logged in to {urlsplit(base_url).netloc}, which offers {models} model(s).")
    out.say(f"The key was saved in {path}, as the profile {name}.")


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
    """Delete the key that `login` saved, in the profile of --profile if one is given."""
    out = Out(as_json)
    name = profile()
    was = config.forget(name)
    if out.json:
        out.value({"forgotten": was, "profile": name})
    elif was:
        out.line(f"The saved key of the profile {name} was deleted.")
    else:
        out.line(f"No key was saved in the profile {name}.")


def profiles(as_json: Json = False) -> None:
    """List the profiles that `login` saved. Environment variables go before all of them."""
    out = Out(as_json)
    used = profile()
    found = config.profiles()
    if out.json:
        out.value(
            [
                {"name": name, "base_url": target.base_url, "used": name == used}
                for name, target in found.items()
            ]
        )
        return
    out.table(
        ["name", "server", "used"],
        [(name, target.base_url, name == used) for name, target in found.items()],
        empty="no profiles yet: `finetuned login --profile NAME`",
    )
    if variables := config.set_variables():
        out.say(f"set, and takes precedence over profiles: {' and '.join(variables)}", "yellow")
