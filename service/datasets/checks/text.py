"""Checks of a text for NUL, control characters, special tokens of chat templates, and turns."""

from __future__ import annotations

import re

from service.datasets.checks.findings import Findings
from service.datasets.checks.issues import shown

CONTROL = re.compile(r"[\x01-\x08\x0b\x0c\x0e-\x1f]")
# Special tokens of common templates: ChatML, Llama 2 and 3, Mistral, Gemma, DeepSeek, Phi.
SPECIAL_TOKEN = re.compile(
    r"<\|[A-Za-z0-9_]{1,40}\|>|\[/?INST\]|<</?SYS>>|</?s>|<(?:start|end)_of_turn>"
    r"|<[be]os>|<｜[^<>｜]{1,40}｜>"
)
# Turns in the formats of Claude 2, Guanaco, Alpaca and Vicuna.
TURN_MARKER = re.compile(
    r"(?:\A|\n)[ \t]*(?:### )?(?:Human|Assistant):|(?:\A|\n)### (?:Instruction|Response):"
    r"|\b(?:USER|ASSISTANT):"
)


def check_text(found: Findings, text: str, at: str) -> None:
    """Add every issue of one string of a message."""
    if "\0" in text:
        found.add("nul_character", at)
    if CONTROL.search(text):
        found.add("control_character", at)
    if mark := SPECIAL_TOKEN.search(text):
        found.add("special_token", at, token=shown(mark.group()))
    if mark := TURN_MARKER.search(text):
        found.add("turn_marker", at, marker=mark.group().strip())
