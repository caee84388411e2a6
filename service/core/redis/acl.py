"""Lists the users of Redis: which commands and keys each process of the service may use.

An engine runs the most third-party code, and a worker parses user files. So an engine may only read
where adapters are, and a worker can create neither an API key nor a session: they are found by
their digests, which it may not write. Neither may write the key with which version 0.2.0 signed,
and only a worker may read and delete it. The API and workers may use all other keys of the service,
but no command that affects the server. Operators' commands, such as `keys create` and `backup`,
need a user that may do everything.

None of them can reach channels and keys of other programs on the same server.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

from service.core.records import PREFIX

API, WORKER, ENGINE = "api", "worker", "engine"
OPERATOR: Final = "operator"

_CONNECTION: Final = ("+auth", "+hello", "+ping", "+select", "+client|setname", "+client|setinfo")
_RECORDS: Final = (
    *("+@read", "+@write", "+@transaction", "+@pubsub", "+eval", "+evalsha", "+script|load"),
    # Not allowed: other databases and servers, stored functions, and blocking commands.
    *("-@dangerous", "-@blocking", "-function", "-move", "-copy"),
    *("+time", "+info", "+wait", "+waitaof", "+client|list", "+client|info"),
)
_AFTER_DELETIONS: Final = ("+bgrewriteaof",)
# For the journal, which tracks changed keys, and pauses writes to read the last of them.
_JOURNAL: Final = (
    *("+client|id", "+client|tracking", "+client|trackinginfo", "+client|pause"),
    *("+client|unpause", "+eval_ro"),
)
_KEY_DIGESTS: Final = ("key-digests", "restricted-key-digests")
_SIGNING_KEY: Final = "signing-key"
_NOT_OF_WORKERS: Final = (*_KEY_DIGESTS, "session", _SIGNING_KEY)


@dataclass(frozen=True)
class User:
    """A user of Redis, without its password."""

    commands: tuple[str, ...]
    keys: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    selectors: tuple[str, ...] = ()
    """Alternative rules, each with its own keys and commands."""

    def rules(self) -> str:
        """Return the rules of an ACL file, after the user's name and password."""
        return " ".join(
            (
                *("resetkeys", "resetchannels", "-@all"),
                *self.keys,
                *(f"&{channel}" for channel in self.channels),
                *self.commands,
                *(f"({selector})" for selector in self.selectors),
            )
        )


def _patterns_except(names: Iterable[str]) -> Iterator[str]:
    """Yield patterns that match all keys of the service except those with these prefixes.

    Redis can allow patterns, but cannot exclude any.
    """
    prefixes: dict[str, set[str]] = {
        name[:size]: set() for name in names for size in range(len(name))
    }
    for name in names:
        for size in range(len(name)):
            prefixes[name[:size]].add(name[size])
    for prefix, continued in sorted(prefixes.items()):
        others = "".join(sorted(continued)).replace("-", r"\-")
        yield f"~{PREFIX}:{prefix}[^{others}]*"


_QUEUES: Final = "~arq:*"
USERS: Final[Mapping[str, User]] = {
    API: User(
        commands=(*_CONNECTION, *_RECORDS),
        keys=(*_patterns_except([_SIGNING_KEY]), _QUEUES),
        channels=(f"{PREFIX}:*",),
    ),
    WORKER: User(
        commands=(*_CONNECTION, *_RECORDS, *_JOURNAL, *_AFTER_DELETIONS),
        keys=(
            f"%R~{PREFIX}:*",
            *_patterns_except(_NOT_OF_WORKERS),
            _QUEUES,
        ),
        channels=(f"{PREFIX}:*", "__redis__:invalidate"),
        # The deletion of a project revokes its keys.
        selectors=(
            f"~{PREFIX}:* +del +unlink",
            f"~{PREFIX}:key-digests-revoked +sadd",
        ),
    ),
    ENGINE: User(
        # It learns of deleted models, and removes its copies.
        commands=(*_CONNECTION, "+get", "+hget", "+zscore", "+subscribe", "+unsubscribe"),
        channels=(f"{PREFIX}:invalidations", f"{PREFIX}:job-changes"),
        keys=tuple(
            f"%R~{PREFIX}:{name}"
            for name in ("model-owners", "*:models:*", "draft:*", "highest-lora-rank")
        ),
    ),
}
"""The processes' users, by name."""


def acl_lines(passwords: Mapping[str, str]) -> list[str]:
    """Return the lines of an ACL file for the users in `passwords`.

    `operator` may do everything. The file contains only digests of the passwords.
    """
    rules = {name: user.rules() for name, user in USERS.items()}
    rules[OPERATOR] = "allkeys allchannels +@all"
    return [
        f"user {name} on #{hashlib.sha256(password.encode()).hexdigest()} {rules[name]}"
        for name, password in passwords.items()
    ]


def with_credentials(url: str, user: str, password: str) -> str:
    """Return the URL of a Redis with the name and password of a user."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}"))
