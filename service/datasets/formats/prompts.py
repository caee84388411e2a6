"""Whether conversations are prompts: they await an answer that a grader scores."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from service.datasets.formats.turn_forms import are_turns, role_in, standard_role


def are_prompts(values: Iterable[Any], roles: Mapping[str, str]) -> bool:
    """Whether all conversations end before an answer, and one has no answer at all.

    Without the second condition, chats that a user ended would be read differently than before.
    """
    spoken = [found for value in values if (found := _roles(value, roles))]
    return (
        bool(spoken)
        and all(said[-1] != "assistant" for said in spoken)
        and any("assistant" not in said for said in spoken)
    )


def _roles(value: Any, roles: Mapping[str, str]) -> list[str | None] | None:
    if isinstance(value, str):  # in a table
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    if not are_turns(value):
        return None
    return [standard_role(str(role_in(turn)), roles) for turn in value]
