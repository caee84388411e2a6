"""How files are read whose names are those of text documents."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_DOCUMENT = re.compile(r".\.(?:txt|text|md|markdown)(?:\.(?:gz|zst|bz2|xz))?\Z", re.IGNORECASE)

_OF_TABLES = frozenset({"container", "columns", "delimiter", "header_row", "group_by", "sheet"})


def read_with(given: Mapping[str, Any] | None, filename: str) -> dict[str, Any] | None:
    """Return the format options of a file, with what its name says about it.

    A text file may still be a table or JSON Lines: the name only decides if it is neither, and if
    no option is that of a table.
    """
    options = dict(given or {})
    if _DOCUMENT.search(filename) is None or _OF_TABLES & options.keys():
        return options or None
    return {**options, "is_document": True}
