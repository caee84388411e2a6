"""Detection of files that are not JSON Lines, from their first bytes."""

from __future__ import annotations

from pathlib import Path

_MAGIC = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"PK\x03\x04", "a ZIP archive or a workbook"),
    (b"PAR1", "Parquet"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
    (b"%PDF", "PDF"),
)


def not_jsonl_kind(path: Path) -> str | None:
    """Describe what the file looks like if it cannot be JSON Lines; otherwise return None."""
    with path.open("rb") as file:
        head = file.read(4096)
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"[":
        return "one JSON array"
    return None
