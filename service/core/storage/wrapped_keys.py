"""Where wrapped data keys are: in the storage whose objects they encrypt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.core.storage.errors import StorageMissing

if TYPE_CHECKING:
    from service.core.storage.objects import Storage


class WrappedKeys:
    """The wrapped data keys in storage."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def read(self, name: str) -> bytes | None:
        """Return an object, or None if there is none."""
        try:
            return await self._storage.get_bytes(name)
        except StorageMissing:
            return None

    async def create(self, name: str, data: bytes) -> bool:
        """Write an object unless it exists: also if another process does so at the same time."""
        return await self._storage.create_bytes(name, data)

    async def replace(self, name: str, data: bytes) -> None:
        """Write an object."""
        await self._storage.put_bytes(name, data)
