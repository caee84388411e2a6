"""Verifies the evidence of a model, offline: `verify("evidence.tar", [key])`.

It trusts nothing but the public keys that it is given, and reads an archive as hostile input. The
format is described at https://c2sp.org/tlog-checkpoint and in RFC 6962 for the audit log, and in
the documentation of the server for the rest. It needs the extra `evidence` (cryptography).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
import stat
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from finetuned.errors import ConfigurationError

_FORMAT: Final = "finetuned evidence 1"
_MANIFEST, _SIGNATURE = "manifest.json", "manifest.sig"
_PASSPORT: Final = "passport.json"
_MAX_MEMBERS: Final = 1000
_MAX_BYTES: Final = 512 * 1024 * 1024
"""Largest size of an archive, and of all members together."""
_NOT_SIGNED_IN_RECEIPTS: Final = ("object", "status", "signature")
_PARTS: Final = (
    *("model", "lineage", "evaluation", "approvals", "access", "exports", "erasures", "audit"),
)
_SIGNED: Final = "— "
# Not those that some file systems treat as another name, or that leave the folder.
_NAME: Final = re.compile(r"[a-z0-9](?:[\w.-]*\w)?(?:/[a-z0-9](?:[\w.-]*\w)?)*", re.A | re.I)


@dataclass
class Findings:
    """Result of a verification. Without problems, nothing was changed, removed or added."""

    model: str | None = None
    created_at: int | None = None
    """Time at which the service made the archive, in Unix seconds."""
    key_id: str | None = None
    """The key that signed it: the first 16 digits of its SHA-256, in hexadecimal."""
    members: int = 0
    entries: int = 0
    """Number of entries of the audit log that are proven."""
    receipts: int = 0
    problems: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """What the service could not put into the archive, and why."""
    notes: list[str] = field(default_factory=list)


class Refused(ValueError):
    """An archive, a member or a statement is not what it should be. The message says why."""


class _Key(NamedTuple):
    raw: bytes
    key: Any

    @property
    def id(self) -> str:
        return hashlib.sha256(self.raw).hexdigest()[:16]

    def verifies(self, data: bytes, signature: object) -> bool:
        """Return whether the key signed the data. `signature` is in Base64."""
        from cryptography.exceptions import InvalidSignature

        try:
            self.key.verify(base64.b64decode(str(signature), validate=True), data)
        except (InvalidSignature, ValueError):
            return False
        return True


class _Checkpoint(NamedTuple):
    origin: str
    size: int
    root: bytes
    time: int


def verify(
    path: str | os.PathLike[str],
    keys: Sequence[bytes],
    *,
    checkpoints: Sequence[str] = (),
    adapter: str | os.PathLike[str] | None = None,
) -> Findings:
    """Verify an archive of evidence, or the folder that it was unpacked to.

    `keys` are public keys as PEM, of which one must have signed; several if the installation
    changed its key. `checkpoints` are those of the audit log that were kept elsewhere. `adapter` is
    a folder with the weights that the evidence should be about. Raises ConfigurationError if a key
    cannot be used, and OSError if the path cannot be read.
    """
    verifier = _Verifier([_read_key(pem) for pem in keys])
    try:
        members = _read_folder(Path(path)) if Path(path).is_dir() else _read_tar(Path(path))
        verifier.check(members, checkpoints)
        if adapter is not None:
            verifier.check_adapter(Path(adapter))
    except Refused as e:
        verifier.found.problems.append(str(e))
    return verifier.found


class _Verifier:
    def __init__(self, keys: Sequence[_Key]) -> None:
        self._keys = keys
        self._members: Mapping[str, bytes] = {}
        self._intact: list[str] = []
        self._parts: dict[str, dict[str, Any]] = {}
        self._entries: list[dict[str, Any]] = []
        self.found = Findings()

    def check(self, members: Mapping[str, bytes], known: Sequence[str]) -> None:
        self._members = members
        manifest = self._read(_MANIFEST)
        if manifest.get("format") != _FORMAT:
            raise Refused(f"{_MANIFEST} has the unknown format {manifest.get('format')}")
        self.found.model, self.found.created_at = manifest.get("model"), manifest.get("created_at")
        self._check_members(manifest)
        self._check_signature()  # without it, nothing that the members state is worth a look
        self.found.missing = [
            f"{one.get('part')}: {one.get('reason')}" for one in _objects(manifest, "missing")
        ]
        try:
            self._check_parts(manifest)
            self._check_model()
            self._check_rows()
            if "audit" in self._parts:
                self._check_log(manifest, known)
                self._check_acts()
            self._check_receipts()
        except (AttributeError, KeyError, TypeError) as e:
            raise Refused(f"a part does not have the form that the service writes: {e!r}") from e

    def _check_parts(self, manifest: Mapping[str, Any]) -> None:
        """Read the unchanged parts, which must be about the same model."""
        for path in self._intact:
            name = path.removesuffix(".json")
            if "/" in path or not path.endswith(".json") or path == _PASSPORT:
                continue
            part = self._parts[name] = self._read(path)
            if part.get("model") != manifest.get("model"):
                self._problem(f"{path} is about another model, {part.get('model')}")
        for name in _PARTS:
            if f"{name}.json" not in self._members:
                self._problem(f"{name}.json is missing")

    def _check_signature(self) -> None:
        signature = self._read(_SIGNATURE)
        digest = hashlib.sha256(self._members[_MANIFEST]).hexdigest()
        key = next((key for key in self._keys if key.id == signature.get("key_id")), None)
        if key is None:
            ids = " or ".join(key.id for key in self._keys)
            raise Refused(f"it is signed with the key {signature.get('key_id')}, not with {ids}")
        signed = _message("evidence 1", {"manifest_sha256": digest})
        if not key.verifies(signed, signature.get("value")):
            raise Refused(f"{_MANIFEST} was changed after it was signed")
        self.found.key_id = key.id

    def _check_members(self, manifest: Mapping[str, Any]) -> None:
        """Compare all members with the signed list."""
        listed: dict[str, dict[str, Any]] = {}
        for one in _objects(manifest, "members"):
            if (path := str(one.get("path"))) in listed:
                self._problem(f"{_MANIFEST} lists {path} twice")
            listed[path] = one
        for path, one in listed.items():
            member = self._members.get(path)
            if member is None:
                self._problem(f"{path} is missing")
            elif hashlib.sha256(member).hexdigest() != one.get("sha256"):
                self._problem(f"{path} was changed")
            else:
                self._intact.append(path)
        self.found.members = len(self._intact)
        for path in sorted(self._members.keys() - listed.keys() - {_MANIFEST, _SIGNATURE}):
            self._problem(f"{path} was added")

    def _check_model(self) -> None:
        """Check that the adapter's files, its digest and its passport belong together."""
        model = self._parts.get("model", {})
        content = {name: model.get(name) for name in ("base_model", "digest", "model")}
        if (signed := model.get("signature")) is None:
            self.found.notes.append(
                "no worker signed the registration of the adapter: 'finetuned-server models sign' "
                "does, and then it could not state other weights"
            )
        elif not any(key.verifies(_message("adapter", content), signed) for key in self._keys):
            self._problem("model.json: the signature of the adapter's registration is wrong")
        files = list(_objects(model, "files"))
        if not files:
            return
        listing = "\n".join(f"{f.get('sha256')} {f.get('size')} {f.get('path')}" for f in files)
        if hashlib.sha256(listing.encode()).hexdigest() != model.get("digest"):
            self._problem("model.json: the digest is not that of the adapter's files")
        passport = next((f for f in files if f.get("path") == _PASSPORT), None)
        data = self._members.get(_PASSPORT)
        if passport and data and hashlib.sha256(data).hexdigest() != passport.get("sha256"):
            self._problem("passport.json is not that of the adapter")

    def check_adapter(self, folder: Path) -> None:
        """Compare the files of a folder with those that the evidence is about."""
        for one in _objects(self._parts.get("model", {}), "files"):
            path = str(one.get("path"))
            file = folder / path
            if "/" in path or not file.is_file():
                self._problem(f"the adapter in {folder} has no {path}")
                continue
            with file.open("rb") as stream:
                digest = hashlib.sha256()
                while chunk := stream.read(1 << 20):
                    digest.update(chunk)
            if digest.hexdigest() != one.get("sha256"):
                self._problem(f"{file} is not the {path} that the evidence is about")

    def _check_rows(self) -> None:
        """Check that the passport, the files and the rows name the same data."""
        files = {f.get("id"): f for f in _objects(self._parts.get("lineage", {}), "files")}
        if _PASSPORT in self._intact:
            data = self._read(_PASSPORT).get("data") or {}
            for one in (data.get("training"), data.get("validation"), *(data.get("mixed") or ())):
                file = files.get(one.get("file")) if isinstance(one, dict) else None
                if file and one.get("rows_sha256") != file.get("rows_sha256"):
                    self._problem(f"lineage.json: the rows of {file['id']} are not the passport's")
        for path in self._intact:
            digest = hashlib.sha256(self._members[path]).hexdigest()
            if path == "text/evaluation.json":
                found = self._parts.get("evaluation", {}).get("of_job") or {}
                if digest != found.get("report_sha256"):
                    self._problem(f"{path} is not the report of the evaluation")
            elif path.startswith("text/"):
                file = files.get(path.removeprefix("text/").removesuffix(".jsonl"), {})
                if digest != file.get("rows_sha256"):
                    self._problem(f"{path} is not what lineage.json says")

    def _check_log(self, manifest: Mapping[str, Any], known: Sequence[str]) -> None:
        """Check each entry's proof against the signed checkpoint of its tree."""
        part = self._parts.get("audit", {})
        checkpoints: dict[int, _Checkpoint] = {}
        for note in part.get("checkpoints") or ():
            try:
                checkpoint = self._checkpoint(str(note))
            except Refused as e:
                self._problem(f"audit.json has a checkpoint that is not valid: {e}")
                continue
            checkpoints[checkpoint.size] = checkpoint
        if len({checkpoint.origin for checkpoint in checkpoints.values()}) > 1:
            self._problem("audit.json has checkpoints of different logs")
        newest = checkpoints.get(max(checkpoints, default=0))
        for note in known:
            self._compare(self._checkpoint(note), newest, checkpoints)
        last = -1
        for one in _objects(part, "entries"):
            if not isinstance(number := one.get("number"), int) or number <= last:
                self._problem(f"audit.json: the entry {number} is out of order or duplicated")
                continue
            last = number
            if fault := _entry_fault(one, checkpoints, manifest.get("project_id")):
                self._problem(f"audit.json: the entry {number} {fault}")
            else:
                self.found.entries += 1
                self._entries.append(json.loads(one["line"]))
        if waiting := part.get("not_sealed_yet"):
            self.found.notes.append(f"{len(waiting)} entries of the audit log were not sealed yet")

    def _check_acts(self) -> None:
        """Check that the log has each approval, replay and check of a suite that is stated.

        An API process that was taken over could state others.
        """
        model, digest = self.found.model, self._parts.get("model", {}).get("digest")
        approvals = self._parts.get("approvals", {})
        for one in _objects(approvals, "approvals"):
            if one.get("digest") != digest:
                self._problem(f"approvals.json: {one.get('id')} is of other weights")
            self._find_act("approvals.json", one, "model.approved", [model], one.get("api_key_id"))
        for one in _objects(approvals, "replays"):
            if (one.get("model"), one.get("digest")) != (model, digest):
                self._problem("approvals.json: a replay is of another model")
            counts = {name: len(one[name]) for name in ("windows", "findings")}
            self._find_act("approvals.json", one, "fine_tuning.job.replayed", [model], None, counts)
        for one in _objects(self._parts.get("evaluation", {}), "suites"):
            counts = {"passed": int(bool(one["result"] and one["result"]["passed"]))}
            objects = [one.get("id"), one.get("alias"), *(run["model"] for run in one["runs"])]
            self._find_act("evaluation.json", one, "alias.check.ended", objects, None, counts)

    def _find_act(
        self,
        path: str,
        stated: Mapping[str, Any],
        kind: str,
        objects: Sequence[Any],
        actor: Any,
        counts: Mapping[str, int] | None = None,
    ) -> None:
        """Find the entry of what a part states. Each proves one statement."""

        def proves(entry: Mapping[str, Any]) -> bool:
            return (
                entry.get("type") == kind
                and set(objects) <= set(entry.get("objects", ()))
                and actor in (None, entry["actor"].get("id"))
                and (counts or {}).items() <= entry.get("counts", {}).items()
            )

        found = next((entry for entry in self._entries if proves(entry)), None)
        what = f"{path}: {stated.get('id') or kind}"
        waiting = self._parts.get("audit", {}).get("not_sealed_yet") or ()
        if found is not None:
            self._entries.remove(found)
        elif any(proves(json.loads(line)) for line in waiting):
            self.found.notes.append(f"{what} is in an entry that was not sealed yet")
        elif any(one.startswith("audit: ") for one in self.found.missing):
            self.found.notes.append(f"{what} has no entry in the part of the log that was kept")
        else:
            self._problem(f"{what} has no entry in the audit log")

    def _compare(
        self, known: _Checkpoint, newest: _Checkpoint | None, own: Mapping[int, _Checkpoint]
    ) -> None:
        """Compare the archive's checkpoints with one that was kept elsewhere."""
        if newest is None or known.origin != newest.origin:
            self._problem("the checkpoint that was kept elsewhere is of another log")
        elif known.size > newest.size and known.time <= (self.found.created_at or 0):
            self._problem(
                f"the archive's newest checkpoint has {newest.size} entries, and one that was kept "
                f"elsewhere, from before the archive was made, has {known.size}"
            )
        elif known.size in own and known.root != own[known.size].root:
            self._problem(f"the log of {known.size} entries differs from the one that was kept")

    def _check_receipts(self) -> None:
        for one in _objects(self._parts.get("erasures", {}), "receipts"):
            signature = one.get("signature")
            content = {name: one[name] for name in one if name not in _NOT_SIGNED_IN_RECEIPTS}
            if content.get("rewrite") is None:
                content.pop("rewrite", None)
            if not isinstance(signature, dict):
                self.found.notes.append(f"the erasure {one.get('id')} was not complete yet")
            elif any(k.verifies(_message("erasure receipt 1", content), signature.get("value"))
                     for k in self._keys):  # fmt: skip
                self.found.receipts += 1
            else:
                self._problem(f"erasures.json: the receipt {one.get('id')} was changed")

    def _checkpoint(self, note: str) -> _Checkpoint:
        """Parse a checkpoint that one of the keys signed."""
        text, _, signatures = note.partition("\n\n")
        try:
            origin, size, root, time, *_ = text.split("\n")
            found = _Checkpoint(
                origin,
                int(size),
                base64.b64decode(root, validate=True),
                int(time.removeprefix("time ")),
            )
        except (ValueError, binascii.Error) as e:
            raise Refused("it is not a checkpoint") from e
        for line in signatures.splitlines():
            name, _, value = line.removeprefix(_SIGNED).rpartition(" ")
            if name == origin and any(
                _verifies_note(key, origin, f"{text}\n".encode(), value) for key in self._keys
            ):
                return found
        raise Refused("it is not signed with a given key")

    def _read(self, path: str) -> dict[str, Any]:
        """Return the JSON object in a member. Raises Refused."""
        if path not in self._members:
            raise Refused(f"{path} is missing")
        return _parse_object(self._members[path], path)

    def _problem(self, text: str) -> None:
        self.found.problems.append(text)


def _entry_fault(
    one: Mapping[str, Any], checkpoints: Mapping[int, _Checkpoint], project_id: Any
) -> str | None:
    """Return why an entry is not proven, or None."""
    tree = checkpoints.get(one["checkpoint_size"])
    if tree is None:
        return "has no valid checkpoint"
    line = str(one["line"]).encode()
    try:
        path = [bytes.fromhex(each) for each in one["path"]]
        entry = _parse_object(line, "it")
    except ValueError:  # Refused is one
        return "has no valid proof"
    if entry.get("project_id") != project_id:
        return "is about another project"
    leaf = hashlib.sha256(b"\0" + line).digest()
    if root_of(leaf, one["number"], tree.size, path) != tree.root:
        return "is not in the sealed log: it was changed"
    return None


def root_of(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """Return the root of a tree of `size` leaves that a proof leads to: RFC 9162, section 2.1.3.2.

    None if a path of this length cannot be a proof.
    """
    if not 0 <= index < size:
        return None
    found, number, last = leaf, index, size - 1
    for other in path:
        if last == 0:
            return None
        if number & 1 or number == last:
            found = hashlib.sha256(b"\1" + other + found).digest()
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            found = hashlib.sha256(b"\1" + found + other).digest()
        number, last = number >> 1, last >> 1
    return found if last == 0 else None


def _verifies_note(key: _Key, origin: str, text: bytes, value: str) -> bool:
    """Return whether a key made a signature of a note: https://c2sp.org/signed-note."""
    try:
        signature = base64.b64decode(value, validate=True)
    except (ValueError, binascii.Error):
        return False
    hint = hashlib.sha256(origin.encode() + b"\n\1" + key.raw).digest()[:4]
    return signature[:4] == hint and key.verifies(text, base64.b64encode(signature[4:]).decode())


def _message(purpose: str, content: Mapping[str, Any]) -> bytes:
    """Return the bytes that the service signs for a purpose."""
    encoded = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return f"finetuned {purpose}\n{encoded}".encode()


def _read_key(pem: bytes) -> _Key:
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (
            Ed25519PublicKey,
        )
        from cryptography.hazmat.primitives.serialization import (
            load_pem_public_key,
        )
    except ImportError as e:
        raise ConfigurationError(
            "The package cryptography is not installed.",
            next_step="Install it with 'pip install \"finetuned-client[evidence]\"'.",
        ) from e
    try:
        key = load_pem_public_key(pem)
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigurationError(
            "A key is not an Ed25519 public key as PEM.",
            next_step="'finetuned-server audit key' prints the key of an installation.",
        )
    return _Key(key.public_bytes_raw(), key)


def _read_tar(path: Path) -> dict[str, bytes]:
    """Return the members of an archive. Raises Refused."""
    if path.stat().st_size > _MAX_BYTES:
        raise Refused(f"the archive is larger than {_MAX_BYTES // 1024**2} MiB")
    members: dict[str, bytes] = {}
    roots, lowered, end = set(), set(), 0
    try:
        with tarfile.open(path, "r:") as archive:
            for info in archive:
                root, _, name = info.name.partition("/")
                # A sparse file states a size that the archive does not have.
                if info.type != tarfile.REGTYPE or info.pax_headers or info.sparse:
                    raise Refused(f"{_shown(info.name)} is not a plain file")
                if not _NAME.fullmatch(name):
                    raise Refused(f"{_shown(info.name)} is no name of a member")
                if name.lower() in lowered:
                    raise Refused(f"{_shown(name)} is in the archive twice")
                lowered.add(name.lower())
                roots.add(root)
                stream = archive.extractfile(info)
                data = stream.read(_MAX_BYTES + 1) if stream else b""
                if len(data) != info.size:
                    raise Refused(f"{_shown(name)} is cut off")
                members[name] = data
                end = info.offset_data + -(-info.size // 512) * 512
                _check_size(members)
    except (tarfile.TarError, EOFError, ValueError, OSError) as e:
        if isinstance(e, Refused):
            raise
        raise Refused(f"it is not a whole tar archive: {e}") from e
    if len(roots) != 1 or roots & {"", ".", ".."}:
        raise Refused("its files are not in one folder")
    with path.open("rb") as stream:
        stream.seek(end)
        if stream.read() != bytes(1024):
            raise Refused("the end of the archive is missing, or more follows it")
    return members


def _read_folder(folder: Path) -> dict[str, bytes]:
    """Return the files in a folder by their path, following no link. Raises Refused."""
    members: dict[str, bytes] = {}
    for file in sorted(folder.rglob("*")):
        mode = file.lstat().st_mode
        name = file.relative_to(folder).as_posix()
        if stat.S_ISDIR(mode):
            continue
        if not _NAME.fullmatch(name):
            raise Refused(f"{_shown(name)} is no name of a member")
        if not stat.S_ISREG(mode) or file.stat().st_size > _MAX_BYTES:
            raise Refused(f"{_shown(name)} is not a plain file, or too large")
        members[name] = file.read_bytes()
        _check_size(members)
    return members


def _check_size(members: Mapping[str, bytes]) -> None:
    if len(members) > _MAX_MEMBERS or sum(map(len, members.values())) > _MAX_BYTES:
        raise Refused(
            f"it has more than {_MAX_MEMBERS} members, or more than {_MAX_BYTES // 1024**2} MiB"
        )


def _parse_object(data: bytes, where: str) -> dict[str, Any]:
    """Parse a JSON object without duplicate keys. Raises Refused."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise Refused(f"{where} has a key twice")
        return found

    def refuse(constant: str) -> None:
        raise Refused(f"{where} has the number {constant}, which JSON lacks")

    try:
        found = json.loads(data.decode(), object_pairs_hook=unique, parse_constant=refuse)
    except RecursionError:
        raise Refused(f"{where} is nested too deeply") from None
    except ValueError as e:
        if isinstance(e, Refused):
            raise
        raise Refused(f"{where} is not JSON") from e
    if not isinstance(found, dict):
        raise Refused(f"{where} is not a JSON object")
    return found


def _objects(part: Mapping[str, Any], name: str) -> Iterator[dict[str, Any]]:
    """Yield the objects in a list of a part, which may lack it. Raises Refused."""
    found = part.get(name, [])
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise Refused(f"{name} is not a list of objects")
    return iter(found)


def _shown(name: str) -> str:
    return repr(name[:100])
