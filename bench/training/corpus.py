"""Synthetic rows with a chat-like length distribution: many short ones, few long ones."""

from __future__ import annotations

import json
import random
from pathlib import Path

SENTENCES = (
    "the order was sent on monday and will arrive within three days please keep the receipt "
    "we are sorry for the delay your refund is on its way to the card that you paid with "
    "open the settings choose security and turn on the second factor then sign in again"
)
WORDS = SENTENCES.split()


def _text(chance: random.Random, words: int) -> str:
    return " ".join(chance.choice(WORDS) for _ in range(max(words, 1))).capitalize() + "."


def write_rows(path: Path, count: int, *, median_words: int = 60, spread: float = 0.9) -> Path:
    """Write single-turn chats whose answers have log-normally distributed lengths."""
    chance = random.Random(0)
    with path.open("w", encoding="utf-8") as lines:
        for _ in range(count):
            answer = _text(chance, min(round(chance.lognormvariate(0, spread) * median_words), 700))
            messages = [
                {"role": "user", "content": _text(chance, chance.randint(5, 40))},
                {"role": "assistant", "content": answer},
            ]
            lines.write(json.dumps({"messages": messages}) + "\n")
    return path


def write_pairs(path: Path, count: int, *, median_words: int = 60) -> Path:
    """Write preference pairs with answers of similar length."""
    chance = random.Random(1)
    with path.open("w", encoding="utf-8") as lines:
        for _ in range(count):
            words = round(chance.lognormvariate(0, 0.4) * median_words)
            outputs = [
                [{"role": "assistant", "content": _text(chance, words + chance.randint(-9, 9))}]
                for _ in range(2)
            ]
            given = [{"role": "user", "content": _text(chance, chance.randint(5, 40))}]
            row = {
                "input": {"messages": given},
                "preferred_output": outputs[0],
                "non_preferred_output": outputs[1],
            }
            lines.write(json.dumps(row) + "\n")
    return path
