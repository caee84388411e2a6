"""How the command line ends: what it says, and with which exit code.

0    done
1    refused: the request cannot be, or is in conflict with what is there
2    wrong usage: an option or argument
3    no key, or one that may not do this
4    no such object
5    the work itself failed: a job that failed or was cancelled, a file that was refused
6    the server is away, too slow or over a limit: the same may go well later
130  interrupted
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from finetuned import errors
from finetuned._http import Answer, error_of
from finetuned.cli.output import Out, printable
from finetuned.errors import FinetunedError

REFUSED, USAGE, KEY, NOT_FOUND, FAILED, AWAY, INTERRUPTED = 1, 2, 3, 4, 5, 6, 130
_CODES: tuple[tuple[type[FinetunedError], int], ...] = (
    (errors.NotAuthenticated, KEY),
    (errors.PermissionDenied, KEY),
    (errors.ConfigurationError, KEY),
    (errors.NotFound, NOT_FOUND),
    (errors.FileRefused, FAILED),
    (errors.CleaningFailed, FAILED),
    (errors.UploadFailed, FAILED),
    (errors.ConnectionFailed, AWAY),
    (errors.RateLimited, AWAY),
    (errors.ServerError, AWAY),
)


class WrongUsage(FinetunedError):
    """An option or argument that cannot be; found by the command itself."""


class JobEnded(FinetunedError):
    """A job that was waited for has failed or was cancelled."""


def exit_code(error: FinetunedError) -> int:
    """The code of an error."""
    if isinstance(error, WrongUsage):
        return USAGE
    if isinstance(error, JobEnded):
        return FAILED
    return next((code for kind, code in _CODES if isinstance(error, kind)), REFUSED)


def tell(error: FinetunedError, out: Out) -> None:
    """Say on stderr what happened and what to do."""
    if out.json:
        out.error_line(json.dumps({"error": error.body()}, ensure_ascii=False))
        return
    out.problem(f"finetuned: {printable(error.message)}")
    if error.next_step:
        out.error_line(f"  {printable(error.next_step)}")
    if error.request_id:
        out.error_line(f"  request {printable(error.request_id)}")


@contextmanager
def openai_errors() -> Iterator[None]:
    """Raise our own errors in place of the OpenAI client's."""
    import openai

    try:
        yield
    except openai.APIStatusError as e:
        headers = {name.lower(): value for name, value in e.response.headers.items()}
        body = json.dumps({"error": e.body}).encode()
        raise error_of(Answer(e.status_code, headers, body)) from e
    except openai.APITimeoutError as e:
        raise errors.TimedOut("The model did not answer in time.") from e
    except openai.APIConnectionError as e:
        raise errors.ConnectionFailed("The connection to the server broke.") from e
    except openai.APIError as e:
        raise errors.ServerError(printable(e.message)) from e
