"""Checks that the fields of a JSON object are present, known, and of the right type."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from service.datasets.checks.findings import Findings
from service.datasets.checks.issues import shown
from service.datasets.rows.raw_json import kind_of


def pointer_to(base: str, key: str | int) -> str:
    """Return the JSON Pointer of a child. Keys are data, so they are sanitized and truncated."""
    return f"{base}/{shown(str(key)).replace('~', '~0').replace('/', '~1')}"


def take(
    found: Findings,
    owner: Mapping[str, Any],
    at: str,
    field: str,
    kind: type,
    *,
    required: bool = False,
) -> Any:
    """Return the field's value if it has type `kind`, else None. Null counts as missing."""
    value = owner.get(field)
    if value is None:
        if required:
            found.add("missing_field", at, field=field)
        return None
    if type(value) is not kind:
        found.add(
            "wrong_type",
            pointer_to(at, field),
            field=field,
            expected=kind_of(kind()),
            found=kind_of(value),
        )
        return None
    return value


def report_unknown(
    found: Findings, owner: Mapping[str, Any], at: str, known: Collection[str]
) -> None:
    """Add a warning for each field that is not part of the format."""
    for key in owner:
        if key not in known:
            found.add("unknown_field", pointer_to(at, key), field=shown(key))
