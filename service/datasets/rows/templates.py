"""Detection of what a base model's chat template writes: tool calls and results, reasoning, system.

Many templates write only the content of a message. A row that calls a tool then becomes an
empty answer, and a model trained on it learns to say nothing. To detect this, a tool call and
its result are rendered with unique words, which are then searched for in the text. The same is
done with a system message, and with the reasoning before an answer. A child process
renders, with limits of time and memory (template_probe.py). What it found is kept by the content
of the template.
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
_TIMEOUT_S: Final = 60.0  # on a busy machine; the child's own limit is seconds of the processor
# Nothing else of the environment, such as secrets, is for a template.
_PASSED_ON: Final = ("PATH", "PYTHONPATH", "PYTHONSAFEPATH", "LD_LIBRARY_PATH", "SYSTEMROOT")


class Thinking(NamedTuple):
    """How a chat template writes reasoning.

    `thought` is a conversation with the thought `THOUGHT`, if the template writes it. `answer` is a
    conversation without a thought, `history` the same in the middle of a longer one, and `prompt`
    what the model continues.
    """

    thought: str | None
    answer: str
    history: str
    prompt: str


class _Probed(NamedTuple):
    """What a template writes. `is_bounded` is false if it exceeds the limits of the child."""

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
    """Whether the chat template in a base model's folder writes tool calls and results.

    Returns None if this cannot be determined.
    """
    return _probed(folder).takes_tools


def takes_system(folder: Path) -> bool | None:
    """Whether the chat template in a base model's folder writes what a system message says.

    Returns None if this cannot be determined.
    """
    return _probed(folder).takes_system


def rendered_call(folder: Path) -> str | None:
    """Return a conversation in which `NAME` is called with the argument `word`, `VALUE`.

    It is written by the chat template in a base model's folder. Returns None if the template does
    not write calls and results, or cannot be used.
    """
    return _probed(folder).call


def rendered_thinking(folder: Path) -> Thinking | None:
    """Return how the template in a model's folder writes reasoning; None without a template."""
    found = _probed(folder)
    if not found.is_usable:
        return None
    return Thinking(found.thought, found.answer, found.history, found.prompt)


def content_format(folder: Path) -> ContentFormat:
    """Return the form of contents that the chat template in a base model's folder reads."""
    return _probed(folder, with_tools=False).content_format


def is_bounded(folder: Path) -> bool:
    """Whether the chat template in a base model's folder writes short conversations as it should.

    One that does not takes more than 3 s of the processor or 512 MiB for them.
    """
    return _probed(folder).is_bounded


def _probed(folder: Path, *, with_tools: bool = True) -> _Probed:
    try:
        config = _config(folder)
        source = _template(folder, config, with_tools=with_tools)
        if source is None:
            return _UNUSABLE
        return _of_source(source, tuple((name, _content(config.get(name))) for name in _TOKENS))
    except (OSError, ValueError):
        return _UNUSABLE


@functools.lru_cache(maxsize=64)
def _of_source(source: str, tokens: tuple[tuple[str, str], ...]) -> _Probed:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "service.datasets.rows.template_probe"],
            input=json.dumps({"template": source, "tokens": dict(tokens)}),
            env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a traceback may have the template's text
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
