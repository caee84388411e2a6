"""All that erases in a process, with one signing key."""

from __future__ import annotations

from pathlib import Path

from service.core.rewriting import Rewriter
from service.core.signing import InstallationKey
from service.erasure.completion import Completion
from service.erasure.deletions import Deletions
from service.erasure.eraser import Eraser
from service.erasure.expiry import Expiry
from service.erasure.records import Erasures
from service.erasure.results import ResultEraser
from service.evals.records import Evals
from service.exports.records import Exports
from service.files.records import Files
from service.jobs.records import Jobs
from service.models.registry import ModelRegistry


class Erasing:
    """The erasers of a process. The API deletes with them, and a worker also ends deletions."""

    def __init__(
        self,
        files: Files,
        jobs: Jobs,
        registry: ModelRegistry,
        signing_key_file: Path | None,
        *,
        has_journal: bool,
    ) -> None:
        redis, storage = files.redis, files.storage
        exports, erasures = Exports(redis), Erasures(redis)
        self.rewriter = Rewriter(redis, storage, has_journal=has_journal)
        key = InstallationKey(redis, signing_key_file)
        self.completion = Completion(erasures, storage, self.rewriter, key)
        deletions = Deletions(erasures, storage, self.completion)
        self.eraser = Eraser(files, jobs, registry, deletions)
        self.results = ResultEraser(exports, Evals(redis), deletions)
        self.expiry = Expiry(files, exports, self.eraser, self.results)
