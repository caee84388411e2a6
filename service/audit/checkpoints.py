"""Writes, signs and verifies checkpoints: the signed state of the audit log at a time.

The format is that of transparency logs (https://c2sp.org/tlog-checkpoint), so that their tools and
witnesses can read it: the log's name, its number of entries, the root of their Merkle tree,
extension lines, and signatures of Ed25519 (https://c2sp.org/signed-note). The extension lines are
the time, the digest of the entries since the previous checkpoint, and the right edge of the tree,
from which the tree continues after earlier entries are deleted. Then follow the checkpoint's
number, the number of entries that may have been deleted because of their age, the retention in
days, and the keys that signed checkpoints before checkpoints had numbers.

The tree uses the hashes of RFC 6962 (section 2.1). Only its right edge is kept, which is enough to
add leaves and to compute the root. Packages for such trees keep the whole tree, which would grow
without bound here.

Checkpoints of version 0.2.0 have no line after the edge. Their number is 0.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from service.core.encryption.signing import PublicKey, SigningKey

_SIGNED: Final = "— "
_ED25519: Final = b"\1"
_TIME, _SEGMENT, _DIGEST, _EDGE = "time ", "segment ", "sha256 ", "edge"
_NUMBER, _PRUNED, _KEPT, _EARLIER = "number ", "pruned ", "kept-days ", "earlier-keys"
_UNNUMBERED: Final = (f"{_NUMBER}0", f"{_PRUNED}0", f"{_KEPT}0", _EARLIER)


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf."""
    return hashlib.sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return hashlib.sha256(b"\1" + left + right).digest()


class Edge:
    """The right edge of a tree: the roots of its full subtrees, the largest first."""

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        """Create an edge. Raises ValueError if their number does not fit the size."""
        self.size = size
        self.hashes = list(hashes)
        if len(self.hashes) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} full subtrees")

    def add(self, leaves: Iterable[bytes]) -> None:
        """Add leaves to the tree."""
        for data in leaves:
            found, rest = leaf_hash(data), self.size
            while rest & 1:
                found = node_hash(self.hashes.pop(), found)
                rest >>= 1
            self.hashes.append(found)
            self.size += 1

    def root(self) -> bytes:
        """Return the root of the tree."""
        if not self.hashes:
            return hashlib.sha256().digest()
        *others, found = self.hashes
        for left in reversed(others):
            found = node_hash(left, found)
        return found


class BadCheckpoint(ValueError):
    """A text is not a checkpoint, or its signature is wrong."""


@dataclass(frozen=True)
class Checkpoint:
    """The state of the log, and the location of the entries since the previous checkpoint."""

    origin: str
    size: int
    root: bytes
    time: int
    segment: str
    """Name of the object with the entries, without its folder."""
    sha256: str
    edge: tuple[bytes, ...]
    number: int = 0
    """1 for the first checkpoint with a number, and one more for each that follows."""
    pruned: int = 0
    """Entries before this number may have been deleted because of their age."""
    kept_days: int = 0
    """Retention in days at the time of this checkpoint. 0: entries are kept forever."""
    earlier_keys: tuple[bytes, ...] = ()
    """The public keys that signed the checkpoints without a number."""

    @classmethod
    def after(
        cls, origin: str, edge: Edge, before: Self | None, *, time: int, segment: str, sha256: str
    ) -> Self:
        """Describe a tree after some entries were added to it."""
        return cls(
            origin,
            edge.size,
            edge.root(),
            time,
            segment,
            sha256,
            tuple(edge.hashes),
            number=before.number + 1 if before else 1,
            pruned=before.pruned if before else 0,
            earlier_keys=before.earlier_keys if before else (),
        )

    def text(self) -> str:
        """Return the text that is signed."""
        edge = " ".join([_EDGE, *map(_base64, self.edge)])
        lines = [self.origin, str(self.size), _base64(self.root)]
        lines += [f"{_TIME}{self.time}", f"{_SEGMENT}{self.segment}", f"{_DIGEST}{self.sha256}"]
        lines.append(edge)
        if self.number:
            lines += [f"{_NUMBER}{self.number}", f"{_PRUNED}{self.pruned}"]
            lines.append(f"{_KEPT}{self.kept_days}")
            lines.append(" ".join([_EARLIER, *map(_base64, self.earlier_keys)]))
        return "\n".join([*lines, ""])

    @classmethod
    def parse(cls, note: str) -> Self:
        """Parse a checkpoint without checking signatures. Raises BadCheckpoint."""
        try:
            text, _, _ = note.partition("\n\n")
            origin, size, root, *rest = text.split("\n")
            time, segment, digest, edge, *numbered = rest
            number, pruned, kept, earlier = numbered or _UNNUMBERED
            found = cls(
                origin=origin,
                size=int(size),
                root=base64.b64decode(root, validate=True),
                time=int(_value_of(_TIME, time)),
                segment=_value_of(_SEGMENT, segment),
                sha256=_value_of(_DIGEST, digest),
                edge=_decode_all(edge),
                number=int(_value_of(_NUMBER, number)),
                pruned=int(_value_of(_PRUNED, pruned)),
                kept_days=int(_value_of(_KEPT, kept)),
                earlier_keys=_decode_all(earlier),
            )
            if found.text() != f"{text}\n" or found.tree().root() != found.root:
                raise BadCheckpoint("its root does not follow from its edge")
        except (ValueError, binascii.Error) as e:
            raise BadCheckpoint(f"it is not a checkpoint: {e}") from e
        return found

    def tree(self) -> Edge:
        """Return the edge of the tree. Raises ValueError if there is none of this size."""
        return Edge(self.size, self.edge)


def sign_checkpoint(checkpoint: Checkpoint, key: SigningKey) -> str:
    """Return the signed note of a checkpoint."""
    text = checkpoint.text()
    signature = _hint(checkpoint.origin, key.public) + key.sign_bytes(text.encode())
    return f"{text}\n{_SIGNED}{checkpoint.origin} {_base64(signature)}\n"


def verify_with_any(note: str, keys: Sequence[PublicKey]) -> Checkpoint:
    """Parse a note signed with any of these keys. Raises BadCheckpoint."""
    problem = BadCheckpoint("there is no key to verify it with")
    for key in keys:
        try:
            return verify_checkpoint(note, key)
        except BadCheckpoint as e:
            problem = e
    raise problem


def verify_checkpoint(note: str, key: PublicKey) -> Checkpoint:
    """Parse a note signed with this key. Raises BadCheckpoint."""
    checkpoint = Checkpoint.parse(note)
    _, _, signatures = note.partition("\n\n")
    for line in signatures.splitlines():
        name, _, value = line.removeprefix(_SIGNED).rpartition(" ")
        if name != checkpoint.origin:
            continue
        try:
            signature = base64.b64decode(value, validate=True)
        except binascii.Error:
            continue
        if signature[:4] == _hint(name, key):
            if key.verifies_bytes(checkpoint.text().encode(), signature[4:]):
                return checkpoint
            raise BadCheckpoint("its signature is wrong")
    raise BadCheckpoint(f"it is not signed with the key {key.id}")


def _hint(origin: str, key: PublicKey) -> bytes:
    """Return the four bytes with which a signature identifies its key."""
    return hashlib.sha256(origin.encode() + b"\n" + _ED25519 + key.raw).digest()[:4]


def digest_of(lines: Sequence[bytes]) -> str:
    """Return the digest of a segment."""
    found = hashlib.sha256()
    for line in lines:
        found.update(line + b"\n")
    return found.hexdigest()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode_all(line: str) -> tuple[bytes, ...]:
    """Return the values after the name at the start of a line."""
    return tuple(base64.b64decode(each, validate=True) for each in line.split(" ")[1:])


def _value_of(name: str, line: str) -> str:
    if not line.startswith(name):
        raise BadCheckpoint(f"the line '{name.strip()}' is missing")
    return line.removeprefix(name)
