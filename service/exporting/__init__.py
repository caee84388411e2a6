"""Exports: a trained adapter and its base model, written as a folder that other software can use.

An export runs in a child process (`python -m service.exporting SPEC.json`), offline. The parent
imports only this module, which loads no heavy libraries.
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
