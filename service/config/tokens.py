"""Tokens of an identity provider (OpenID Connect), in addition to API keys."""

from __future__ import annotations

from typing import Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.config.lists import CommaSeparated

ASYMMETRIC: Final = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
"""Algorithms that sign tokens with a private key, which only the identity provider has."""


class OidcGrant(BaseModel):
    """The role in a project that the bearers of tokens with a claim have."""

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
        if self.oidc_jwks and self.oidc_jwks.startswith("http://"):
            host = urlsplit(self.oidc_jwks).hostname
            if host not in ("127.0.0.1", "::1", "localhost"):
                raise ValueError("oidc_jwks must be https://, or http:// on this machine")
        return self
