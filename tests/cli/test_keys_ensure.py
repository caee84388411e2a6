"""`keys ensure`: an installer's own key, made once."""

from __future__ import annotations

import pytest

from service.core.redis import connect
from service.projects.records import Projects, Role, digest_of
from tests.cli.test_cli import run

SECRET = "sk-ft-" + "x" * 40


def ensure(redis_url: str, secret: str = SECRET, project: str = "ensured"):
    return run(
        *("keys", "ensure", "--project", project, "--name", "first", "--role", "admin"),
        FINETUNED_REDIS_URL=redis_url,
        FINETUNED_NEW_KEY=secret,
    )


async def test_the_key_is_made_once_and_never_printed(redis_url):
    first, second = ensure(redis_url), ensure(redis_url)
    assert (first.returncode, first.stdout) == (0, "the key was made\n")
    assert (second.returncode, second.stdout) == (0, "the key is known already\n")
    assert SECRET not in first.stdout + first.stderr + second.stderr
    redis = connect(redis_url)
    projects = Projects(redis)
    key, project = await projects.find_key(digest_of(SECRET))
    assert (key.name, key.role, project.name) == ("first", Role.ADMIN, "ensured")
    assert len((await projects.keys.page(project.id)).items) == 1
    await redis.aclose(close_connection_pool=True)


@pytest.mark.parametrize("secret", ["", "too-short", "with a blank" * 4, "ü" * 40])
def test_a_weak_key_is_refused(redis_url, secret):
    done = ensure(redis_url, secret)
    assert done.returncode == 1
    assert "32 to 512 visible characters" in done.stderr


def test_a_store_that_is_away_is_said():
    done = ensure("redis://127.0.0.1:1/0")
    assert done.returncode == 1
    assert "Redis cannot be reached" in done.stderr
