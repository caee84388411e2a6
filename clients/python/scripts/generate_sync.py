"""Generates the synchronous client, `finetuned._sync`, from `finetuned._async`: `make clients`.

Only words are replaced. What differs more than that is in `_concurrency.py` and `_paginator.py`.
"""

from __future__ import annotations

import re
from pathlib import Path

_HEAD = "# Generated from finetuned._async by `make clients`. Do not edit.\n"
_REPLACED = [
    (r"import AsyncPaginator, async_paginator", "import paginator"),
    (r"from finetuned\._paginator import AsyncPaginator", "from finetuned._sync.pages import Page"),
    (r"AsyncPaginator", "Page"),
    (r"\bCoroutine\[Any, Any, ([\w.\[\]]+)\](?=\])", r"\1"),
    (r"\bAwaitable\[(\w+)\]", r"\1"),
    (r"\basync (def|for|with)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\basynccontextmanager\b", "contextmanager"),
    (r"\bAsync(?=[A-Z])", ""),
    (r"\basync_(?=\w)", ""),
    (r"\b_async\b", "_sync"),
    (r"\b(a|an) asynchronous\b", "a synchronous"),
    (r"\b([Aa])synchronous\b", lambda found: "Synchronous" if found[1] == "A" else "synchronous"),
    (r"\b__a(iter|enter|exit)__\b", r"__\1__"),
    (r"\ba(read|close|iter_raw)\(", r"\1("),
    (r"\.aclose\b", ".close"),
    (r"\basyncio event loop\b", "thread"),
]


def generate(package: Path) -> dict[Path, str]:
    """Return the source of each module, by its path."""
    source, target = package / "_async", package / "_sync"
    return {
        target / path.relative_to(source): _HEAD + synchronous(path.read_text("utf-8"))
        for path in sorted(source.rglob("*.py"))
    }


def synchronous(source: str) -> str:
    """Return a module of the asynchronous client as one of the synchronous client."""
    for pattern, replacement in _REPLACED:
        source = re.sub(pattern, replacement, source)
    return source
