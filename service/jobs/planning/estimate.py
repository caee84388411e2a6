"""Estimates for `POST /v1/fine_tuning/estimate`: the cost of a job before it is created."""

from __future__ import annotations

from service.config import Settings
from service.core.errors import BadRequest, NotReady
from service.core.redis import Client
from service.files.records import Files
from service.jobs.planning.inputs import CannotTrain, InProgress, InputFiles
from service.jobs.planning.job_plan import resolve_and_plan
from service.jobs.records import JobRecord
from service.jobs.schemas.estimates import EstimateObject
from service.models.catalogue import BaseModelEntry


class Estimates:
    """Estimator for jobs; it stores no jobs or estimates."""

    def __init__(self, redis: Client, files: Files, settings: Settings) -> None:
        self._redis = redis
        self._inputs = InputFiles(files, settings)
        self._tokens_at_once = settings.tokens_at_once

    async def of(self, job: JobRecord, entry: BaseModelEntry) -> EstimateObject:
        """Estimate a validated job that is not created.

        Raises BadRequest if the job would fail because of its files, and NotReady while a file is
        being checked or measured.
        """
        try:
            inputs = await self._inputs.of(job, entry)
        except CannotTrain as e:
            failure = e.failure
            raise BadRequest(failure.message, param=failure.param, code=failure.code) from e
        except InProgress as e:
            raise NotReady(f"{e} Try again in a second.", code="file_not_ready") from e
        plan = await resolve_and_plan(
            job, entry, inputs, redis=self._redis, tokens_at_once=self._tokens_at_once
        )
        return EstimateObject.of(job, inputs.rows, plan)
