"""The child process of an export: started, followed, and killed with its worker."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from service.core.child import Child, environment
from service.exporting import ExportSpec, Failed, Progress, Succeeded, parse_message
from service.exports.records import ExportError

_LIMIT_S: Final = 6 * 3600
# GPUs of the machine are full of engines and trainers.
_NO_GPU: Final = {"CUDA_VISIBLE_DEVICES": ""}

OnProgress = Callable[[Progress], Awaitable[None]]


class ExportFailed(Exception):
    """The export fails for a reason that its owner or the operator can change."""

    def __init__(
        self, code: str, message: str, *, proof: dict[str, Any] | None = None, **prompts: str | None
    ) -> None:
        super().__init__(code)
        self.error = ExportError.model_validate({"code": code, "message": message, **prompts})
        self.proof = proof


async def run(spec: ExportSpec, folder: Path, on_progress: OnProgress) -> Succeeded:
    """Run an export in a child process and return its result. Raises ExportFailed.

    The spec and the log are written to `folder`. The process is killed when this is canceled.
    """
    file = folder / "spec.json"
    file.write_text(spec.model_dump_json(), "utf-8")
    child = await Child.start(
        [sys.executable, "-m", "service.exporting", str(file)],
        env={**environment(), **_NO_GPU},
        stderr=folder / "export.log",
    )
    try:
        async with asyncio.timeout(_LIMIT_S):
            outcome = await _followed(child, on_progress)
            code = await child.wait()
    except TimeoutError as e:
        message = f"The export took longer than {_LIMIT_S // 3600} hours and was ended."
        raise ExportFailed("timed_out", message) from e
    finally:
        await child.kill()
    if isinstance(outcome, Succeeded) and code == 0:
        return outcome
    raise _failure(outcome if isinstance(outcome, Failed) else None, code)


async def _followed(child: Child, on_progress: OnProgress) -> Succeeded | Failed | None:
    """Report the progress and return the last message; None if the process died before it."""
    async for line in child.lines():
        try:
            message = parse_message(line)
        except ValidationError:
            return None  # killed in the middle of a line
        if not isinstance(message, Progress):
            return message
        await on_progress(message)
    return None


def _failure(failed: Failed | None, code: int) -> ExportFailed:
    if failed is None:
        hint = " The system may have ended it because memory ran out." if code == -9 else ""
        message = f"The process of the export ended with {code} before its result.{hint}"
        return ExportFailed("process_died", message)
    return ExportFailed(
        failed.code,
        failed.message,
        proof=None if failed.proof is None else failed.proof.model_dump(),
        expected_prompt=failed.expected_prompt,
        rendered_prompt=failed.rendered_prompt,
    )
