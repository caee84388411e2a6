"""What a recording will cost at most."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# Dollars per million tokens of fine-tuned models, prompt and answer, as published in 2025.
_PRICES = {
    "gpt-4.1-nano": (0.2, 0.8),
    "gpt-4.1-mini": (0.8, 3.2),
    "gpt-4.1": (3.0, 12.0),
    "gpt-4o-mini": (0.3, 1.2),
    "gpt-4o": (3.75, 15.0),
    "gpt-3.5-turbo": (3.0, 6.0),
}
# A token has three to four bytes of English and at least one of any text. Three is on the safe
# side for most languages.
_BYTES_PER_TOKEN = 3


@dataclass(frozen=True)
class Estimate:
    """Requests and tokens of the answers that are missing, and their highest cost."""

    requests: int
    prompt_tokens: int
    most_answer_tokens: int
    most_dollars: float | None
    """None if the price of a model is unknown."""

    @classmethod
    def of(
        cls,
        missing: Sequence[tuple[str, list[dict[str, Any]]]],
        *,
        max_tokens: int,
        price: tuple[float, float] | None,
    ) -> Estimate:
        """Estimate the prompts that are missing, as pairs of a model and a chat.

        `price` is in dollars per million tokens, prompt and answer; None: as published.
        """
        prompt_tokens, dollars, known = 0, 0.0, True
        for model, chat in missing:
            tokens = len(json.dumps(chat, ensure_ascii=False).encode()) // _BYTES_PER_TOKEN + 1
            prompt_tokens += tokens
            found = price or price_of(model)
            known = known and found is not None
            if found is not None:
                dollars += (tokens * found[0] + max_tokens * found[1]) / 1e6
        return cls(
            requests=len(missing),
            prompt_tokens=prompt_tokens,
            most_answer_tokens=len(missing) * max_tokens,
            most_dollars=dollars if known else None,
        )


def price_of(model: str) -> tuple[float, float] | None:
    """Return the published price of a fine-tuned model: that of its base; None if unknown."""
    base = model.removeprefix("ft:").partition(":")[0]
    return next((price for name, price in _PRICES.items() if base.startswith(name)), None)
