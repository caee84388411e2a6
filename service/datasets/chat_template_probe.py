"""Renders conversations with a chat template, in a child process of `chat_templates.py`.

    python -m service.datasets.chat_template_probe < INPUT > OUTPUT

Both are JSON: the template with its special tokens, and what it renders. A template is a program
that comes with a model, so this process limits its own CPU time and memory.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from jinja2 import TemplateError, TemplateSyntaxError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from service.chat_content import choose_content_format
from service.datasets.chat_templates import NAME, SYSTEM, THOUGHT, VALUE

CPU_S: Final = 3  # it takes 0.1 s
MEMORY_BYTES: Final = 512 * 1024**2
_MAX_CHARS: Final = 1024**2  # rendered from a few words
_RESULT = "probedresult"
# Mistral's templates accept only IDs of nine letters and digits.
_CALL_ID = "probe0001"
_TOOLS = [
    {
        "type": "function",
        "function": {
            "name": NAME,
            "description": "A function.",
            "parameters": {
                "type": "object",
                "properties": {"word": {"type": "string", "description": "A word."}},
                "required": ["word"],
            },
        },
    }
]
_QUESTION: dict[str, Any] = {"role": "user", "content": "A question"}
_ANSWER: dict[str, Any] = {"role": "assistant", "content": "An answer"}
_SYSTEM: dict[str, Any] = {"role": "system", "content": SYSTEM}
_CALL: dict[str, Any] = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {
            "id": _CALL_ID,
            "type": "function",
            "function": {"name": NAME, "arguments": {"word": VALUE}},
        }
    ],
}
_FOUND: dict[str, Any] = {
    "role": "tool",
    "tool_call_id": _CALL_ID,
    "content": json.dumps({"word": _RESULT}),
}
# Templates read reasoning from one of these fields.
_THINKING: dict[str, Any] = {
    **_ANSWER,
    "reasoning_content": THOUGHT,
    "reasoning": THOUGHT,
    "thinking": THOUGHT,
}
_Render = Callable[..., str | None]
# Errors that templates raise for an unsupported conversation, from their own raise_exception or
# from operations on undefined values.
_REFUSALS = (
    TemplateError,
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)


def main() -> None:
    """Render the template on stdin, and write the results to stdout."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    request = json.load(sys.stdin)
    json.dump(_probe(request["template"], request["tokens"]), sys.stdout)


def _probe(source: str, tokens: dict[str, str]) -> dict[str, Any]:
    try:
        render = _renderer(source, tokens)
    except TemplateSyntaxError:
        return {"is_usable": False}
    call = _with_call(render)
    # If the template rejects even a plain conversation, the result is unknown.
    plain = render([_QUESTION, _ANSWER], None)
    system = render([_SYSTEM, _QUESTION, _ANSWER], None) or ""
    thought = render([_QUESTION, _THINKING], None) or ""
    return {
        "is_usable": True,
        "content_format": choose_content_format(lambda messages: render(messages, None)),
        "takes_tools": True if call is not None else None if plain is None else False,
        "takes_system": None if plain is None else SYSTEM in system,
        "call": call,
        "thought": thought if THOUGHT in thought else None,
        "answer": plain or "",
        "history": render([_QUESTION, _ANSWER, _QUESTION], None) or "",
        "prompt": render([_QUESTION], None, prompt=True) or "",
    }


def _with_call(render: _Render) -> str | None:
    named = {**_FOUND, "name": NAME}
    for found in (_FOUND, named):
        for after in ([_ANSWER], []):
            rendered = render([_QUESTION, _CALL, found, *after], _TOOLS) or ""
            if VALUE in rendered and _RESULT in rendered:
                return rendered
    return None


def _renderer(source: str, tokens: dict[str, str]) -> _Render:
    """Return a function that renders messages and tools.

    It returns None for a conversation that the template rejects.
    """
    template = _environment().from_string(source)

    def render(
        messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None, *, prompt: bool = False
    ) -> str | None:
        try:
            text = template.render(
                messages=messages,
                tools=tools,
                documents=None,
                add_generation_prompt=prompt,
                **tokens,
            )
        except _REFUSALS:
            return None
        return text if len(text) <= _MAX_CHARS else None

    return render


class _Generation(Extension):
    """Supports `{% generation %}`, which marks assistant text: renders its content unchanged."""

    tags = {"generation"}  # noqa: RUF012  # same type as in jinja2

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment() -> ImmutableSandboxedEnvironment:
    """Create an environment that renders chat templates like transformers."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = datetime.now(UTC).strftime
    return environment


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _refuse(message: str) -> None:
    raise TemplateError(message)


if __name__ == "__main__":
    main()
