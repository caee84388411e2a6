"""Tests of base models that are copied from object storage."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from service.models.fetch import fetch_model
from service.models.model_folder import ModelRefused


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


async def test_a_model_appears_complete_and_once(tiny_model_path, tmp_path):
    target = tmp_path / "models" / "tiny"
    url = tiny_model_path.as_uri()
    copied = await asyncio.gather(*(fetch_model(url, target) for _ in range(3)))
    assert sorted(copied) == [False, False, True]
    assert files_of(target) == files_of(tiny_model_path)
    assert not await fetch_model(url, target)
    assert [path.name for path in target.parent.iterdir()] == ["tiny"]


async def test_what_is_no_model_is_refused(tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "config.json").write_text("{}")
    with pytest.raises(ModelRefused, match=r"file:///.* is not a model"):
        await fetch_model((tmp_path / "source").as_uri(), tmp_path / "models" / "x")
    assert list((tmp_path / "models").iterdir()) == []
