"""Fields of a JSON object: there, of the right type, and known."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from service.datasets.checks.findings import Findings
from service.datasets.checks.issues import shown
from service.datasets.rows.raw_json import kind_of


def pointer_to(base: str, key: str | int) -> str:
    """The JSON pointer of a child; long or strange keys are cut, since they are data."""
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
    """The field's value if it has the type, else None; null counts as missing."""
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
    """A warning for each field that the format does not know."""
    for key in owner:
        if key not in known:
            found.add("unknown_field", pointer_to(at, key), field=shown(key))
