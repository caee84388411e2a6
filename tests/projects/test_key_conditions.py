"""Tests of keys that expire, that belong to addresses, that are rotated, and of their last use."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest

from service.app import create_app
from service.config import Settings
from service.core import clock
from service.projects.records import MAX_OLD_SECRETS, Projects, Role, digest_of
from tests.conftest import BASE_MODEL, Api, running
from tests.projects.test_roles import bearer, chats_with, keys_path

DAY_S = 24 * 3600


@pytest.fixture
async def admin(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    """A client whose key manages the keys of acme."""
    async with await api.client("acme", Role.PROJECT_ADMIN) as http:
        yield http


@pytest.fixture
def later() -> Iterator[Callable[[float], None]]:
    """Moves the clock ahead."""
    yield clock.set_difference
    clock.set_difference(0)


async def created(api: Api, admin: httpx.AsyncClient, **fields: Any) -> tuple[str, dict[str, Any]]:
    """A new key of acme, with its path."""
    path = await keys_path(api)
    answer = await admin.post(path, json={"name": "x", **fields})
    assert answer.status_code == 200, answer.text
    return f"{path}/{answer.json()['id']}", answer.json()


async def code(http: httpx.AsyncClient, key: dict[str, Any], **headers: str) -> str | None:
    """The code of the refusal of a key by the API and by the gateway, or None if it works."""
    listed = await http.get("/v1/models", headers=bearer(key) | headers)
    chat = await http.post("/v1/chat/completions", json={}, headers=bearer(key) | headers)
    if listed.status_code == 200:
        assert chat.status_code == 400
        return None
    assert chat.json() == listed.json()
    assert listed.status_code == chat.status_code == 401
    return str(listed.json()["error"]["code"])


async def test_a_key_expires(api: Api, admin, later):
    _, key = await created(api, admin, expires_in_seconds=3600)
    assert abs(key["expires_at"] - clock.now_s() - 3600) < 60
    assert await code(admin, key) is None
    later(3700)
    assert await code(admin, key) == "api_key_expired"


async def test_an_expired_key_is_refused_from_the_cache(settings: Settings, api: Api, later):
    """Without another look at Redis, which does not know the time."""
    app = create_app(settings.model_copy(update={"lookup_cache_s": 3600}))
    async with running(app) as url, await api.client("acme", Role.PROJECT_ADMIN) as admin:
        _, key = await created(api, admin, expires_in_seconds=3600)
        async with httpx.AsyncClient(base_url=url) as http:
            assert await code(http, key) is None
            await api.app.state.redis.flushdb()
            assert await code(http, key) is None
            later(3700)
            assert await code(http, key) == "api_key_expired"


async def test_expiry_is_changed_and_removed(api: Api, admin, later):
    path, key = await created(api, admin)
    assert key["expires_at"] is None
    changed = await admin.post(path, json={"expires_in_seconds": 60})
    assert changed.json()["expires_at"] is not None
    unchanged = await admin.post(path, json={"name": "y"})
    assert unchanged.json()["expires_at"] == changed.json()["expires_at"]
    later(120)
    assert await code(admin, key) == "api_key_expired"
    assert (await admin.post(path, json={"expires_in_seconds": None})).json()["expires_at"] is None
    assert await code(admin, key) is None


async def test_a_key_works_from_its_addresses_only(api: Api, admin):
    path, key = await created(api, admin, allowed_ips=["192.0.2.7", "2001:db8::/32"])
    assert key["allowed_ips"] == ["192.0.2.7/32", "2001:db8::/32"]
    assert await code(admin, key) == "ip_not_authorized"
    # Nobody vouches for this header.
    claimed = {"x-forwarded-for": "192.0.2.7"}
    assert await code(admin, key, **claimed) == "ip_not_authorized"
    answer = await admin.get("/v1/models", headers=bearer(key))
    assert "from the address 127.0.0.1." in answer.json()["error"]["message"]
    await admin.post(path, json={"allowed_ips": ["127.0.0.0/8", "::1"]})
    assert await code(admin, key) is None
    assert (await admin.post(path, json={"allowed_ips": None})).json()["allowed_ips"] is None


async def test_x_forwarded_for_counts_behind_a_trusted_proxy(settings: Settings, api: Api, admin):
    proxies = ("127.0.0.1", "10.0.0.0/8")
    app = create_app(settings.model_copy(update={"trusted_proxies": proxies}))
    _, key = await created(api, admin, allowed_ips=["192.0.2.0/24"])
    async with running(app) as url, httpx.AsyncClient(base_url=url) as http:
        assert await code(http, key, **{"x-forwarded-for": "192.0.2.9, 10.1.2.3"}) is None
        for forwarded in (
            {},
            {"x-forwarded-for": "192.0.2.9, 203.0.113.1"},
            {"x-forwarded-for": "192.0.2.9, nonsense"},
            {"x-forwarded-for": "10.1.2.3"},
        ):
            assert await code(http, key, **forwarded) == "ip_not_authorized", forwarded


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("expires_in_seconds", 0),
        ("expires_in_seconds", "soon"),
        ("expires_in_seconds", 11 * 366 * DAY_S),
        ("allowed_ips", []),
        ("allowed_ips", ["192.0.2.1/24"]),
        ("allowed_ips", ["localhost"]),
        ("allowed_ips", ["192.0.2.1"] * 101),
    ],
)
async def test_wrong_conditions_are_400(api: Api, admin, field, value):
    answer = await admin.post(await keys_path(api), json={"name": "x", field: value})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"].startswith(field)


async def test_earlier_versions_do_not_find_keys_with_conditions(api: Api, admin):
    redis = api.app.state.redis
    for condition in ({"expires_in_seconds": 60}, {"allowed_ips": ["127.0.0.1"]}):
        path, key = await created(api, admin)
        known = f"finetuned:key-digests:{digest_of(key['value'])}"
        assert await redis.exists(known)
        await admin.post(path, json=condition)
        assert not await redis.exists(known)
        assert await code(admin, key) is None
    path, key = await created(api, admin)
    new = (await admin.post(f"{path}/rotate", json={})).json()
    assert not await redis.exists(f"finetuned:key-digests:{digest_of(key['value'])}")
    assert await redis.exists(f"finetuned:key-digests:{digest_of(new['value'])}")


async def test_a_rotated_key_has_two_secrets_for_a_while(api: Api, admin, later):
    path, key = await created(api, admin, role="inference")
    new = (await admin.post(f"{path}/rotate", json={"overlap_seconds": 600})).json()
    assert new["value"] != key["value"]
    assert (new["id"], new["role"], new["name"]) == (key["id"], "inference", "x")
    [previous] = new["previous_secrets"]
    assert previous["redacted_value"] == key["redacted_value"]
    assert await code(admin, key) is None
    assert await code(admin, new) is None
    later(700)
    assert await code(admin, key) == "api_key_expired"
    assert await code(admin, new) is None
    assert (await admin.get(path)).json()["previous_secrets"] == []
    await admin.delete(path)
    assert await code(admin, key) == await code(admin, new) == "invalid_api_key"
    for secret in (key["value"], new["value"]):
        assert await api.app.state.redis.keys(f"*{digest_of(secret)}") == []


async def test_a_repeated_rotation_keeps_the_secret_in_use(api: Api, admin):
    """As after a lost answer, whose secret nobody has."""
    path, key = await created(api, admin)
    await admin.post(f"{path}/rotate")
    new = (await admin.post(f"{path}/rotate")).json()
    assert len(new["previous_secrets"]) == 2
    assert await code(admin, key) is None
    leaked = (await admin.post(f"{path}/rotate", json={"overlap_seconds": 0})).json()
    assert leaked["previous_secrets"] == []
    assert await code(admin, key) == await code(admin, new) == "invalid_api_key"
    assert await code(admin, leaked) is None


async def test_the_number_of_valid_secrets_is_bounded(api: Api, admin):
    path, _ = await created(api, admin)
    for _ in range(MAX_OLD_SECRETS):
        assert (await admin.post(f"{path}/rotate")).status_code == 200
    answer = await admin.post(f"{path}/rotate")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "limit_reached")
    assert (await admin.post(f"{path}/rotate", json={"overlap_seconds": 0})).status_code == 200


async def test_nobody_gets_the_secret_of_a_more_powerful_key(api: Api, admin):
    store: Projects = api.app.state.projects
    project = await store.by_name("acme")
    assert project is not None
    root, _ = await store.create_key(project, "root", Role.ADMIN)
    answer = await admin.post(f"{await keys_path(api)}/{root.id}/rotate")
    assert answer.status_code == 403
    assert await store.keys.get(project.id, root.id) == root


async def test_the_last_use_of_a_key_is_shown(api: Api, admin):
    path, key = await created(api, admin, role="inference")
    assert (await admin.get(path)).json()["last_used_at"] is None
    before = clock.now_s()
    await chats_with(admin, BASE_MODEL, headers=bearer(key))
    await api.app.state.key_uses.flush()
    shown = (await admin.get(path)).json()["last_used_at"]
    assert before <= shown <= clock.now_s()
    listed = (await admin.get(await keys_path(api))).json()["data"]
    assert shown in [one["last_used_at"] for one in listed]
    # What another process noted before does not replace it.
    api.app.state.key_uses._noted[path.split("/")[4], key["id"]] = before - 100
    await api.app.state.key_uses.flush()
    assert (await admin.get(path)).json()["last_used_at"] == shown


async def test_a_revoked_key_leaves_no_last_use(api: Api, admin):
    path, key = await created(api, admin)
    assert await code(admin, key) is None
    await admin.delete(path)
    await api.app.state.key_uses.flush()
    [use] = await api.app.state.key_uses.last(path.split("/")[4], [key["id"]])
    assert use is None


async def test_failures_of_an_address_are_throttled_and_valid_keys_are_not(settings: Settings, api):
    app = create_app(settings.model_copy(update={"failed_authentications_per_minute": 3}))
    key = {"value": await api.key("acme")}
    async with running(app) as url, httpx.AsyncClient(base_url=url) as http:
        answers = [
            await http.get("/v1/models", headers={"authorization": f"Bearer sk-ft-{n}"})
            for n in range(5)
        ]
        assert [answer.status_code for answer in answers] == [401, 401, 401, 429, 429]
        last = answers[-1]
        assert last.json()["error"]["code"] == "rate_limit_exceeded"
        assert 1 <= int(last.headers["retry-after"]) <= 60
        assert last.headers["x-should-retry"] == "false"
        assert await code(http, key) is None
        chat = await http.post(
            "/v1/chat/completions", json={}, headers={"authorization": "Bearer sk-ft-x"}
        )
        assert chat.status_code == 429
        assert (await http.get("/v1/models")).status_code == 401  # no key is no guess
