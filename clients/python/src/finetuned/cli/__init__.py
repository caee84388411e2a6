"""The `finetuned` command line."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Run the command line. Exits with one of the codes in `failures.py`."""
    # What imports create is permanent, so collecting it would take a tenth of the time in vain.
    gc.disable()
    try:
        from finetuned.cli.app import run
    except ModuleNotFoundError as e:
        if e.name in ("rich", "typer"):
            sys.exit("finetuned: the command line requires: pip install 'finetuned-client[cli]'")
        raise
    gc.freeze()
    gc.enable()
    sys.exit(run(sys.argv[1:]))
