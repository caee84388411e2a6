"""Builds the archive of evidence: its members, the manifest that lists them, and the signature.

    manifest.json    the model, and the SHA-256 of each other member
    manifest.sig     the signature of the manifest's SHA-256, with the key of the installation
    index.html       what a person reads
    {part}.json      what a program reads; passport.json is a copy of the adapter's
    text/            rows and answers, if they were asked for

The same parts give the same bytes. The client that verifies an archive has its own code for the
format: `finetuned.evidence`.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

from service import __version__
from service.core.encryption.signing import Signature
from service.evidence.collect import Evidence
from service.evidence.page import render
from service.jobs.checkpoints import PASSPORT

FORMAT: Final = "finetuned evidence 1"
MANIFEST, SIGNATURE, PAGE = "manifest.json", "manifest.sig", "index.html"


def members_of(evidence: Evidence, about: dict[str, Any]) -> dict[str, bytes]:
    """Return the members of an archive by path, except the signature. `about` has its model."""
    parts = {name: {"model": about["model"], **part} for name, part in evidence.parts.items()}
    members = {f"{name}.json": _encode(part) for name, part in parts.items()}
    members |= evidence.members
    passport = msgspec.json.decode(members.get(PASSPORT, b"{}"), type=dict[str, Any])
    members[PAGE] = render(about, parts, passport, evidence.missing).encode()
    listed = [
        {"path": path, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for path, data in sorted(members.items())
    ]
    manifest = {
        "format": FORMAT,
        "service_version": __version__,
        **about,
        "missing": evidence.missing,
        "members": listed,
    }
    return {MANIFEST: _encode(manifest), **members}


def signed_members(members: dict[str, bytes], signature: Signature) -> dict[str, bytes]:
    """Return the members with the signature."""
    return {**members, SIGNATURE: _encode(msgspec.to_builtins(signature))}


def _encode(value: object) -> bytes:
    """Return JSON with sorted keys. Numbers that are not finite become null."""
    return msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=1) + b"\n"
