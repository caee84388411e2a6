"""The `finetuned` command line."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Run the command line. Exits with one of the codes in `failures.py`."""
    # What imports create is permanent, so collecting it would take a tenth of the time in vain.
    gc.disable()
    from finetuned_cli.app import run

    gc.freeze()
    gc.enable()
    sys.exit(run(sys.argv[1:]))
