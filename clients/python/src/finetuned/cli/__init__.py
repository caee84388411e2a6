"""The `finetuned` command line."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line. Exits with one of the codes in `failures.py`."""
    try:
        from finetuned.cli.app import run
    except ModuleNotFoundError as e:
        if e.name in ("rich", "typer"):
            sys.exit("finetuned: the command line needs: pip install 'finetuned-client[cli]'")
        raise
    sys.exit(run(sys.argv[1:]))
