"""Tests of masked previews: names of columns and keys that hold personal data."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from service.datasets.formats.options import FormatOptions
from service.datasets.preview import make_preview
from service.datasets.preview_mask import mask_preview

_TABLE = (
    "ann.lee@example.com,Card 4111111111111111 was charged twice,We will refund\n"
    "bob@example.com,Hello there,Fine\n"
)
_KEYS = json.dumps({"prompt": "a", "completion": "b", "meta": {"ann.lee@example.com": 1}})
_FLOAT = json.dumps({"prompt": "a", "completion": "b", "card": 4111111111111111.0})


@pytest.mark.parametrize(
    ("name", "text"), [("a.csv", _TABLE), ("a.jsonl", _KEYS), ("b.jsonl", _FLOAT)]
)
def test_personal_data_in_names_keys_and_numbers_is_masked(tmp_path: Path, name: str, text: str):
    """A table without names of columns has a row of data in their place."""
    path = tmp_path / name
    path.write_text(text, "utf-8")
    preview = make_preview(path, FormatOptions(), limit=5, work=tmp_path)
    shown = msgspec.json.encode(mask_preview(preview)).decode()
    assert "ann.lee@example.com" not in shown
    assert "4111111111111111" not in shown
    assert "[EMAIL]" in shown or "[PAYMENT_CARD]" in shown
