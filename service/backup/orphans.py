"""Records whose objects are not in storage, because they were deleted after the snapshot."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from service.core.records import PREFIX
from service.core.redis import Client, batched
from service.core.storage import MANIFEST, Storage
from service.exports.records import Exports
from service.files.records import Files
from service.models.catalogue import Catalogue
from service.models.registry import ModelInUse, ModelRegistry

log = logging.getLogger(__name__)
_READ_AT_ONCE: Final = 500
_SUBJECT: Final = re.compile(
    rf"{PREFIX}:(?P<project>[^:]+):(?P<collection>exports|files|models):(?P<id>[^:]+|ft:.+)"
)


class Orphans:
    """Removes such records. `stored` are the keys of all objects in storage."""

    def __init__(
        self, redis: Client, storage: Storage, catalogue: Catalogue, stored: AbstractSet[str]
    ) -> None:
        self._keys = stored
        self._files = Files(redis, storage)
        self._registry = ModelRegistry(redis, catalogue, cache_s=0)
        self._exports = Exports(redis)

    async def remove(self, names: Iterable[str]) -> list[str]:
        """Delete those of some Redis keys as their owners did, and return their IDs.

        Records that only a newer version can read are left to it.
        """
        ids: dict[tuple[str, str], list[str]] = defaultdict(list)
        for name in names:
            if place := _SUBJECT.fullmatch(name):
                ids[place["collection"], place["project"]].append(place["id"])
        removed = []
        for (collection, project_id), of_project in ids.items():
            for some in batched(of_project, _READ_AT_ONCE):
                removed += await self._remove(collection, project_id, some)
        return removed

    async def _remove(self, collection: str, project_id: str, ids: Sequence[str]) -> list[str]:
        match collection:
            case "files":
                return await self._remove_files(project_id, ids)
            case "models":
                return await self._remove_models(project_id, ids)
        return await self._remove_exports(project_id, ids)

    async def _remove_files(self, project_id: str, ids: Sequence[str]) -> list[str]:
        files = await self._files.records.get_many(project_id, ids)
        lost = [file for file in files if f"{file.folder}/{MANIFEST}" not in self._keys]
        for file in lost:
            await self._files.delete(file)
        return [file.id for file in lost]

    async def _remove_models(self, project_id: str, names: Sequence[str]) -> list[str]:
        removed = []
        for model in await self._registry.models.get_many(project_id, names):
            if f"{model.artifact}/{MANIFEST}" in self._keys:
                continue
            try:
                await self._registry.delete(project_id, model.id)
            except ModelInUse as e:
                log.warning("the bytes of %s are missing, but it is in use: %s", model.id, e)
            else:
                removed.append(model.id)
        return removed

    async def _remove_exports(self, project_id: str, ids: Sequence[str]) -> list[str]:
        exports = await self._exports.records.get_many(project_id, ids)
        lost = [e for e in exports if e.key is not None and e.key not in self._keys]
        for export in lost:
            await self._exports.delete(export)
        return [export.id for export in lost]
