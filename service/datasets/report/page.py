"""Self-contained HTML pages: no network, no inline handlers, all styles and scripts hashed."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from importlib.resources import files
from typing import Final

_STYLE: Final = files(__package__).joinpath("page.css").read_text("utf-8")


def page(*, title: str, body: str, style: str = "", script: str = "") -> str:
    """Return an HTML page in the style of all reports.

    `body` is HTML. `style` and `script` are CSS and JavaScript, and must come from this project.
    The page's content security policy allows exactly these, so that a text in `body` could neither
    run a script nor load anything even if it were not escaped.
    """
    style = _STYLE + style
    policy = (
        f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<title>{escape(title)}</title>\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{style}</style></head>\n<body>\n{body}\n"
        + (f"<script>{script}</script>\n" if script else "")
        + "</body></html>\n"
    )


def _digest(text: str) -> str:
    """Return the source expression of a content security policy that allows exactly this text."""
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'" if text else "'none'"
