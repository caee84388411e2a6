"""All that erases in a process. Only workers of the cpu queue have the key that signs receipts."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from service.core.encryption.signing import InstallationKey
from service.core.redis.rewriting import JOURNAL, Rewriter
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
        signing_key: Path | None,
        *,
        has_journal: bool,
    ) -> None:
        redis, storage = files.redis, files.storage
        exports, erasures = Exports(redis), Erasures(redis)
        self.rewriter = Rewriter(redis, partial(storage.keys, JOURNAL), has_journal=has_journal)
        key = None if signing_key is None else InstallationKey(signing_key)
        self.completion = Completion(erasures, storage, self.rewriter, key)
        deletions = Deletions(erasures, storage, self.completion)
        self.eraser = Eraser(files, jobs, registry, deletions)
        self.results = ResultEraser(exports, Evals(redis), deletions)
        self.expiry = Expiry(files, exports, self.eraser, self.results)
