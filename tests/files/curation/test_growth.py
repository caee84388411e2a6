"""Tests that storage keeps nothing of an expanding file except the uploaded bytes."""

from __future__ import annotations

import io
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import Api, checked


@pytest.mark.slow
async def test_a_small_file_that_becomes_a_large_one_is_refused_with_the_place(
    api: Api, http, work, put, cleaned
):
    answers = pa.DictionaryArray.from_arrays(
        pa.array([0] * 2_000, pa.int32()), pa.array(["a" * 96_000])
    )
    out = io.BytesIO()
    pq.write_table(pa.table({"prompt": ["q"] * 2_000, "completion": answers}), out)
    data = out.getvalue()
    assert len(data) < 10_000  # and 192 MB as rows
    file_id = await put(data, "small.parquet")
    async with work("cpu"):
        file = await checked(http, file_id)
        cleaning = await cleaned(file_id)
    assert file["status"] == "error"
    assert "Line " in file["status_details"]
    assert "JSON Lines" in file["status_details"]
    assert (cleaning["status"], cleaning["error"]["code"]) == ("failed", "rows_too_large")
    storage = Path(urlsplit(api.settings.storage_url).path)
    assert sum(path.stat().st_size for path in storage.rglob("*") if path.is_file()) < 100_000
