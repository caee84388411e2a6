"""Signs and verifies adapters for engines, and records ranks and adapters in training (drafts).

A digest in Redis reveals changes of an adapter in storage. A signature also reveals changes of its
registration: without the workers' key, write access to Redis and storage is not enough to make
engines load other weights. This requires that the key is in a file (`FINETUNED_SIGNING_KEY_FILE`)
that only workers have.

    finetuned:highest-lora-rank   sorted set: base model by the highest rank of its adapters
    finetuned:draft:{name}        location of the adapter of a running training; expires

Drafts are adapters of running trainings, which engines load only for the worker of the training.
Requests of users are resolved by the model registry, which has no drafts.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

import msgspec
from redis.asyncio.client import Pipeline

from service.core.encryption.signing import PublicKey, SigningKey, SigningKeyError, from_file
from service.core.records import PREFIX
from service.core.redis import Client, reply
from service.training.contract.adapter_config import CONFIG
from service.training.contract.hyperparameters import highest_rank

_PURPOSE: Final = "adapter"
UNSIGNED: Final = (
    "its registration has no signature: run 'finetuned-server models sign' if it is yours"
)
FORGED: Final = "the signature of its registration was not made with this installation's key"
_HIGHEST = f"{PREFIX}:highest-lora-rank"  # sorted set: base model by rank
DRAFT_NAME: Final = re.compile(r"draft:ftjob-[A-Za-z0-9]{1,64}:a\d{1,9}(?:-\w{1,32})?:\d{1,9}")
_DRAFT_LIFETIME_S: Final = 24 * 3600
"""Longer than any wait for an engine. A worker that dies removes nothing."""


def load_signing_key(key_file: Path | None) -> SigningKey | None:
    """Return the key that signs adapters; None if it is not in a file. Raises SigningKeyError."""
    return None if key_file is None else from_file(key_file)


def sign_adapter(key: SigningKey, name: str, base_model: str, digest: str) -> str:
    """Return the signature of an adapter's registration."""
    return key.sign(_PURPOSE, _content(name, base_model, digest)).value


def load_verifying_key(key_file: Path | None) -> PublicKey | None:
    """Return the key that verifies adapters; None if none is given. Raises SigningKeyError."""
    if key_file is None:
        return None
    try:
        return PublicKey.from_pem(key_file.read_bytes())
    except OSError as e:
        raise SigningKeyError(
            f"the public key {key_file} cannot be read ({e.strerror}): make it with 'openssl pkey "
            "-in KEY -pubout', or unset FINETUNED_ADAPTER_KEY_FILE"
        ) from e


def signature_fault(
    key: PublicKey, name: str, base_model: str, digest: str, signature: str | None
) -> str | None:
    """Return why an adapter must not be loaded, or None."""
    if signature is None:
        return UNSIGNED
    return None if key.verifies(_PURPOSE, _content(name, base_model, digest), signature) else FORGED


def _content(name: str, base_model: str, digest: str) -> dict[str, str]:
    return {"base_model": base_model, "digest": digest, "model": name}


def rank_of(adapter: Path) -> int:
    """The highest rank in the folder of an adapter that was already checked."""
    return highest_rank(json.loads((adapter / CONFIG).read_text("utf-8")))


def note_rank(pipe: Pipeline, base_model: str, rank: int) -> None:
    """Record an adapter's rank in a transaction. The rank is kept when the adapter is deleted."""
    pipe.zadd(_HIGHEST, {base_model: rank}, gt=True)


async def highest_recorded_rank(redis: Client, base_model: str) -> int:
    """The highest rank ever recorded for the base model; 0 if there is none."""
    score = await redis.zscore(_HIGHEST, base_model)
    return int(score or 0)


class Draft(msgspec.Struct, frozen=True):
    """The base model of a draft, its folder in storage, and the digest of the folder."""

    base_model: str
    artifact: str
    digest: str
    signature: str | None = None


def draft_name(job_id: str, attempt_name: str, number: int) -> str:
    """Return the name of an attempt's draft, which is never used again."""
    return f"draft:{job_id}:{attempt_name}:{number}"


async def put_draft(redis: Client, name: str, draft: Draft) -> None:
    """Let engines find a draft, whose folder is complete."""
    await reply(redis.set(_draft_key(name), msgspec.json.encode(draft), ex=_DRAFT_LIFETIME_S))


async def find_draft(redis: Client, name: str) -> Draft | None:
    """Return a draft, or None if there is none of this name."""
    if not DRAFT_NAME.fullmatch(name):
        return None
    raw = await reply(redis.get(_draft_key(name)))
    return None if raw is None else msgspec.json.decode(raw, type=Draft)


async def remove_draft(redis: Client, name: str) -> None:
    """Remove a draft. Engines forget it soon after."""
    await reply(redis.delete(_draft_key(name)))


def _draft_key(name: str) -> str:
    return f"{PREFIX}:{name}"
