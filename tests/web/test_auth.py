"""Tests of cached keys, and of their invalidation by id or project."""

from __future__ import annotations

import pytest

from service.core.errors import Unauthenticated
from service.web.auth import Authenticator, Principal
from service.web.permissions import Role

SCOPE = {"type": "http", "client": ("127.0.0.1", 1), "headers": []}
KEYS = {
    "sk-a1": Principal("key_1", "proj_a", "a", Role.MEMBER),
    "sk-a2": Principal("key_2", "proj_a", "a", Role.MEMBER),
    "sk-b1": Principal("key_1", "proj_b", "b", Role.MEMBER),
}


class Store:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.keys = dict(KEYS)

    async def find(self, secret: str) -> Principal | None:
        self.asked.append(secret)
        return self.keys.get(secret)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
async def authenticator(store: Store) -> Authenticator:
    """An authenticator that has looked up all keys."""
    authenticator = Authenticator(store.find, cache_s=100)
    for secret, principal in KEYS.items():
        assert await authenticator.authenticate(f"Bearer {secret}", SCOPE) == principal
    store.asked.clear()
    return authenticator


async def ask_all(authenticator: Authenticator) -> None:
    for secret in KEYS:
        await authenticator.authenticate(f"Bearer {secret}", SCOPE)


async def test_keys_are_cached(authenticator, store):
    await ask_all(authenticator)
    assert store.asked == []


async def test_one_key_is_forgotten_by_its_id(authenticator, store):
    authenticator.forget_key("proj_a", "key_1")
    await ask_all(authenticator)
    assert store.asked == ["sk-a1"]


async def test_all_keys_of_a_project_are_forgotten_with_it(authenticator, store):
    authenticator.forget_project("proj_a")
    await ask_all(authenticator)
    assert store.asked == ["sk-a1", "sk-a2"]


async def test_a_revoked_key_is_rejected_immediately(authenticator, store):
    del store.keys["sk-a1"]
    await authenticator.authenticate("Bearer sk-a1", SCOPE)  # cached
    authenticator.forget_key("proj_a", "key_1")
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            await authenticator.authenticate("Bearer sk-a1", SCOPE)
    assert store.asked == ["sk-a1"]  # and its absence is cached too


async def test_guesses_do_not_evict_keys_in_use(authenticator, store):
    for i in range(12_000):
        with pytest.raises(Unauthenticated):
            await authenticator.authenticate(f"Bearer sk-guess{i}", SCOPE)
    store.asked.clear()
    await ask_all(authenticator)
    assert store.asked == []
