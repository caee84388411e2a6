"""Checks of the order of roles in a conversation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

INSTRUCTION_ROLES = frozenset({"system", "developer"})


class OrderFinding(NamedTuple):
    """An issue code, the index of the message, and the role to show."""

    code: str
    place: int
    role: str


def check_order(roles: Sequence[str], *, ends_with_assistant: bool = True) -> list[OrderFinding]:
    """Return findings about the order of roles. None of them makes a row invalid."""
    found: list[OrderFinding] = []
    before = ""
    for index, role in enumerate(roles):
        if role in INSTRUCTION_ROLES:
            if index > 0:
                found.append(OrderFinding("system_not_first", index, role))
            continue
        if role == "assistant" and not before:
            found.append(OrderFinding("starts_with_assistant", index, role))
        if role == before and role in ("user", "assistant"):
            found.append(OrderFinding("repeated_role", index, role))
        before = role
    if ends_with_assistant and roles and roles[-1] != "assistant":
        found.append(OrderFinding("ends_without_assistant", len(roles) - 1, roles[-1]))
    return found
