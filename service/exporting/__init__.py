"""Writes and proves the artifact of an export, in a child process.

`python -m service.exporting SPEC.json` runs offline and knows only local files: no HTTP, Redis or
storage. `service.exports` is the API and the task that starts it, and imports only this module,
which loads no heavy libraries. `contract` has the spec and the messages, `export` the steps of each
format, `merge` the weights, `gguf` what is for llama.cpp and Ollama, `proof` the bounds within
which an artifact must answer like the engine, and `card` the README.
"""

from service.exporting.contract import (
    EXTRA_FORMATS,
    QUANTIZED_FORMATS,
    AnswerBounds,
    ChatMessage,
    Evaluation,
    ExportSpec,
    Failed,
    Format,
    Progress,
    Proof,
    Quantization,
    Reference,
    ScoredTokens,
    Succeeded,
    parse_message,
)
from service.exporting.gguf import EXTRA, missing_packages

__all__ = [
    "EXTRA",
    "EXTRA_FORMATS",
    "QUANTIZED_FORMATS",
    "AnswerBounds",
    "ChatMessage",
    "Evaluation",
    "ExportSpec",
    "Failed",
    "Format",
    "Progress",
    "Proof",
    "Quantization",
    "Reference",
    "ScoredTokens",
    "Succeeded",
    "missing_packages",
    "parse_message",
]
