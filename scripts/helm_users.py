"""Writes the users of the chart's Valkey, from those of service/core/redis/acl.py.

Run as `make helm-readme`. The shell that starts Valkey inserts the passwords.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from service.core.redis.acl import USERS

FILE: Final = Path(__file__).parent.parent / "helm" / "finetuned" / "files" / "valkey-users.conf"


def users() -> str:
    """Return the lines of Valkey's configuration, with a variable for each password."""
    return "".join(
        f"user {name} on >${name.upper()}_PASSWORD {user.rules()}\n" for name, user in USERS.items()
    )


if __name__ == "__main__":
    FILE.write_text(users(), "utf-8")
