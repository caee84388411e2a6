"""Tests of cached keys, of client addresses, and of the throttle of failures."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from service.config import Settings
from service.core.errors import Unauthenticated
from service.core.networks import network
from service.web.auth import Authenticator, Principal
from service.web.client_address import ClientAddresses, FailureThrottle
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


PROXIES = [network(text) for text in ("10.0.0.0/8", "2001:db8::/32")]


def scope(peer: str | None, *forwarded: str) -> dict[str, Any]:
    """A request over a connection, with these headers."""
    headers = [(b"x-forwarded-for", text.encode()) for text in forwarded]
    return {"client": peer and (peer, 1), "headers": headers}


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.1"], "192.0.2.1"),
        ("::ffff:192.0.2.1", [], "192.0.2.1"),
        ("10.0.0.1", ["192.0.2.1"], "192.0.2.1"),
        ("::ffff:10.0.0.1", ["::ffff:192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", ["198.51.100.1, 192.0.2.1,10.0.0.2"], "192.0.2.1"),
        ("10.0.0.1", ["198.51.100.1", "192.0.2.1"], "192.0.2.1"),
        ("2001:db8::1", ["2001:db8::2, 2001:db9::1 , 2001:db8::3"], "2001:db9::1"),
        ("10.0.0.1", [], None),
        ("10.0.0.1", ["10.0.0.2"], None),
        ("10.0.0.1", ["192.0.2.1, unknown"], None),
        ("10.0.0.1", ["192.0.2.1:80"], None),
        ("10.0.0.1", ["192.0.2.1" + ", 10.0.0.2" * 16], None),
        ("not an address", [], None),
        (None, ["192.0.2.1"], None),
    ],
)
def test_only_trusted_proxies_state_an_address(peer, forwarded, address):
    expected = address and ip_address(address)
    assert ClientAddresses(PROXIES).find(scope(peer, *forwarded)) == expected


def test_proxies_are_a_list_of_ranges(monkeypatch):
    monkeypatch.setenv("FINETUNED_TRUSTED_PROXIES", "10.0.0.0/8, 2001:db8::1")
    assert Settings().trusted_proxies == ("10.0.0.0/8", "2001:db8::1")
    monkeypatch.setenv("FINETUNED_TRUSTED_PROXIES", "10.0.0.1/8")
    with pytest.raises(ValueError, match="is not an IP address or a range"):
        Settings()


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_failures_are_counted_for_each_address_and_decay():
    throttle = FailureThrottle(2, clock=(clock := Clock()))
    one, other = ip_address("192.0.2.1"), ip_address("192.0.2.2")
    assert [throttle.record_failure(one) for _ in range(4)] == [None, None, 30, 30]
    assert throttle.record_failure(other) is None
    clock.now_s = 29
    assert throttle.record_failure(one) == 1
    clock.now_s = 30
    assert throttle.record_failure(one) is None
    assert throttle.record_failure(one) == 30


def test_an_ipv6_network_counts_as_one_address():
    throttle = FailureThrottle(1, clock=Clock())
    assert throttle.record_failure(ip_address("2001:db8::1")) is None
    assert throttle.record_failure(ip_address("2001:db8::ffff:1")) == 60
    assert throttle.record_failure(ip_address("2001:db8:0:1::1")) is None


def test_the_throttle_is_bounded_and_can_be_off():
    throttle = FailureThrottle(1, clock=Clock())
    for number in range(10_050):
        throttle.record_failure(ip_address(number))
    assert len(throttle._failures) == 10_000
    off = FailureThrottle(0)
    assert [off.record_failure(None) for _ in range(1000)] == [None] * 1000
