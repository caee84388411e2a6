"""Masks personal data in answers of the API, in a child process.

Detection takes one to ten milliseconds of CPU per text, which would delay the streams of other
requests in the API's own process.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from service.core.child import Child, environment
from service.core.errors import Unavailable
from service.datasets.personal_data.mask_values import MaskRequest, MaskResult
from service.files.curation.recognizers.records import Recognizers

_TIMEOUT_S: Final = 120.0
_CONCURRENCY: Final = 2


class Masking:
    """Masks values with the recognizers of their project."""

    def __init__(self, recognizers: Recognizers) -> None:
        self._recognizers = recognizers
        self._gate = asyncio.Semaphore(_CONCURRENCY)

    async def mask(self, project_id: str, groups: list[list[Any]]) -> MaskResult:
        """Mask groups of JSON values. Raises Unavailable."""
        recognizers = await self._recognizers.all(project_id)
        request = msgspec.json.encode(MaskRequest(groups, recognizers))
        async with self._gate:
            child = await Child.start(
                [sys.executable, "-m", "service.datasets.personal_data.mask_values"],
                env=environment(),
                stderr=Path("/dev/null"),  # a library might quote the text
            )
            try:
                async with asyncio.timeout(_TIMEOUT_S):
                    answer = await child.exchange(request)
                return msgspec.json.decode(answer, type=MaskResult)
            except (TimeoutError, msgspec.DecodeError) as e:
                raise Unavailable(
                    "Personal data in the answer could not be masked, so it is not shown. Try "
                    "again, or ask for fewer items."
                ) from e
            finally:
                await child.kill()
