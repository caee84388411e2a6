"""``python -m service.exporting SPEC.json``: one export in a child process.

`service.exporting.contract` describes the spec and the messages on standard output.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import traceback
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from service.exporting.contract import (
    ExportFailure,
    ExportSpec,
    Failed,
    FailureCode,
    Message,
    Succeeded,
)
from service.garbage_collection import quick_imports
from service.offline import refuse_hub_kernels
from service.training.contract.child_process import (
    Channel,
    die_with_parent,
    offline_variables,
)
from service.training.contract.spec import describe_faults

log: Final = logging.getLogger("service.exporting")


def main(arguments: list[str]) -> int:
    """Run the export named by the first argument and return the exit code."""
    channel = Channel.claim_stdout()
    die_with_parent()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")

    def send(message: Message) -> None:
        channel.write(message.model_dump_json(exclude_none=True).encode() + b"\n")

    outcome: Succeeded | Failed
    try:
        spec = _read_spec(arguments)
        set_environment(spec)
        # Imported here, since libraries read the environment when they are imported.
        with quick_imports():
            from service.exporting.export import export

        outcome = export(spec, send)
    except ExportFailure as error:
        outcome = error.failure
    except Exception as error:  # noqa: BLE001  # process boundary: reported to the parent
        outcome = classify(error)
    send(outcome)
    return 0 if isinstance(outcome, Succeeded) else 1


def _read_spec(arguments: list[str]) -> ExportSpec:
    if len(arguments) != 1:
        raise ExportFailure("invalid_spec", "Usage: python -m service.exporting SPEC.json")
    try:
        return ExportSpec.model_validate_json(Path(arguments[0]).read_bytes())
    except OSError as error:
        message = f"The spec cannot be read: {error.strerror}."
        raise ExportFailure("invalid_spec", message) from error
    except ValidationError as error:
        raise ExportFailure(
            "invalid_spec", f"The spec is malformed: {describe_faults(error)}"
        ) from None


def set_environment(spec: ExportSpec) -> None:
    """Set the environment before any library is imported, so that none uses the network."""
    spec.work_dir.mkdir(parents=True, exist_ok=True)
    os.environ.update(offline_variables(spec.work_dir / "cache"))
    refuse_hub_kernels()
    if spec.threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(spec.threads)


def classify(error: Exception) -> Failed:
    """Make the message for an unexpected error, without the error's text."""
    code: FailureCode = "internal_error"
    message = f"The export failed with an internal error ({type(error).__name__})."
    # Libraries wrap errors of the system, and some keep only its text.
    if getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error):
        code, message = "disk_full", "The disk is full. Free some space and export again."
    elif (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"  # torch's, on a GPU
        or "can't allocate memory" in str(error)  # torch's, on a CPU
    ):
        code, message = "out_of_memory", "The export needs more memory than there is."
    # Only code locations are logged: the error's text may contain text of prompts.
    log.error("%s\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
    return Failed(code=code, message=message)


if __name__ == "__main__":
    exit_code = main(sys.argv[1:])
    sys.stderr.flush()
    # Skip the libraries' exit handlers, which can take seconds or change the exit code.
    os._exit(exit_code)
