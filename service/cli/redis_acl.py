"""`redis-acl`: the users of an installation's own Redis, as a file for the server."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from service.core.redis.acl import OPERATOR, USERS, acl_lines
from service.standalone.layout import write_private

_PASSWORD = re.compile(r"[!-~]{16,}")


def acl_file(folder: Path) -> str:
    """Return an ACL file whose users have the passwords in a folder, which is filled if necessary.

    Without a user, Redis refuses all commands. Raises ValueError for a bad password.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    passwords = {name: _password(folder / name) for name in (*USERS, OPERATOR)}
    return "\n".join(["user default off", *acl_lines(passwords), ""])


def _password(file: Path) -> str:
    if not file.exists():
        write_private(file, secrets.token_urlsafe(32))
    password = file.read_text("utf-8").strip()
    if not _PASSWORD.fullmatch(password):
        raise ValueError(f"{file} must have a password of at least 16 ASCII characters, no spaces")
    return password
