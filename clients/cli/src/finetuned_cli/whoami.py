"""The `finetuned whoami` command."""

from __future__ import annotations

from finetuned import config
from finetuned.types import ApiKeyLimitUsage, Caller, LimitUsage, ProjectLimitUsage

from finetuned_cli.admin.limits import storage_in_words
from finetuned_cli.output import Json, Out, plain, size
from finetuned_cli.session import client, profile


def whoami(as_json: Json = False) -> None:
    """Show the server, the API key, its project, and what is used of their limits."""
    out = Out(as_json)
    with client() as server:
        base_url, found = server.base_url, server.whoami.retrieve()
    if out.json:
        out.value({"base_url": base_url, **plain(found)})
        return
    key, project = found.api_key, found.project
    out.facts(
        [
            ("server", base_url),
            ("project", f"{project.name} ({project.id})"),
            ("key", f"{key.name} ({key.id})"),
            ("role", key.role),
            ("key from", _source()),
            *_limits("key", found.api_key_limits),
            *_limits("project", found.project_limits),
            ("storage", _storage(found)),
        ]
    )


def _source() -> str:
    if config.ENV_KEY in config.set_variables():
        return config.ENV_KEY
    return f"profile {profile()}"


def _storage(found: Caller) -> str:
    use = found.project_limits.storage_bytes
    kinds = sorted(found.project_storage.items(), key=lambda kind: -kind[1])
    shares = ", ".join(f"{name} {size(count)}" for name, count in kinds if count)
    return storage_in_words(use.used, use.limit) + (f" ({shares})" if shares else "")


def _limits(whose: str, allowance: ApiKeyLimitUsage | ProjectLimitUsage) -> list[tuple[str, str]]:
    limits: dict[str, LimitUsage] = {
        "requests per minute": allowance.requests_per_minute,
        "tokens per minute": allowance.tokens_per_minute,
        "concurrent requests": allowance.concurrent_requests,
        "concurrent streams": allowance.concurrent_streams,
    }
    limited = [
        f"{use.limit:,} {name} ({use.used:,} used)"
        for name, use in limits.items()
        if use.limit is not None
    ]
    return [(f"{whose} limits", ", ".join(limited) or "none")]
