"""Error messages and exit codes of the command line.

0    success
1    rejected: the request is invalid or conflicts with the current state, or a gate fails
2    usage error: an invalid option or argument
3    no API key, or one without permission
4    no such object
5    the operation failed: a failed or canceled job, a rejected file, an evaluation without
     verdict, a failed advice, export or generation, a refused adapter, rows not erased
6    the server is unreachable or too slow, a limit was reached, or the evaluation is in progress
     (`jobs verdict --no-wait`): retry later
130  interrupted
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from finetuned import errors
from finetuned._request import error_of
from finetuned.errors import FinetunedError

from finetuned_cli.hints import with_commands
from finetuned_cli.output import Out, printable

REFUSED, USAGE, KEY, NOT_FOUND, FAILED, AWAY, INTERRUPTED = 1, 2, 3, 4, 5, 6, 130
_CODES: tuple[tuple[type[FinetunedError], int], ...] = (
    (errors.NotAuthenticated, KEY),
    (errors.PermissionDenied, KEY),
    (errors.ConfigurationError, KEY),
    (errors.NotFound, NOT_FOUND),
    (errors.FileRefused, FAILED),
    (errors.OperationFailed, FAILED),
    (errors.UploadFailed, FAILED),
    (errors.ConnectionFailed, AWAY),
    (errors.RateLimited, AWAY),
    (errors.ServerError, AWAY),
)


class WrongUsage(FinetunedError):
    """Raised by a command for an invalid option or argument."""


class JobEnded(FinetunedError):
    """Raised when a watched job fails or is canceled."""


class EvaluationEnded(FinetunedError):
    """Raised when an evaluation failed or was skipped."""


class AdviceEnded(FinetunedError):
    """Raised when an advice failed."""


class ExportEnded(FinetunedError):
    """Raised when an export failed or was cancelled."""


class GenerationEnded(FinetunedError):
    """Raised when a generation of rows failed or was cancelled."""


class ErasureEnded(FinetunedError):
    """Raised when an erasure failed, or could not erase the rows of all files."""


class EvaluationInProgress(FinetunedError):
    """Raised when an evaluation is in progress and the command does not wait for it."""


class GateFailed(FinetunedError):
    """Raised when an evaluation does not meet the gate of the command."""


def require_new(output: Path | None) -> None:
    """Raise WrongUsage if the path to write to exists."""
    if output is not None and output.exists():
        raise WrongUsage(f"{output} exists already.", next_step="Choose another --output.")


_ENDED = (
    *(JobEnded, EvaluationEnded, AdviceEnded, ExportEnded, GenerationEnded, ErasureEnded),
)


def exit_code(error: FinetunedError) -> int:
    """Return the exit code for an error."""
    if isinstance(error, WrongUsage):
        return USAGE
    if isinstance(error, _ENDED):
        return FAILED
    if isinstance(error, EvaluationInProgress):
        return AWAY
    return next((code for kind, code in _CODES if isinstance(error, kind)), REFUSED)


def print_error(error: FinetunedError, out: Out) -> None:
    """Print the error and the next step to stderr."""
    if out.json:
        out.error_line(json.dumps({"error": error.body()}, ensure_ascii=False))
        return
    out.problem(f"finetuned: {printable(with_commands(error.message))}")
    if error.next_step:
        out.error_line(f"  {printable(with_commands(error.next_step))}")
    if error.request_id:
        out.error_line(f"  request {printable(error.request_id)}")


@contextmanager
def openai_errors() -> Iterator[None]:
    """Translate the OpenAI client's exceptions into our own."""
    import openai

    try:
        yield
    except openai.APIStatusError as e:
        raise error_of(e.response) from e
    except openai.APITimeoutError as e:
        raise errors.TimedOut("The model did not respond in time.") from e
    except openai.APIConnectionError as e:
        raise errors.ConnectionFailed("The connection to the server was lost.") from e
    except openai.APIError as e:
        raise errors.ServerError(printable(e.message)) from e
