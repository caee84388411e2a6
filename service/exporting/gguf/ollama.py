"""The Modelfile of an export for Ollama, and the chat template that Ollama keeps."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from service.exporting.contract import ExportFailure
from service.exporting.folder import chat_template
from service.exporting.sampling import generation_config, sampling
from service.garbage_collection import quick_imports

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


def stop_marks(folder: Path) -> list[str]:
    """Return the texts of the tokens that end an answer."""
    with quick_imports():
        from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    given = generation_config(folder).get("eos_token_id", tokenizer.eos_token_id)
    ids = {tokenizer.eos_token_id, *(given if isinstance(given, list) else [given])} - {None}
    return [str(tokenizer.decode([token])) for token in sorted(ids)]
