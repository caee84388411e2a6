"""The items of prompts: what a grader knows about a row besides the conversation."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

CONTEXT: Final = frozenset({"messages", "tools", "functions", "parallel_tool_calls"})
"""Fields of a row that the model sees. All others are the item."""


def item_of(row: Mapping[str, Any], context: Collection[str] = CONTEXT) -> dict[str, Any]:
    """Return the fields besides the conversation. A canonical row has them in `item` already."""
    item = {field: value for field, value in row.items() if field not in context}
    inner = item.get("item")
    return inner if len(item) == 1 and isinstance(inner, dict) else item
