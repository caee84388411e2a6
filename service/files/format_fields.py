"""Format options of an upload, parsed from form fields or query parameters.

`format` is either a JSON object or flattened fields. OpenAI's SDK, for example, sends
`extra_body={"format": {"columns": {"prompt": "Frage"}}}` as `format[columns][prompt]`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from service.core.errors import BadRequest
from service.files.schemas import FormatFields
from service.web.validation import from_validation

_MAX_BYTES = 16 * 1024
_FLAT = re.compile(r"format\[([^\[\]]+)\](?:\[(.+)\])?", re.DOTALL)


def format_of(fields: Mapping[str, str]) -> dict[str, Any] | None:
    """The validated format options; None if none are given. Raises BadRequest."""
    given = {name: value for name, value in fields.items() if name.startswith("format")}
    if not given:
        return None
    if sum(len(n.encode()) + len(v.encode()) for n, v in given.items()) > _MAX_BYTES:
        raise BadRequest(f"'format' is over the limit of {_MAX_BYTES} bytes.", param="format")
    try:
        # Fields of a form are texts, also where JSON has a number.
        parsed = FormatFields.model_validate(_nested(given), strict="format" in given)
    except ValidationError as e:
        raise from_validation(
            [{**fault, "loc": ("format", *fault["loc"])} for fault in e.errors()]
        ) from e
    return parsed.stored()


def _nested(given: Mapping[str, str]) -> Any:
    if "format" in given:
        if len(given) > 1:
            raise BadRequest("Send 'format' as one JSON object or flattened.", param="format")
        try:
            return json.loads(given["format"])
        except (ValueError, RecursionError) as e:
            raise BadRequest(
                'Invalid value for \'format\': a JSON object, such as {"container": "csv"}.',
                param="format",
                code="invalid_json",
            ) from e
    nested: dict[str, Any] = {}
    for name, value in given.items():
        found = _FLAT.fullmatch(name)
        if found is None:
            raise BadRequest(f"Unknown parameter: '{name[:80]}'.", param=name[:80])
        field, key = found.groups()
        if key is None:
            nested[field] = value
        elif isinstance(inner := nested.setdefault(field, {}), dict):
            inner[key] = value
    return nested
