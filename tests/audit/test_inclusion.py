"""Proofs that single entries are in the sealed log."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import pytest
from finetuned.evidence import root_of

from service.audit.checkpoints import Edge, leaf_hash
from service.audit.inclusion import Prover


@pytest.mark.parametrize("cuts", [(0, 1), (0, 5), (0, 3, 7), (0, 1, 2, 8, 13), (0, 64, 100, 133)])
def test_each_entry_of_a_log_in_parts_is_proven_against_its_checkpoint(cuts):
    """The client's own implementation of RFC 6962 computes the root from each proof."""
    lines = [f"line {number}".encode() for number in range(cuts[-1])]
    edge = Edge()
    for first, end in pairwise(cuts):
        prover = Prover(edge, lines[first:end])
        edge = Edge(edge.size, edge.hashes)
        edge.add(lines[first:end])
        for index in range(first, end):
            path = prover.path(index)
            assert root_of(leaf_hash(lines[index]), index, end, path) == edge.root()
            wrong = hashlib.sha256(b"\0another").digest()
            assert root_of(wrong, index, end, path) != edge.root()
