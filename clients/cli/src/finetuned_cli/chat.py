"""The `finetuned chat` command: chat with one model, or compare two side by side."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import finetuned
import typer

from finetuned_cli import complete
from finetuned_cli.comparing import compare
from finetuned_cli.failures import WrongUsage, openai_errors
from finetuned_cli.output import Json, Out, printable
from finetuned_cli.session import client

_MAX_TOKENS = 512


@dataclass
class Talk:
    """A conversation with one model."""

    server: finetuned.Client
    model: str
    options: dict[str, Any]
    messages: list[dict[str, str]] = field(default_factory=list)

    def ask(self, question: str) -> Iterator[str]:
        """Yield the answer in pieces. Question and answer are kept as context."""
        messages = [*self.messages, {"role": "user", "content": question}]
        pieces: list[str] = []
        with openai_errors():
            create: Callable[..., Any] = self.server.openai.chat.completions.create
            with create(model=self.model, messages=messages, stream=True, **self.options) as stream:
                for chunk in stream:
                    if chunk.choices and (text := chunk.choices[0].delta.content):
                        pieces.append(text)
                        yield text
        self.messages = [*messages, {"role": "assistant", "content": "".join(pieces)}]


def chat(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", autocompletion=complete.models, show_default=False)
    ],
    message: Annotated[
        str | None,
        typer.Argument(
            metavar="[MESSAGE]",
            help="Send this message and exit. If omitted, read standard input or prompt.",
            show_default=False,
        ),
    ] = None,
    compare_with: Annotated[
        str | None,
        typer.Option(
            "--compare",
            help="Second model to compare with; 'base' means the model's base model.",
            autocompletion=complete.models,
        ),
    ] = None,
    system: Annotated[str | None, typer.Option(help="System prompt.")] = None,
    temperature: Annotated[
        float | None, typer.Option(help="Sampling temperature.", min=0, max=2)
    ] = None,
    max_tokens: Annotated[
        int, typer.Option(help="Maximum number of tokens to generate.", min=1)
    ] = _MAX_TOKENS,
    as_json: Json = False,
) -> None:
    """Chat with a model. In a conversation, Ctrl-D or /exit ends it, and /new starts a new one."""
    out = Out(as_json)
    options: dict[str, Any] = {"max_tokens": max_tokens}
    if temperature is not None:
        options["temperature"] = temperature
    first = [{"role": "system", "content": system}] if system else []
    with client() as server:
        names = [model]
        if compare_with is not None:
            other = base_of(server, model) if compare_with == "base" else compare_with
            names = [other, model]
        talks = [Talk(server, name, options, list(first)) for name in names]
        if message is None and sys.stdin.isatty():
            _converse(talks, first, out)
            return
        question = message if message is not None else sys.stdin.read().strip()
        if not question:
            raise WrongUsage("The message is empty.", next_step="Pass a message, or pipe one in.")
        _turn(talks, question, out)


def base_of(server: finetuned.Client, name: str) -> str:
    """Return the base model of a trained model or alias."""
    found = server.models.retrieve(name)
    if found.alias_of:
        found = server.models.retrieve(found.alias_of[0].model)
    if found.base_model is None:
        raise WrongUsage(
            f"{name} is itself a base model.",
            next_step="Pass a trained model, or the name of the model to compare with.",
        )
    return found.base_model


def _turn(talks: list[Talk], question: str, out: Out) -> None:
    if out.json:
        answers = [{"model": t.model, "content": "".join(t.ask(question))} for t in talks]
        out.value(answers if len(answers) > 1 else answers[0])
    elif len(talks) > 1:
        compare([(t.model, t.ask(question)) for t in talks], question, out)
    else:
        for piece in talks[0].ask(question):
            out.raw(printable(piece))
        out.raw("\n")


def _converse(talks: list[Talk], first: list[dict[str, str]], out: Out) -> None:
    out.say(f"{' and '.join(t.model for t in talks)}  (Ctrl-D to exit, /new to start over)", "dim")
    while True:
        try:
            question = input("> ").strip()
        except EOFError:
            out.say("")
            return
        if question in ("/exit", "/quit"):
            return
        if question == "/new":
            for talk in talks:
                talk.messages = list(first)
        elif question:
            _turn(talks, question, out)
