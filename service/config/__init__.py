"""Settings of all processes, read from environment variables (`FINETUNED_…`).

All processes share one class: the API, the worker and the inference launcher of an installation
must agree on Redis, storage and limits, so they read the same variables. Each area has a module.
"""

from service.config.fields import GIB, MIB
from service.config.http import OidcGrant
from service.config.inference import NEVER_PASSED_ON
from service.config.settings import Settings

__all__ = ["GIB", "MIB", "NEVER_PASSED_ON", "OidcGrant", "Settings"]
