"""The sampling that an engine uses by default, for software that has other defaults.

Ollama and llama.cpp name these parameters alike. Where they are not set, Ollama takes temperature
0.8, top_k 40, top_p 0.9 and repeat_penalty 1.1, and llama.cpp has defaults of its own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

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
