"""Settings of the API: addresses, proxies, limits of requests, and identity providers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from service.config.fields import GIB, MIB, CommaSeparated
from service.core.networks import network

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#]+")

Part = Literal["redis", "storage", "worker", "inference"]


class HttpSettings(BaseModel):
    """Addresses, trusted proxies, and limits of requests."""

    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8000, ge=0, le=65535)
    api_tls_cert: Path | None = Field(
        default=None,
        description="File with the certificate of the API and those between it and its CA, in PEM "
        "format. The API then speaks https only. Needs api_tls_key.",
    )
    api_tls_key: Path | None = Field(
        default=None, description="File with the private key of this certificate, without password."
    )
    api_metrics_host: str = Field(
        default="127.0.0.1",
        description="Address of the metrics port. Keep it internal: metrics name projects and "
        "need no key.",
    )
    api_metrics_port: int = Field(default=9101, ge=0, le=65535)

    cors_origins: tuple[str, ...] = Field(
        default=(),
        description="Origins of web pages that may use the API from a browser. ['*'] allows all.",
    )
    trusted_proxies: CommaSeparated = Field(
        default=(),
        description="Addresses and ranges of reverse proxies, separated by commas, whose "
        "X-Forwarded-For states the client's address.",
    )
    failed_authentications_per_minute: int = Field(
        default=60,
        ge=0,
        description="Requests with a wrong key that each address may send to a process before "
        "they are answered 429. 0: any number.",
    )
    session_lifetime_s: int = Field(
        default=12 * 3600,
        ge=60,
        le=30 * 24 * 3600,
        description="Lifetime of a browser's session, from sign-in to sign-out.",
    )
    console: bool = Field(default=True, description="Whether to serve the web console.")
    max_connections_per_address: int = Field(
        default=2000,
        ge=0,
        description="Connections that one address may hold to a process. Trusted proxies and the "
        "machine itself may hold any number. 0: no limit.",
    )

    max_file_bytes: int = Field(default=512 * MIB, gt=0)
    max_upload_bytes: int = Field(
        default=8 * GIB, gt=0, description="Maximum size of a file uploaded in parts."
    )
    max_upload_part_bytes: int = Field(default=64 * MIB, gt=0)
    max_uploads_at_once: int = Field(
        default=64,
        ge=1,
        description="Maximum number of files and parts that an API process receives at once. "
        "Further ones wait for up to 30 s and are then answered 429.",
    )
    max_json_body_bytes: int = Field(default=1 * MIB, gt=0)
    max_inference_body_bytes: int = Field(default=8 * MIB, gt=0)
    client_timeout_s: float = Field(
        default=60.0,
        gt=0,
        description="Time for a client to send a request's head, and its body. An upload may take "
        "longer while data keeps arriving. Also the time to read each part of a "
        "response.",
    )

    # How long a process may cache a key or a model. A revoked key and a deleted model stop
    # working in all processes after this time.
    lookup_cache_s: float = Field(default=2.0, ge=0)

    # What must respond before /readyz returns 200. An API replica that has only lost an engine
    # still serves files and jobs, so a cluster requires only Redis and storage.
    ready_parts: tuple[Part, ...] = ("redis", "storage")

    @model_validator(mode="after")
    def _certificate_with_key(self) -> Self:
        if (self.api_tls_cert is None) != (self.api_tls_key is None):
            raise ValueError("api_tls_cert and api_tls_key: set both, or neither")
        return self

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            network(text)
        return value

    @field_validator("cors_origins")
    @classmethod
    def _bare_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        # A browser sends no path and no trailing slash, so such an origin would never match.
        for origin in value:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ValueError(f"cors_origins: write '{origin}' as https://HOST[:PORT]")
        return value


ASYMMETRIC: Final = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
"""Algorithms that sign tokens with a private key, which only the identity provider has."""


class OidcGrant(BaseModel):
    """The role in a project for tokens with a claim."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    claim: str
    value: str
    project: str
    role: Literal["admin", "project_admin", "member", "trainer", "inference", "reader", "auditor"]
    models: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _models_of_chatbots(self) -> Self:
        if self.models is not None and self.role != "inference":
            raise ValueError("only the role inference can be limited to models")
        return self


class TokenSettings(BaseModel):
    """Tokens of an identity provider (OpenID Connect), in addition to API keys."""

    oidc_issuer: str | None = Field(
        default=None,
        description="`iss` of the tokens of an identity provider that are accepted in addition "
        "to API keys. Requires all of the following settings.",
    )
    oidc_audience: str | None = Field(default=None, description="`aud` of these tokens.")
    oidc_jwks: str | None = Field(
        default=None,
        description="URL (https://) or path of the provider's public keys (JWKS).",
    )
    oidc_grants: tuple[OidcGrant, ...] = Field(
        default=(),
        description="JSON list that maps claims of tokens to roles in projects. The first match "
        "applies.",
    )
    oidc_algorithms: CommaSeparated = Field(
        default=("RS256", "PS256", "ES256", "EdDSA"),
        description="Algorithms that may sign tokens, separated by commas. All are asymmetric.",
    )
    oidc_leeway_s: int = Field(
        default=30, ge=0, le=300, description="Tolerated difference of the provider's clock."
    )

    @model_validator(mode="after")
    def _whole_oidc(self) -> Self:
        parts = (self.oidc_issuer, self.oidc_audience, self.oidc_jwks, self.oidc_grants)
        if any(parts) and not all(parts):
            raise ValueError(
                "oidc_issuer, oidc_audience, oidc_jwks and oidc_grants must be set together"
            )
        unknown = set(self.oidc_algorithms) - ASYMMETRIC
        if unknown or not self.oidc_algorithms:
            raise ValueError(
                f"oidc_algorithms: {', '.join(sorted(unknown)) or 'nothing'} cannot be used; use "
                f"some of {', '.join(sorted(ASYMMETRIC))}"
            )
        if (self.oidc_jwks or "").startswith("http://") and not is_safe_url(self.oidc_jwks or ""):
            raise ValueError("oidc_jwks must be https://, or http:// on this machine")
        return self


CALLBACK_PATH: Final = "/v1/session/callback"


class SignInSettings(TokenSettings):
    """Sign-in of people to the console through the identity provider."""

    oidc_client_id: str | None = Field(
        default=None,
        description="ID of this installation as a client of the identity provider. With it, people "
        "sign in to the console through the provider. Requires oidc_redirect_uri and oidc_issuer.",
    )
    oidc_client_secret: SecretStr | None = Field(
        default=None, description="Secret of this client, unless it is a public one."
    )
    oidc_redirect_uri: str | None = Field(
        default=None,
        description="Address of this installation to which the provider sends people back, as "
        f"registered there: https://HOST{CALLBACK_PATH}.",
    )
    oidc_display_name: str | None = Field(
        default=None,
        max_length=64,
        description="Name of the provider on the sign-in page, such as the organization's.",
    )
    oidc_scopes: CommaSeparated = Field(
        default=("openid",),
        description="Scopes to request at sign-in, separated by commas. Some providers need one "
        "for the claims of the grants, such as groups.",
    )
    oidc_authorization_endpoint: str | None = Field(
        default=None,
        description="URL of the provider's sign-in page. By default, the discovery document of "
        "the issuer names it. Requires oidc_token_endpoint.",
    )
    oidc_token_endpoint: str | None = Field(
        default=None,
        description="URL at which the API exchanges codes for tokens. Requires "
        "oidc_authorization_endpoint. Needed if it is on another host than the issuer.",
    )

    @model_validator(mode="after")
    def _whole_sign_in(self) -> Self:
        if (self.oidc_client_id is None) != (self.oidc_redirect_uri is None):
            raise ValueError("oidc_client_id and oidc_redirect_uri: set both, or neither")
        endpoints = (self.oidc_authorization_endpoint, self.oidc_token_endpoint)
        if any(endpoints) and not all(endpoints):
            raise ValueError(
                "oidc_authorization_endpoint and oidc_token_endpoint: set both, or neither"
            )
        if self.oidc_client_id is None or self.oidc_redirect_uri is None:
            return self
        if not self.oidc_issuer:
            raise ValueError("oidc_client_id: set oidc_issuer and the settings of tokens, too")
        asked = endpoints if all(endpoints) else (self.oidc_issuer,)
        for url in (self.oidc_redirect_uri, *asked):
            if not is_safe_url(url or ""):
                raise ValueError(f"'{url}' must be https://, or http:// on this machine")
        if urlsplit(self.oidc_redirect_uri).path != CALLBACK_PATH:
            raise ValueError(f"oidc_redirect_uri: write it as https://HOST[:PORT]{CALLBACK_PATH}")
        if "openid" not in self.oidc_scopes:
            raise ValueError("oidc_scopes must contain openid")
        return self


def is_safe_url(url: str) -> bool:
    """Return whether a URL is of https, or of http on this machine."""
    parts = urlsplit(url)
    if parts.scheme == "http":
        return parts.hostname in ("127.0.0.1", "::1", "localhost")
    return parts.scheme == "https" and bool(parts.hostname)
