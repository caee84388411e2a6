"""Tests of the tokens of an identity provider, which serves its keys over HTTP on loopback."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
from aiohttp import web
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey
from pydantic import ValidationError

from service.config import OidcGrant, Settings
from service.core.errors import Unauthenticated
from service.projects.oidc import ProviderKeys, Tokens
from service.projects.records import Projects, Role
from service.projects.sessions import Sessions
from service.web.auth import Principal
from tests.conftest import Api
from tests.http_server import http_server

ISSUER, AUDIENCE = "https://login.bank.example", "finetuned"
GRANTS = (
    OidcGrant(claim="groups", value="ml-admins", project="acme", role="project_admin"),
    OidcGrant(claim="groups", value="ml", project="acme", role="trainer"),
    OidcGrant(claim="realm.roles", value="chat", project="acme", role="inference"),
    OidcGrant(claim="groups", value="lost", project="nowhere", role="member"),
)


@dataclass
class Provider:
    """An identity provider."""

    keys: list[RSAKey | ECKey]
    requests: int = 0
    is_away: bool = False
    url: str = ""
    claims: dict[str, Any] = field(default_factory=dict)

    async def answer(self, _: web.Request) -> web.Response:
        self.requests += 1
        if self.is_away:
            return web.Response(status=503)
        return web.json_response(KeySet(list(self.keys)).as_dict(private=False))

    def token(self, key: RSAKey | ECKey | None = None, alg: str = "RS256", **claims: Any) -> str:
        key = key or self.keys[0]
        now = int(time.time())
        every = {
            "iss": ISSUER,
            "aud": ["other", AUDIENCE],
            "sub": "somchai@bank.example",
            "iat": now,
            "exp": now + 600,
            "groups": ["staff", "ml"],
            **claims,
        }
        said = {name: value for name, value in every.items() if value is not None}
        return jwt.encode({"alg": alg, "kid": key.kid}, said, key, algorithms=[alg])


def rsa(kid: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig"})


FIRST, SECOND, STRANGE = rsa("first"), rsa("second"), rsa("strange")


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    made = Provider([FIRST])
    async with http_server(made.answer) as url:
        made.url = f"{url}/jwks"
        yield made


@pytest.fixture
def settings(settings: Settings, provider: Provider) -> Settings:
    return settings.model_copy(
        update={
            "oidc_issuer": ISSUER,
            "oidc_audience": AUDIENCE,
            "oidc_jwks": provider.url,
            "oidc_grants": GRANTS,
            "failed_authentications_per_minute": 0,
        }
    )


@pytest.fixture
async def ask(api: Api):
    """Send a request with a token, and return the answer."""
    await api.app.state.projects.create("acme")
    async with httpx.AsyncClient(base_url=api.base_url, verify=False) as http:

        async def ask(token: str, path: str = "/v1/files") -> httpx.Response:
            return await http.get(path, headers={"authorization": f"Bearer {token}"})

        yield ask


async def test_a_token_has_the_role_of_the_first_grant_that_it_matches(ask, provider, api):
    answer = await ask(provider.token(), "/v1/whoami")
    found = answer.json()
    assert answer.status_code == 200
    assert (found["api_key"]["name"], found["api_key"]["role"]) == (
        "somchai@bank.example",
        "trainer",
    )
    assert found["api_key"]["id"].startswith("oidc_")
    assert found["project"]["name"] == "acme"
    forbidden = await ask(provider.token(), f"/v1/organization/projects/{found['project']['id']}")
    assert (forbidden.status_code, "'trainer'" in forbidden.text) == (403, True)
    admin = await ask(provider.token(groups=["ml", "ml-admins"]), "/v1/whoami")
    assert admin.json()["api_key"]["role"] == "project_admin"
    chat = provider.token(groups=[], realm={"roles": ["chat"]})
    assert (await ask(chat, "/v1/models")).status_code == 200
    assert (await ask(chat)).status_code == 403
    secret = await api.key()
    assert (await ask(secret)).status_code == 200  # keys work as before
    assert provider.requests == 1


def unsigned(provider: Provider) -> str:
    payload = provider.token().split(".")[1]
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    return f"{none}.{payload}."


def with_public_key_as_secret(provider: Provider) -> str:
    """Sign with HS256 and the public key, which a verifier that trusts `alg` would accept."""
    header = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"first"}').decode().rstrip("=")
    body = f"{header}.{provider.token().split('.')[1]}"
    secret = FIRST.as_pem(private=False)
    signature = base64.urlsafe_b64encode(hmac.digest(secret, body.encode(), "sha256"))
    return f"{body}.{signature.decode().rstrip('=')}"


def tampered(provider: Provider) -> str:
    header, _, signature = provider.token().split(".")
    _, payload, _ = provider.token(groups=["ml-admins"]).split(".")
    return f"{header}.{payload}.{signature}"


REFUSED = {
    "none": (unsigned, "invalid_token", "algorithm 'none'"),
    "public key as secret": (with_public_key_as_secret, "invalid_token", "algorithm 'HS256'"),
    "tampered": (tampered, "invalid_token", "signature"),
    "other key": (lambda p: p.token(STRANGE), "invalid_token", "key that the identity provider"),
    "expired": (lambda p: p.token(exp=int(time.time()) - 60), "token_expired", "expired"),
    "early": (lambda p: p.token(nbf=int(time.time()) + 600), "invalid_token", "'nbf'"),
    "no expiry": (lambda p: p.token(exp=None), "invalid_token", "'exp'"),
    "no subject": (lambda p: p.token(sub=None), "invalid_token", "'sub'"),
    "audience": (lambda p: p.token(aud="payments"), "invalid_token", "'aud'"),
    "no audience": (lambda p: p.token(aud=None), "invalid_token", "'aud'"),
    "issuer": (lambda p: p.token(iss="https://evil.example"), "invalid_token", "'iss'"),
    "no grant": (lambda p: p.token(groups=["staff"]), "no_project", "'groups'"),
    "no project": (lambda p: p.token(groups=["lost"]), "no_project", "'nowhere'"),
    "not a JWT": (lambda _: "eyJ.e.e", "invalid_token", "not a JWT"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_faults_of_a_token_are_reported(ask, provider, name):
    make, code, words = REFUSED[name]
    answer = await ask(make(provider))
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (401, code)
    assert error["type"] == "authentication_error"
    assert words in error["message"]
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_leeway_covers_clocks_that_differ(ask, provider):
    assert (await ask(provider.token(exp=int(time.time()) - 5))).status_code == 200


def finder(projects: Projects, keys: ProviderKeys) -> Callable[[str], Awaitable[Principal]]:
    """Return what finds the bearers of tokens that are signed with these keys."""
    tokens = Tokens(
        projects, keys, issuer=ISSUER, audience=AUDIENCE, algorithms=("RS256", "ES256"),
        leeway_s=0, grants=GRANTS,
    )  # fmt: skip

    async def find(token: str) -> Principal:
        found = await tokens.find_principal(token)
        assert found is not None
        return found

    return find


async def test_keys_are_rotated_and_withdrawn(api: Api, provider):
    projects = api.app.state.projects
    await projects.create("acme")
    keys = ProviderKeys(provider.url, pause_s=0)
    find = finder(projects, keys)
    old = provider.token()
    assert (await find(old)).role is Role.TRAINER
    provider.keys = [FIRST, SECOND]
    assert (await find(provider.token(SECOND))).project_name == "acme"
    assert (await find(old)).role is Role.TRAINER
    assert provider.requests == 2
    other = ECKey.generate_key("P-256", {"kid": "third"})
    provider.keys = [SECOND, other]
    assert (await find(provider.token(other, "ES256"))).role is Role.TRAINER
    with pytest.raises(Unauthenticated, match="key that the identity provider"):
        await find(old)
    provider.is_away = True
    assert (await find(provider.token(other, "ES256"))).role is Role.TRAINER
    with pytest.raises(Unauthenticated):
        await find(provider.token(STRANGE))


async def test_unknown_keys_cause_few_requests(ask, provider):
    for _ in range(20):
        assert (await ask(provider.token(rsa_with(STRANGE, str(time.time()))))).status_code == 401
    assert provider.requests == 1


def rsa_with(key: RSAKey, kid: str) -> RSAKey:
    return RSAKey.import_key({**key.as_dict(private=True), "kid": kid})


async def test_an_unavailable_provider_is_503(ask, provider):
    provider.is_away = True
    answer = await ask(provider.token())
    assert (answer.status_code, answer.json()["error"]["code"]) == (
        503,
        "identity_provider_unavailable",
    )


async def test_failures_with_tokens_are_throttled(api: Api, provider):
    throttled = Settings.model_validate(
        {**dict(api.settings), "failed_authentications_per_minute": 2}
    )
    other = await Api.start(throttled)
    async with httpx.AsyncClient(base_url=other.base_url, verify=False) as http:
        headers = {"authorization": f"Bearer {provider.token(STRANGE)}"}
        answers = [(await http.get("/v1/files", headers=headers)).status_code for _ in range(4)]
    await other.serving.aclose()
    assert answers == [401, 401, 429, 429]


async def test_keys_of_a_file_are_read_again_when_it_changes(tmp_path: Path):
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(KeySet([FIRST]).as_dict(private=False)))
    keys = ProviderKeys(str(path))
    assert await keys.find("first") is not None
    assert await keys.find("second") is None
    path.write_text(json.dumps(KeySet([SECOND]).as_dict(private=False)) + " ")
    assert await keys.find("second") is not None
    path.write_text("{broken")
    assert await keys.find("second") is not None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"oidc_audience": None}, "must be set together"),
        ({"oidc_algorithms": "HS256"}, "HS256 cannot be used"),
        ({"oidc_algorithms": "none"}, "none cannot be used"),
        ({"oidc_jwks": "http://login.bank.example/jwks"}, "https://"),
        ({"oidc_grants": [{**GRANTS[0].model_dump(), "role": "boss"}]}, "role"),
        ({"oidc_grants": [{**GRANTS[0].model_dump(), "models": ["a"]}]}, "inference"),
    ],
)
def test_unsafe_settings_are_refused(change, words):
    whole: dict[str, Any] = {
        "oidc_issuer": ISSUER,
        "oidc_audience": AUDIENCE,
        "oidc_jwks": "https://login.bank.example/jwks",
        "oidc_grants": [grant.model_dump() for grant in GRANTS],
    }
    assert Settings(**whole).oidc_grants == GRANTS
    with pytest.raises(ValidationError, match=words):
        Settings(**{**whole, **change})


def test_grants_have_the_roles_of_keys():
    assert set(get_args(OidcGrant.model_fields["role"].annotation)) == set(Role)


async def test_a_page_signs_in_with_a_token(ask, provider, api: Api):
    exp = int(time.time()) + 300
    token = provider.token(exp=exp)
    async with httpx.AsyncClient(base_url=api.base_url, verify=False) as page:
        headers = {"authorization": f"Bearer {token}"}
        session = (await page.post("/v1/session", headers=headers)).json()
        assert session["caller"]["api_key"]["name"] == "somchai@bank.example"
        assert session["expires_at"] == exp + api.settings.oidc_leeway_s
        assert (await page.get("/v1/files")).status_code == 200
    redis = api.app.state.redis
    stored = [await redis.get(key) async for key in redis.scan_iter("finetuned:session:*")]
    assert len(stored) == 1
    assert token.encode() not in stored[0]


async def test_a_session_of_a_token_ends_when_the_provider_withdraws_its_key(api: Api, provider):
    projects = api.app.state.projects
    await projects.create("acme")
    keys = ProviderKeys(provider.url, pause_s=0)
    find = finder(projects, keys)
    sessions = Sessions(projects.redis, projects, find, lifetime_s=600)
    caller = await find(token := provider.token())
    _, secret = await sessions.begin(caller, token)
    found = await sessions.find_principal(secret)
    assert found is not None
    assert found.token_subject == "somchai@bank.example"
    provider.keys = [SECOND]
    await find(provider.token(SECOND))  # so that the keys are read again
    with pytest.raises(Unauthenticated):
        await sessions.find_principal(secret)
