"""The logger of the package. It names routes, statuses and request IDs, never keys or bodies."""

from __future__ import annotations

import logging
import os

logger = logging.getLogger("finetuned")


def set_up_logging() -> None:
    """Log to stderr if FINETUNED_LOG is `debug` or `info`."""
    level = os.environ.get("FINETUNED_LOG", "").upper()
    if level in ("DEBUG", "INFO"):
        logging.basicConfig(format="%(asctime)s %(name)s %(levelname)s %(message)s")
        logger.setLevel(level)
