"""Renders the prompt of an item from the input messages of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.evals.data_sources import MAX_MESSAGES, InputMessages, ItemReferenceMessages
from service.grading.templates import (
    TemplateInvalid,
    Variable,
    check_variables,
    lookup,
    parse_template,
    parse_variable,
)

Message = dict[str, Any]
_ROLES = ("system", "developer", "user", "assistant", "tool")
_TEXTS = ("text", "input_text", "output_text")  # values of any type are looked up


class PromptInvalid(ValueError):
    """The input messages cannot be used. `param` is the path of the field in them."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


class PromptFailed(Exception):
    """The item does not contain a prompt."""


def check(messages: InputMessages, item_schema: Mapping[str, Any]) -> None:
    """Check the variables of the messages. Raises PromptInvalid."""
    if isinstance(messages, ItemReferenceMessages):
        _check_text("item_reference", "{{" + messages.item_reference + "}}", item_schema)
        return
    for place, message in enumerate(messages.template):
        _check_text(f"template.{place}.content", message.text, item_schema)


def render(messages: InputMessages, item: Mapping[str, Any]) -> list[Message]:
    """Return the messages for an item. Raises PromptFailed, and ItemFailed without a variable."""
    if isinstance(messages, ItemReferenceMessages):
        return _given(lookup(parse_variable(messages.item_reference), {"item": item}))
    return [
        {
            "role": _role(message.role),
            "content": parse_template(message.text).render({"item": item}),
        }
        for message in messages.template
    ]


def _check_text(param: str, text: str, item_schema: Mapping[str, Any]) -> None:
    try:
        variables = list(parse_template(text).variables)
        if sampled := next((v for v in variables if v.namespace == "sample"), None):
            raise PromptInvalid(param, _no_sample(sampled))
        check_variables(text, item_schema)
    except TemplateInvalid as e:
        raise PromptInvalid(param, str(e)) from e


def _no_sample(variable: Variable) -> str:
    return (
        f"'{{{{{variable}}}}}' has no value in a prompt: the sample is what the model answers. Use "
        "'item.'."
    )


def _given(value: Any) -> list[Message]:
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if not isinstance(value, list) or not value:
        raise PromptFailed("The referenced value is neither a text nor a list of messages.")
    if len(value) > MAX_MESSAGES:
        raise PromptFailed(f"The item has more than {MAX_MESSAGES} messages.")
    return [_message(place, message) for place, message in enumerate(value)]


def _message(place: int, message: Any) -> Message:
    if not isinstance(message, dict) or message.get("role") not in _ROLES:
        raise PromptFailed(f"Message {place} of the item needs a role: {', '.join(_ROLES)}.")
    content = _content(place, message.get("content"))
    return {**message, "role": _role(message["role"]), "content": content}


def _content(place: int, content: Any) -> str | None:
    """Return the text of a message. Parts are joined by line breaks, as in a template."""
    if content is None or isinstance(content, str):
        return content
    texts = [
        part.get("text") if isinstance(part, dict) and part.get("type") in _TEXTS else None
        for part in (content if isinstance(content, list) else [content])
    ]
    if not all(isinstance(text, str) for text in texts):
        raise PromptFailed(f"The content of message {place} of the item is not a text.")
    return "\n".join(str(text) for text in texts)


def _role(role: str) -> str:
    """Return the role that chat templates know, as checks of training data do."""
    return "system" if role == "developer" else role
