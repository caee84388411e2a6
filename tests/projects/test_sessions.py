"""Tests of the sessions of browsers, and of each attack on them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from http.cookies import SimpleCookie
from typing import Any

import httpx
import pytest

from service.backup.snapshot import is_ephemeral
from service.config import Settings
from service.core import clock
from service.core.redis import Client
from service.projects.records import Projects, Role
from service.projects.sessions import MAX_SESSIONS, Sessions
from service.web.browser_sessions import COOKIE, SECURE_COOKIE
from tests.conftest import Api, upload

SESSION = "/v1/session"
CHAT = "/v1/chat/completions"


@pytest.fixture
async def page(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    """A page of the API's own origin, which keeps cookies and has no key."""
    async with httpx.AsyncClient(base_url=api.base_url, timeout=60, verify=False) as http:
        yield http


@pytest.fixture
def later() -> Iterator[Callable[[float], None]]:
    """Moves the clock ahead."""
    yield clock.set_difference
    clock.set_difference(0)


async def sign_in(
    page: httpx.AsyncClient, secret: str, **headers: str
) -> tuple[dict[str, Any], SimpleCookie]:
    """Begin a session, and return it with its cookie. The page then sends its CSRF token."""
    answer = await page.post(SESSION, headers={"authorization": f"Bearer {secret}", **headers})
    assert answer.status_code == 200, answer.text
    page.headers["x-csrf-token"] = answer.json()["csrf_token"]
    return answer.json(), SimpleCookie(answer.headers["set-cookie"])


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def test_a_page_signs_in_works_and_signs_out(api: Api, page):
    session, cookies = await sign_in(page, await api.key(role=Role.MEMBER))
    cookie = cookies[COOKIE]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/")
    assert not cookie["secure"]
    assert 0 < int(cookie["max-age"]) <= api.settings.session_lifetime_s
    assert session["caller"]["api_key"]["role"] == "member"
    assert session["expires_at"] - session["created_at"] == api.settings.session_lifetime_s
    again = (await page.get(SESSION)).json()
    assert again["caller"]["api_key"] == session["caller"]["api_key"]
    assert (again["csrf_token"], again["id"]) == (session["csrf_token"], session["id"])
    assert (await page.get("/v1/whoami")).status_code == 200
    assert (await upload(page, b"x", "user_data")).status_code == 200
    ended = await page.delete(SESSION)
    assert ended.json() == {"id": session["id"], "object": "session.deleted", "deleted": True}
    assert "Max-Age=0" in ended.headers["set-cookie"]
    page.cookies.set(COOKIE, cookie.value)
    assert refusal(await page.get(SESSION)) == (401, "session_expired")
    async with await api.client(role=Role.PROJECT_ADMIN) as admin:
        log = (await admin.get("/v1/organization/audit_logs")).json()["data"]
    made, gone = (
        [e for e in log if e["type"] == f"session.{what}"] for what in ("created", "deleted")
    )
    assert [entry["objects"] for entry in (*made, *gone)] == [[session["id"]]] * 2
    assert made[0]["actor"]["api_key"]["id"] == session["caller"]["api_key"]["id"]


async def test_a_change_needs_the_csrf_token(api: Api, page):
    session, _ = await sign_in(page, await api.key(role=Role.ADMIN))
    del page.headers["x-csrf-token"]
    async with httpx.AsyncClient(base_url=api.base_url, verify=False) as another:
        other, _ = await sign_in(another, await api.key(role=Role.ADMIN))
    assert (await page.get("/v1/files")).status_code == 200
    wrong = ["", "x", session["csrf_token"][:-1], other["csrf_token"], "é" * 43]
    for path in ("/v1/organization/projects", SESSION, CHAT):
        for token in (None, *wrong):
            headers = {} if token is None else {"x-csrf-token": token.encode()}
            answer = await page.post(path, headers=headers, json={"name": "new"})
            assert refusal(answer) == (403, "invalid_csrf_token"), (path, token)
    assert refusal(await page.delete(SESSION)) == (403, "invalid_csrf_token")
    assert (await page.get(SESSION)).status_code == 200
    right = {"x-csrf-token": session["csrf_token"]}
    made = await page.post("/v1/organization/projects", headers=right, json={"name": "new"})
    assert made.status_code == 200
    assert (await page.post(CHAT, headers=right, json={})).status_code == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},  # of another port or subdomain
        {"sec-fetch-site": "same-site", "origin": "http://api"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://api.evil.example"},
    ],
)
async def test_a_page_of_another_origin_cannot_use_the_cookie(settings: Settings, headers, redis):
    api = await Api.start(settings.model_copy(update={"cors_origins": ("https://evil.example",)}))
    async with api.serving, httpx.AsyncClient(base_url=api.base_url, verify=False) as page:
        await sign_in(page, await api.key())
        sent = {"host": "api", **headers}
        for answer in (
            await page.get("/v1/files", headers=sent),
            await page.post(CHAT, headers=sent, json={}),
            await page.delete(SESSION, headers=sent),
        ):
            assert refusal(answer) == (403, "cross_origin_session")
            assert "access-control-allow-credentials" not in answer.headers
        for own in (
            {"sec-fetch-site": "same-origin", "host": "localhost:8000"},
            {"sec-fetch-site": "none", "host": "127.0.0.1:8000"},
            {"host": "api:8000", "origin": "http://api:8000"},
        ):
            assert (await page.get("/v1/files", headers={"host": "api", **own})).status_code == 200


async def test_over_https_the_cookie_is_secure_and_of_this_host_only(api: Api, page):
    secret = await api.key()
    _, cookies = await sign_in(page, secret, origin="https://console.bank.example")
    cookie = cookies[SECURE_COOKIE]
    assert (cookie["secure"], cookie["path"], cookie["domain"]) == (True, "/", "")
    page.cookies.clear()
    answer = await page.get(SESSION, headers={"cookie": f"a=b; {SECURE_COOKIE}={cookie.value}"})
    assert answer.status_code == 200
    ended = await page.delete(SESSION, headers={"cookie": f"{SECURE_COOKIE}={cookie.value}"})
    assert ended.headers["set-cookie"].startswith(f"{SECURE_COOKIE}=; ")


async def test_over_https_a_page_of_another_subdomain_cannot_sign_the_browser_in(api: Api, page):
    """It can set a cookie of the whole domain, but none with the prefix."""
    _, cookies = await sign_in(page, await api.key())
    planted = f"{COOKIE}={cookies[COOKIE].value}"
    page.cookies.clear()
    of_https = {"host": "console.bank.example", "sec-fetch-site": "same-origin"}
    for method, path in (("GET", SESSION), ("POST", CHAT)):
        answer = await page.request(method, path, headers={"cookie": planted, **of_https})
        assert answer.status_code == 401
    # Even if a proxy hides it, a sign-in over https sets the cookie with the prefix.
    _, own = await sign_in(page, await api.key(), **of_https, origin="http://behind.a.proxy")
    assert SECURE_COOKIE in own
    cookie = f"{planted}; {SECURE_COOKIE}={own[SECURE_COOKIE].value}"
    answer = await page.get(SESSION, headers={"cookie": cookie, **of_https})
    assert answer.status_code == 200


async def test_a_session_expires(api: Api, page, later):
    _, cookies = await sign_in(page, await api.key())
    later(api.settings.session_lifetime_s + 1)
    headers = {"cookie": f"{COOKIE}={cookies[COOKIE].value}"}
    for path in ("/v1/files", SESSION):
        assert refusal(await page.get(path, headers=headers)) == (401, "session_expired")
    assert refusal(await page.post(CHAT, headers=headers)) == (401, "session_expired")


async def test_a_session_ends_with_its_key(api: Api, page, later):
    projects: Projects = api.app.state.projects
    acme = await projects.create("acme")
    key, secret = await projects.create_key(acme, "a", Role.MEMBER)
    await sign_in(page, secret)
    await projects.change_key(
        acme.id, key.id, lambda k: k.model_copy(update={"role": Role.INFERENCE})
    )
    assert (await page.get("/v1/models")).status_code == 200
    assert refusal(await page.get("/v1/files")) == (403, "insufficient_permissions")
    await projects.revoke_key(acme.id, key.id)
    assert refusal(await page.get("/v1/models")) == (401, "session_expired")
    assert refusal(await page.post(CHAT)) == (401, "session_expired")

    rotated, secret = await projects.create_key(acme, "b", Role.MEMBER)
    await sign_in(page, secret)
    await projects.rotate_key(acme.id, rotated.id, overlap_s=3600)
    assert (await page.get("/v1/models")).status_code == 200
    later(3700)
    assert refusal(await page.get("/v1/models")) == (401, "api_key_expired")
    later(0)

    short, secret = await projects.create_key(
        acme, "c", Role.MEMBER, expires_at=clock.now_s() + 600
    )
    session, _ = await sign_in(page, secret)
    assert session["expires_at"] == short.expires_at
    _, secret = await projects.create_key(acme, "d", Role.MEMBER)
    await sign_in(page, secret)
    await projects.archive(acme.id)
    assert refusal(await page.get("/v1/models")) == (401, "project_archived")


async def test_a_session_has_the_addresses_and_the_project_of_its_key(settings: Settings, redis):
    changes = {"trusted_proxies": ("127.0.0.1",)}
    api = await Api.start(settings.model_copy(update=changes))
    async with api.serving, httpx.AsyncClient(base_url=api.base_url, verify=False) as page:
        projects: Projects = api.app.state.projects
        acme = await projects.create("acme")
        _, secret = await projects.create_key(acme, "a", Role.MEMBER, allowed_ips=("192.0.2.0/24",))
        inside, outside = {"x-forwarded-for": "192.0.2.7"}, {"x-forwarded-for": "198.51.100.1"}
        await sign_in(page, secret, **inside)
        assert (await page.get("/v1/files", headers=inside)).status_code == 200
        assert refusal(await page.get("/v1/files", headers=outside)) == (401, "ip_not_authorized")
        async with await api.client("other") as other:
            file_id = (await upload(other, b"x", "user_data")).json()["id"]
        for method in ("GET", "DELETE"):
            answer = await page.request(method, f"/v1/files/{file_id}", headers=inside)
            assert answer.status_code == 404


async def test_a_header_with_a_key_goes_before_the_cookie(api: Api, page):
    await sign_in(page, await api.key("acme"))
    del page.headers["x-csrf-token"]
    key = {"authorization": f"Bearer {await api.key('other')}"}
    found = (await page.get("/v1/whoami", headers=key)).json()
    assert found["project"]["name"] == "other"
    assert (await page.post("/v1/evals", headers=key, json={})).status_code == 400
    assert refusal(await page.get(SESSION, headers=key)) == (404, "not_found")
    assert refusal(await page.delete(SESSION, headers=key)) == (404, "not_found")


async def test_the_secret_of_a_session_is_no_key_and_begins_no_session(api: Api, page):
    session, cookies = await sign_in(page, await api.key())
    as_key = {"authorization": f"Bearer {cookies[COOKIE].value}"}
    page.cookies.clear()
    for method, path in (("GET", "/v1/files"), ("POST", SESSION), ("POST", CHAT)):
        answer = await page.request(method, path, headers=as_key)
        assert refusal(answer) == (401, "invalid_api_key")
    by_cookie = {"cookie": f"{COOKIE}={cookies[COOKIE].value}"}
    assert refusal(await page.post(SESSION, headers=by_cookie)) == (401, "invalid_api_key")
    assert session["csrf_token"] not in cookies[COOKIE].value


async def test_guesses_are_throttled_as_those_of_keys(settings: Settings, redis):
    changes = {"failed_authentications_per_minute": 3}
    api = await Api.start(settings.model_copy(update=changes))
    async with api.serving, httpx.AsyncClient(base_url=api.base_url, verify=False) as page:
        await sign_in(page, await api.key())
        codes = []
        for n in range(5):
            guess = {"cookie": f"{COOKIE}=guess-{n}"}
            codes.append((await page.get("/v1/files", headers=guess)).status_code)
        assert codes == [401, 401, 401, 429, 429]
        assert (await page.get("/v1/files")).status_code == 200  # a valid session always works


async def test_neither_secrets_nor_tokens_are_stored(api: Api, page, redis: Client):
    secret = await api.key()
    session, cookies = await sign_in(page, secret)
    for name in [key async for key in redis.scan_iter("*session*")]:
        kind = (await redis.type(name)).decode()
        stored = await (redis.get(name) if kind == "string" else redis.zrange(name, 0, -1))
        text = f"{name!r} {stored!r}"
        for hidden in (secret, cookies[COOKIE].value, session["csrf_token"]):
            assert hidden not in text
        assert await redis.ttl(name) > 0
        assert is_ephemeral(name)  # a restored backup begins no session again


async def test_a_key_has_a_limited_number_of_sessions(api: Api):
    sessions: Sessions = api.app.state.sessions
    caller = await api.app.state.projects.find_principal(secret := await api.key())
    made = [(await sessions.begin(caller, secret))[1] for _ in range(MAX_SESSIONS + 2)]
    alive = [secret for secret in made if await sessions.get(secret) is not None]
    assert len(alive) == MAX_SESSIONS
    assert alive[-1] == made[-1]
