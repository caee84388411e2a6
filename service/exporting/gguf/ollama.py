"""The Modelfile of an export for Ollama, and the chat template that Ollama keeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from service.exporting.contract import ExportFailure
from service.exporting.folder import chat_template
from service.imports import quick_imports

# `ollama create` replaces a chat template by a stock one in Go if at most 100 edits lie between
# the two, and the stock one may render differently. A comment renders as nothing.
_COMMENT: Final = (
    "{# This comment renders as nothing. It makes this chat template differ in more than a hundred "
    "characters from each template that Ollama knows, so that Ollama uses this one as it is. #}"
)
_TEMPERATURE: Final = 1.0  # of an engine, if the model has no default


def keep_template(folder: Path) -> None:
    """Make Ollama use the folder's own chat template. Raises ExportFailure if it has none."""
    template = chat_template(folder)
    if template is None:
        raise ExportFailure("invalid_model", "The base model has no chat template, or several.")
    (folder / "chat_template.jinja").write_text(_COMMENT + template, "utf-8")


def modelfile(gguf: str, folder: Path, context: int, stop: list[str]) -> str:
    """Return the Modelfile of a GGUF file. `folder` has the model's generation defaults."""
    temperature = _defaults(folder).get("temperature", _TEMPERATURE)
    lines = [
        f"FROM ./{gguf}",
        f"PARAMETER temperature {temperature:g}",
        f"PARAMETER num_ctx {context}",
        *(f"PARAMETER stop {json.dumps(mark, ensure_ascii=False)}" for mark in stop),
    ]
    return "\n".join(lines) + "\n"


def stop_marks(folder: Path) -> list[str]:
    """Return the texts of the tokens that end an answer."""
    with quick_imports():
        from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    given = _defaults(folder).get("eos_token_id", tokenizer.eos_token_id)
    ids = {tokenizer.eos_token_id, *(given if isinstance(given, list) else [given])} - {None}
    return [str(tokenizer.decode([token])) for token in sorted(ids)]


def _defaults(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / "generation_config.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
