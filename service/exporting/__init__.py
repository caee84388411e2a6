"""Exports: a trained adapter and its base model, written as a folder that other software can use.

An export runs in a child process (`python -m service.exporting SPEC.json`), offline. The parent
imports only this module, which loads no heavy libraries.
"""

from service.exporting.contract import (
    AnswerBounds,
    ChatMessage,
    ExportSpec,
    Failed,
    Progress,
    Proof,
    Reference,
    Succeeded,
    parse_message,
)

__all__ = [
    "AnswerBounds",
    "ChatMessage",
    "ExportSpec",
    "Failed",
    "Progress",
    "Proof",
    "Reference",
    "Succeeded",
    "parse_message",
]
