"""The tables of the page about keys and roles say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from service.web.permissions import PERMISSIONS, Permission, Role

_PAGE = Path(__file__).parents[2] / "docs" / "access.md"


def rows_below(heading: str) -> list[list[str]]:
    """The cells of the rows of the first table below a heading."""
    section = _PAGE.read_text("utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_role_is_described():
    assert [row[0].strip("`") for row in rows_below("Roles")] == [*Role]


def test_permissions_and_their_roles_are_those_of_the_code():
    described = {}
    for name, _, roles in rows_below("Permissions"):
        names = [*Role] if roles == "all" else re.findall(r"`(\w+)`", roles)
        described[name.strip("`")] = names
    assert described == {
        permission.value: [role for role in Role if permission in PERMISSIONS[role]]
        for permission in Permission
    }
