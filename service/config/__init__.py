"""Settings of all processes, read from environment variables (`FINETUNED_…`).

All processes share one class: the API, the worker and the inference launcher of an installation
must agree on Redis, storage and limits, so they read the same variables. Each area has a module.
"""

from service.config.gateway import NEVER_PASSED_ON
from service.config.settings import Settings
from service.config.tokens import OidcGrant
from service.config.units import GIB, MIB

__all__ = ["GIB", "MIB", "NEVER_PASSED_ON", "OidcGrant", "Settings"]
