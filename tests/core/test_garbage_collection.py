"""Tests of imports of large libraries."""

from __future__ import annotations

import gc
from importlib import metadata

import pytest

from service.garbage_collection import collect_as_usual, collect_seldom, quick_imports


def test_imports_read_the_metadata_once_and_collect_no_garbage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reads: list[dict[str, list[str]]] = []

    def read() -> dict[str, list[str]]:
        reads.append({"torch": ["torch"]})
        return reads[-1]

    monkeypatch.setattr(metadata, "packages_distributions", read)
    with quick_imports():
        assert not gc.isenabled()
        assert metadata.packages_distributions() == metadata.packages_distributions()
    assert (len(reads), gc.isenabled()) == (1, True)


def test_processes_that_stay_collect_as_often_as_before():
    usual = gc.get_threshold()
    collect_seldom()
    assert gc.get_threshold()[0] > usual[0]
    collect_as_usual()
    assert gc.get_threshold() == usual
