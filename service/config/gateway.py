"""The gateway: its engines, and what requests to them may have."""

from __future__ import annotations

import re

from pydantic import BaseModel, Field, SecretStr, field_validator

from service.config.lists import CommaSeparated

_FIELD = re.compile(r"[a-z][a-z0-9_]{0,63}")
NEVER_PASSED_ON = frozenset(
    {
        *("cache_salt", "chat_template", "ec_transfer_params", "kv_transfer_params"),
        *("request_id", "vllm_xargs"),
    }
)
"""Parameters of vLLM that no operator can allow: they choose templates that the engine executes,
name other requests and caches, or reach extensions of the engine."""


class GatewaySettings(BaseModel):
    """The gateway: its engines, and what requests to them may have."""

    upstreams: dict[str, str] = Field(
        default_factory=dict,
        description="Base model ID, or name of a merged model → comma-separated URLs of the vLLM "
        "servers that serve it. dns+http://NAME:PORT means one server at each address of the name.",
    )
    upstream_api_key: SecretStr | None = None
    upstream_connect_timeout_s: float = Field(default=5.0, gt=0)
    upstream_first_byte_timeout_s: float = Field(default=600.0, gt=0)
    upstream_between_chunks_timeout_s: float = Field(default=120.0, gt=0)
    upstream_dns_every_s: float = Field(default=5.0, gt=0)
    upstream_probe_every_s: float = Field(default=2.0, gt=0)
    upstream_probe_timeout_s: float = Field(default=5.0, gt=0)
    upstream_max_failures: int = Field(
        default=3,
        ge=1,
        description="Number of consecutive requests without a complete answer after which an "
        "engine is ejected.",
    )
    upstream_max_backoff_s: float = Field(
        default=30.0, ge=1, description="Maximum time that a healthy engine stays ejected."
    )
    upstream_warmup_s: float = Field(
        default=10.0,
        ge=0,
        description="Time until a recovered engine receives its full share of the load.",
    )
    upstream_load_factor: float = Field(
        default=1.25,
        gt=1,
        le=100,
        description="Maximum load of one engine, as a multiple of its share of the load.",
    )
    upstream_spill_above: int = Field(
        default=8,
        ge=1,
        description="Number of requests in flight at which an adapter's requests spill over to "
        "another engine.",
    )
    engine_requests_at_once: int = Field(
        default=256,
        ge=1,
        description="Number of answers that the API processes together let an engine work on at "
        "once. Further requests wait in the API, and projects take turns.",
    )

    max_answers_per_request: int = Field(
        default=16,
        ge=1,
        description="Maximum number of answers of one /v1/chat/completions (n) or /v1/completions "
        "(prompts times n) request. Other requests wait while an engine starts the answers: 128 "
        "answers delayed a short answer by 15 s on a CPU.",
    )
    max_constraint_repetitions: int = Field(
        default=2000,
        ge=0,
        description="Maximum sum of the different limits of lengths and repetitions of all schemas "
        "and grammars that constrain an answer, each counted up to 100.",
    )
    extra_request_fields: CommaSeparated = Field(
        default=(),
        description="Parameters of vLLM that inference requests may have in addition to those of "
        "docs/serving.md, separated by commas. They are passed on without checks.",
    )

    @field_validator("extra_request_fields")
    @classmethod
    def _harmless_fields(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not _FIELD.fullmatch(name):
                raise ValueError(f"extra_request_fields: '{name}' is not a name of a parameter")
            if name in NEVER_PASSED_ON:
                raise ValueError(
                    f"extra_request_fields: '{name}' is never passed on, because it reaches beyond "
                    "its request"
                )
        return value
