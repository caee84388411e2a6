"""Models: imports of adapters that were trained elsewhere, and downloads of exports."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from finetuned._async.datasets import completed
from finetuned._async.files import AsyncFiles, save
from finetuned._async.resources.model_exports import AsyncModelExportsBase
from finetuned._async.resources.model_imports import AsyncModelImports
from finetuned._async.resources.models import AsyncModelsBase
from finetuned._concurrency import async_call
from finetuned._request import Request, at
from finetuned._sources import OnProgress, pack_adapter

if TYPE_CHECKING:
    from finetuned import types


class AsyncModels(AsyncModelsBase):
    """Models available for inference: base models, trained models and aliases."""

    async def import_adapter(
        self,
        source: str | os.PathLike[str],
        *,
        base_model: str,
        suffix: str | None = None,
        on_progress: OnProgress | None = None,
        timeout_s: float | None = None,
    ) -> types.ModelImport:
        """Import a LoRA adapter that was trained elsewhere, and wait for the model.

        `source` is the folder that PEFT's `save_pretrained` wrote, a tar or zip archive of it, or
        the ID of an uploaded archive. Raises OperationFailed if the adapter is refused.
        """
        imports = AsyncModelImports(self._transport)
        file_id = await self._file_id(source, on_progress)
        made = await imports.create(file_id=file_id, base_model=base_model, suffix=suffix)
        return completed(await imports.wait(made.id, timeout_s=timeout_s))

    async def _file_id(self, source: str | os.PathLike[str], on_progress: OnProgress | None) -> str:
        path, files = Path(source).expanduser(), AsyncFiles(self._transport)
        if not path.exists() and isinstance(source, str) and source.startswith("file-"):
            return source
        if not path.is_dir():
            file = await files.create(path, purpose="model-import", on_progress=on_progress)
            return file.id
        with tempfile.TemporaryDirectory(prefix="finetuned-") as folder:
            packed = await async_call(pack_adapter, path, Path(folder))
            file = await files.create(
                packed, purpose="model-import", on_progress=on_progress, resume=False
            )
        return file.id


class AsyncModelExports(AsyncModelExportsBase):
    """Exports of trained models for other software."""

    async def download(self, export_id: str, to: str | os.PathLike[str]) -> Path:
        """Download an export as a tar archive to a local file, and check its digest."""
        result = (await self.retrieve(export_id)).result
        request = Request("GET", at("model_exports", export_id, "content"))
        return await save(self._transport, request, to, result.sha256 if result else None)
