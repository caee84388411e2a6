"""Writes the Modelfile of an export for Ollama, with the engine's sampling and chat template."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from service.exporting.contract import ExportFailure
from service.exporting.folder import chat_template
from service.garbage_collection import quick_imports

GENERATION_CONFIG: Final = "generation_config.json"
# The names in generation_config.json, where they differ, and vLLM's values if it has none.
_DEFAULTS: Final = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0,
                    "repeat_penalty": 1.0, "presence_penalty": 0.0,
                    "frequency_penalty": 0.0}  # fmt: skip
_NAMES: Final = {"repeat_penalty": "repetition_penalty"}
_CONVERTER_NAMES: Final = {"repeat_penalty": "penalty_repeat", "repeat_last_n": "penalty_last_n"}


def generation_config(folder: Path) -> dict[str, Any]:
    """Return a model's generation_config.json; empty if it has none."""
    try:
        found = json.loads((folder / GENERATION_CONFIG).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def sampling(folder: Path, context: int) -> dict[str, float]:
    """Return the parameters with which an engine samples from the model by default.

    vLLM penalizes all tokens of the context, whose length is `context`.
    """
    given = generation_config(folder)
    chosen: dict[str, float] = {}
    for name, default in _DEFAULTS.items():
        value = given.get(_NAMES.get(name, name))
        chosen[name] = value if isinstance(value, int | float) else default
    chosen["top_k"] = max(int(chosen["top_k"]), 0)  # vLLM also takes -1 for all tokens
    return {**chosen, "repeat_last_n": context}


def write_for_converter(folder: Path, context: int) -> None:
    """Have llama.cpp's converter write the sampling into the GGUF file of a folder's model."""
    found = sampling(folder, context)
    named = {_CONVERTER_NAMES.get(name, name): value for name, value in found.items()}
    config = {**generation_config(folder), **named}
    (folder / GENERATION_CONFIG).write_text(json.dumps(config), "utf-8")


# `ollama create` replaces a chat template by a stock one in Go if at most 100 edits lie between
# the two, and the stock one may render differently. A comment renders as nothing.
_COMMENT: Final = (
    "{# This comment renders as nothing. It makes this chat template differ in more than a hundred "
    "characters from each template that Ollama knows, so that Ollama uses this one as it is. #}"
)
_PARAMETER: Final = re.compile(r"^PARAMETER (\S+) (-?[\d.e-]+)$", re.MULTILINE)


def keep_template(folder: Path) -> None:
    """Make Ollama use the folder's own chat template. Raises ExportFailure if it has none."""
    template = chat_template(folder)
    if template is None:
        raise ExportFailure("invalid_model", "The base model has no chat template, or several.")
    (folder / "chat_template.jinja").write_text(_COMMENT + template, "utf-8")


def modelfile(gguf: str, folder: Path, context: int, stop: list[str]) -> str:
    """Return the Modelfile of a GGUF file. `folder` has the model's generation defaults."""
    lines = [
        f"FROM ./{gguf}",
        *(f"PARAMETER {name} {value:g}" for name, value in sampling(folder, context).items()),
        f"PARAMETER num_ctx {context}",
        *(f"PARAMETER stop {json.dumps(mark, ensure_ascii=False)}" for mark in stop),
    ]
    return "\n".join(lines) + "\n"


def parameters(text: str) -> dict[str, float]:
    """Return the numbers that a Modelfile sets, without the length of the context."""
    found = {name: json.loads(value) for name, value in _PARAMETER.findall(text)}
    del found["num_ctx"]
    return found


def stop_tokens(folder: Path) -> list[str]:
    """Return the texts of the tokens that end an answer."""
    with quick_imports():
        from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    given = generation_config(folder).get("eos_token_id", tokenizer.eos_token_id)
    ids = {tokenizer.eos_token_id, *(given if isinstance(given, list) else [given])} - {None}
    return [str(tokenizer.decode([token])) for token in sorted(ids)]
