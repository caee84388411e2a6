"""The hashes of a Merkle tree as RFC 6962 defines it (section 2.1).

Only the right edge of the tree is kept: it is all that is needed to add leaves and to compute the
root. Packages for such trees keep all of a tree, which grows without end here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf."""
    return hashlib.sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return hashlib.sha256(b"\1" + left + right).digest()


class Edge:
    """The right edge of a tree: the roots of its full subtrees, the largest first."""

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        """Create an edge. Raises ValueError if a tree of this size has another number of them."""
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
