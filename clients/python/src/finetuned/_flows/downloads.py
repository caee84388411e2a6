"""Downloads to local files."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import cast

from finetuned._http import Request, error_of
from finetuned._steps import Close, Flow, Next, Open, Opened, run
from finetuned.errors import UnexpectedAnswer


def save(request: Request, to: str | os.PathLike[str], sha256: str | None = None) -> Flow[Path]:
    """Write a response's body to a local file, atomically. Raises UnexpectedAnswer.

    `sha256` is the expected digest of the body in hexadecimal digits.
    """
    target, digest = Path(to), hashlib.sha256()
    opened = cast("Opened", (yield Open(request)))
    if opened.error is not None:
        raise error_of(opened.error)
    handle, name = yield from run(lambda: tempfile.mkstemp(dir=target.parent, prefix=".finetuned-"))
    try:
        with os.fdopen(handle, "wb") as file:
            while (chunk := cast("bytes | None", (yield Next(opened.stream)))) is not None:
                digest.update(chunk)
                yield from run(lambda chunk=chunk: file.write(chunk))  # type: ignore[misc]
        yield Close(opened.stream)
        if sha256 is not None and digest.hexdigest() != sha256:
            raise UnexpectedAnswer(
                "The downloaded bytes differ from those of the server.",
                next_step="Download them again.",
            )
        Path(name).chmod(0o666 & ~_umask())
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return target


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
