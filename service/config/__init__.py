"""Settings of all processes, read from environment variables (`FINETUNED_…`).

All processes share one class, because the API, workers and engines of an installation must agree on
Redis, storage and limits. Each area has a module.
"""

from service.config.fields import GIB, MIB
from service.config.http import OidcGrant
from service.config.inference import NEVER_PASSED_ON
from service.config.settings import Settings

__all__ = ["GIB", "MIB", "NEVER_PASSED_ON", "OidcGrant", "Settings"]
