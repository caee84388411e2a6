"""Detection of what a base model's chat template writes: tool calls, their results, and thoughts.

Many templates write only the content of a message. A row that calls a tool then becomes an
empty answer, and a model trained on it learns to say nothing. To detect this, a tool call and
its result are rendered with unique words, which are then searched for in the text. The same is
done with what an assistant thought before its answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import TemplateError, TemplateSyntaxError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

NAME, VALUE, _RESULT = "probed_function", "probedvalue", "probedresult"
THOUGHT = "probedthought"
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
# Templates read a thought under one of these names.
_THINKING: dict[str, Any] = {
    **_ANSWER,
    "reasoning_content": THOUGHT,
    "reasoning": THOUGHT,
    "thinking": THOUGHT,
}
_TOKENS = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token")
_Render = Callable[..., str | None]
# Errors that templates raise for an unsupported conversation, from their own raise_exception or
# from operations on undefined values.
_REFUSALS = (TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError)


def takes_tools(folder: Path) -> bool | None:
    """Whether the chat template in a base model's folder writes tool calls and results.

    Returns None if this cannot be determined.
    """
    render = _renderer(folder)
    if render is None:
        return None
    if _with_call(render) is not None:
        return True
    # If the template rejects even a plain conversation, the result is unknown.
    return None if render([_QUESTION, _ANSWER], None) is None else False


def rendered_call(folder: Path) -> str | None:
    """Return a conversation in which `NAME` is called with the argument `word`, `VALUE`.

    It is written by the chat template in a base model's folder. Returns None if the template does
    not write calls and results, or cannot be used.
    """
    render = _renderer(folder)
    return None if render is None else _with_call(render)


class Thinking(NamedTuple):
    """How a chat template writes thoughts.

    `thought` is a conversation with the thought `THOUGHT`, if the template writes it. `answer` is a
    conversation without a thought, `history` the same in the middle of a longer one, and `prompt`
    what the model continues.
    """

    thought: str | None
    answer: str
    history: str
    prompt: str


def rendered_thinking(folder: Path) -> Thinking | None:
    """Return how the template in a base model's folder writes thoughts; None without a template."""
    render = _renderer(folder)
    if render is None:
        return None
    thought = render([_QUESTION, _THINKING], None) or ""
    return Thinking(
        thought if THOUGHT in thought else None,
        render([_QUESTION, _ANSWER], None) or "",
        render([_QUESTION, _ANSWER, _QUESTION], None) or "",
        render([_QUESTION], None, prompt=True) or "",
    )


def _with_call(render: _Render) -> str | None:
    named = {**_FOUND, "name": NAME}
    for found in (_FOUND, named):
        for after in ([_ANSWER], []):
            rendered = render([_QUESTION, _CALL, found, *after], _TOOLS) or ""
            if VALUE in rendered and _RESULT in rendered:
                return rendered
    return None


def _renderer(folder: Path) -> _Render | None:
    """Return a function that renders messages and tools, or None if there is no usable template.

    The function returns None for a conversation that the template rejects.
    """
    try:
        config = _config(folder)
        source = _template(folder, config)
        if source is None:
            return None
        template = _environment().from_string(source)
    except (OSError, ValueError, TemplateSyntaxError):
        return None
    tokens = {name: _content(config.get(name)) for name in _TOKENS}

    def render(
        messages: list[dict[str, Any]],
        tools: list[dict[str, Any]] | None,
        *,
        prompt: bool = False,
    ) -> str | None:
        try:
            return template.render(
                messages=messages,
                tools=tools,
                documents=None,
                add_generation_prompt=prompt,
                **tokens,
            )
        except _REFUSALS:
            return None

    return render


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "tokenizer_config.json"
    content = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return content if isinstance(content, dict) else {}


def _template(folder: Path, config: dict[str, Any]) -> str | None:
    """Return the template that transformers selects for a conversation with tools."""
    for name in ("additional_chat_templates/tool_use.jinja", "chat_template.jinja"):
        if (folder / name).is_file():
            return (folder / name).read_text("utf-8")
    found = config.get("chat_template")
    if isinstance(found, list):
        by_name = {entry["name"]: entry["template"] for entry in found}
        found = by_name.get("tool_use", by_name.get("default"))
    return found if isinstance(found, str) else None


def _content(token: object) -> str:
    """Return the text of a special token, given as a string or as an object with `content`."""
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else ""


class _Generation(Extension):
    """Supports `{% generation %}`, which marks assistant text, by rendering its content as is."""

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
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _refuse(message: str) -> None:
    raise TemplateError(message)
