"""Finds the files that requests name."""

from __future__ import annotations

from service.core import clock, ids
from service.core.errors import BadRequest, NotFound
from service.files.records import FileRecord, Files, Purpose


async def named_file(
    files: Files, project_id: str, file_id: str, param: str, purpose: Purpose | None = None
) -> FileRecord:
    """Return the project's file that a parameter names.

    Raises NotFound, and BadRequest if it has another purpose.
    """
    file = None
    if ids.is_valid(file_id, ids.FILE):
        file = await files.get(project_id, file_id, clock.now_s())
    if file is None:
        raise NotFound(f"No such File object: {file_id[:80]}", param=param, code="file_not_found")
    if purpose is not None and file.purpose is not purpose:
        raise BadRequest(
            f"The file {file.id} has the purpose '{file.purpose}'. Upload it again with the "
            f"purpose '{purpose}'.",
            param=param,
            code="invalid_file_purpose",
        )
    return file
