"""Tests of `keys`, such as `ensure`, with which an installer registers its own key once."""

from __future__ import annotations

import json

import pytest

from service.cli.keys import create_key
from service.core.redis import connect
from service.projects.records import KeyRevoked, Projects, Role, digest_of
from tests.cli.test_cli import run

pytestmark = pytest.mark.slow

SECRET = "sk-ft-" + "x" * 40


def ensure(redis_url: str, secret: str = SECRET, project: str = "ensured"):
    return run(
        *("keys", "ensure", "--project", project, "--name", "first", "--role", "admin"),
        FINETUNED_REDIS_URL=redis_url,
        FINETUNED_NEW_KEY=secret,
    )


async def test_the_key_is_made_once_and_never_printed(redis_url):
    first, second = ensure(redis_url), ensure(redis_url)
    assert (first.returncode, first.stdout) == (0, "the key was created\n")
    assert (second.returncode, second.stdout) == (0, "the key already exists\n")
    assert SECRET not in first.stdout + first.stderr + second.stderr
    redis = connect(redis_url)
    projects = Projects(redis)
    found = await projects.find_key(digest_of(SECRET))
    assert found is not None
    key, project = found
    assert (key.name, key.role, project.name) == ("first", Role.ADMIN, "ensured")
    assert len((await projects.keys.page(project.id)).items) == 1
    await redis.aclose(close_connection_pool=True)


async def test_keys_are_listed_without_their_secrets(redis_url, monkeypatch):
    monkeypatch.setenv("FINETUNED_REDIS_URL", redis_url)
    secret = await create_key(None, "listed", "nightly", "reader", expires_in_days=9)
    await create_key(None, "unlisted", "other", "member")
    done = run("keys", "list", "--project", "listed", "--json", FINETUNED_REDIS_URL=redis_url)
    (key,) = json.loads(done.stdout)
    assert (key["project"], key["name"], key["role"]) == ("listed", "nightly", "reader")
    assert key["secret_ends_with"] == secret[-4:]
    assert key["created"] < key["expires"]
    all_of_them = run("keys", "list", FINETUNED_REDIS_URL=redis_url).stdout
    assert f"{key['id']}\tlisted\treader\t" in all_of_them
    assert "\tunlisted\t" in all_of_them
    assert secret not in done.stdout + all_of_them
    unknown = run("keys", "list", "--project", "nobody", FINETUNED_REDIS_URL=redis_url)
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "there is no project nobody" in unknown.stderr


async def test_a_revoked_key_stays_revoked(redis_url):
    """The chart ensures its key at every upgrade, even after an admin has revoked it."""
    secret = "sk-ft-" + "r" * 40
    assert ensure(redis_url, secret, "revoked").stdout == "the key was created\n"
    redis = connect(redis_url)
    projects = Projects(redis)
    found = await projects.find_key(digest_of(secret))
    assert found is not None
    key, project = found
    await projects.revoke_key(project.id, key.id)
    again = ensure(redis_url, secret, "revoked")
    found = await projects.find_key(digest_of(secret))
    with pytest.raises(KeyRevoked):
        await projects.create_key(project, "by another way", Role.ADMIN, secret=secret)
    await redis.aclose(close_connection_pool=True)
    assert found is None
    assert again.returncode == 0, "an upgrade must not fail on it"
    assert again.stdout == (
        "the key was revoked and stays revoked: set another one in FINETUNED_NEW_KEY, or "
        "create one with 'finetuned-server keys create'\n"
    )
    assert secret not in again.stdout + again.stderr


@pytest.mark.parametrize("secret", ["", "too-short", "with a blank" * 4, "ü" * 40])
def test_a_weak_key_is_refused(redis_url, secret):
    done = ensure(redis_url, secret)
    assert done.returncode == 1
    assert "32 to 512 visible ASCII characters" in done.stderr


def test_an_unavailable_redis_is_explained():
    done = ensure("redis://127.0.0.1:1/0")
    assert done.returncode == 1
    assert "Redis cannot be reached" in done.stderr


async def test_a_new_key_can_be_limited_to_models(redis_url, monkeypatch):
    monkeypatch.setenv("FINETUNED_REDIS_URL", redis_url)
    secret = await create_key(None, "limited", "bot", "inference", ["support"], 2)
    redis = connect(redis_url)
    found = await Projects(redis).find_key(digest_of(secret))
    await redis.aclose(close_connection_pool=True)
    assert found is not None
    key, _ = found
    assert (key.role, key.models) == (Role.INFERENCE, ("support",))
    assert 0 <= key.created_at + 2 * 24 * 3600 - (key.expires_at or 0) <= 60
    with pytest.raises(ValueError, match="only keys with the role inference"):
        await create_key(None, "limited", "bot", "member", ["support"])
    with pytest.raises(ValueError, match="the roles are admin, project_admin, member"):
        await create_key(None, "limited", "bot", "superuser")
