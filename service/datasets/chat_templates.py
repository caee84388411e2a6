"""Detects what a base model's chat template renders: tools, system messages, and reasoning.

Many templates render only the content of a message. A row that calls a tool then becomes an empty
answer, and a model trained on it learns to say nothing. To detect this, a tool call and its result
are rendered with unique words, which must be in the rendered text. System messages and reasoning
are tested in the same way. A child process with limits on time and memory renders
(`chat_template_probe.py`). Results are cached by the content of the template.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final, NamedTuple

from service.chat_content import ContentFormat

NAME, VALUE = "probed_function", "probedvalue"
THOUGHT = "probedthought"
SYSTEM = "probedsystem"
_TOKENS = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token")
_TIMEOUT_S: Final = 60.0  # on a busy machine; the child limits its own CPU time
# Templates are untrusted code, so the child gets no other variables, such as secrets.
_ENVIRONMENT: Final = ("PATH", "PYTHONPATH", "PYTHONSAFEPATH", "LD_LIBRARY_PATH", "SYSTEMROOT")


class Thinking(NamedTuple):
    """How a chat template renders reasoning.

    `thought` is a conversation with the thought `THOUGHT`, if the template renders it. `answer` is
    a conversation without a thought, `history` the same followed by another question, and `prompt`
    the text that the model continues.
    """

    thought: str | None
    answer: str
    history: str
    prompt: str


class _Probed(NamedTuple):
    """What a template renders. `is_bounded` is false if it exceeds the limits of the child."""

    is_usable: bool = False
    is_bounded: bool = True
    content_format: ContentFormat = "string"
    takes_tools: bool | None = None
    takes_system: bool | None = None
    call: str | None = None
    thought: str | None = None
    answer: str = ""
    history: str = ""
    prompt: str = ""


_UNUSABLE: Final = _Probed()


def takes_tools(folder: Path) -> bool | None:
    """Return whether the chat template of a base model renders tool calls and results.

    `folder` is the model's folder. Returns None if this cannot be determined.
    """
    return _probed(folder).takes_tools


def takes_system(folder: Path) -> bool | None:
    """Return whether the chat template of a base model renders system messages.

    Returns None if this cannot be determined.
    """
    return _probed(folder).takes_system


def rendered_call(folder: Path) -> str | None:
    """Return a rendered conversation that calls `NAME` with the argument `word` set to `VALUE`.

    Returns None if the base model's chat template does not render calls and results, or is invalid.
    """
    return _probed(folder).call


def rendered_thinking(folder: Path) -> Thinking | None:
    """Return how the chat template of a model renders reasoning, or None without a template."""
    found = _probed(folder)
    if not found.is_usable:
        return None
    return Thinking(found.thought, found.answer, found.history, found.prompt)


def content_format(folder: Path) -> ContentFormat:
    """Return the form of message content that the chat template of a base model expects."""
    return _probed(folder, with_tools=False).content_format


def is_bounded(folder: Path) -> bool:
    """Return whether a base model's chat template renders short conversations within the limits.

    The limits are 3 s of CPU time and 512 MiB of memory.
    """
    return _probed(folder).is_bounded


def _probed(folder: Path, *, with_tools: bool = True) -> _Probed:
    try:
        config = _config(folder)
        source = _template(folder, config, with_tools=with_tools)
        if source is None:
            return _UNUSABLE
        return _render_in_child(
            source, tuple((name, _content(config.get(name))) for name in _TOKENS)
        )
    except (OSError, ValueError):
        return _UNUSABLE


@functools.lru_cache(maxsize=64)
def _render_in_child(source: str, tokens: tuple[tuple[str, str], ...]) -> _Probed:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "service.datasets.chat_template_probe"],
            input=json.dumps({"template": source, "tokens": dict(tokens)}),
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a traceback can contain the template
            text=True,
            timeout=_TIMEOUT_S,
            check=True,
        )
        return _Probed(**json.loads(done.stdout))
    except (subprocess.SubprocessError, ValueError):
        return _Probed(is_bounded=False)


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "tokenizer_config.json"
    content = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return content if isinstance(content, dict) else {}


def _template(folder: Path, config: dict[str, Any], *, with_tools: bool) -> str | None:
    """Return the template that transformers selects for a conversation with or without tools."""
    names = ("additional_chat_templates/tool_use.jinja", "chat_template.jinja")
    for name in names if with_tools else names[1:]:
        if (folder / name).is_file():
            return (folder / name).read_text("utf-8")
    found = config.get("chat_template")
    if isinstance(found, list):
        by_name = {entry["name"]: entry["template"] for entry in found}
        found = by_name.get("tool_use" if with_tools else "default", by_name.get("default"))
    return found if isinstance(found, str) else None


def _content(token: object) -> str:
    """Return the text of a special token, given as a string or as an object with `content`."""
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else ""
