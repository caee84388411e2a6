"""What the fork server of `forked.py` imports before it forks: all that a trainer does."""

import contextlib
import tempfile
from pathlib import Path

from service.training.__main__ import _settle_environment

# Libraries read where their caches are as they are imported; nothing is written there.
_settle_environment(Path(tempfile.gettempdir()) / "finetuned-fork-server")

with contextlib.suppress(ImportError):
    import pytest  # noqa: F401 - each fork imports pytest's __main__, as multiprocessing has it
import service.training.run  # noqa: E402, F401
