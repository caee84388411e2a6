"""Opens the resources of an API process for the lifetime of its app."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from pydantic import SecretStr
from starlette.datastructures import State

from service import __version__
from service.audit.routes import verifications
from service.audit.search import AuditLog
from service.batches.records import Batches
from service.config import Settings
from service.console import files as console_files
from service.core import metrics
from service.core.encryption.signing import InstallationKey
from service.core.invalidation import Invalidations
from service.core.metric_types import Process
from service.core.networks import network
from service.core.redis import Client, Confirmation, connect
from service.core.redis.record_quota import RecordUse
from service.core.redis.time_sync import follow_clock
from service.core.startup_checks import is_complete
from service.core.storage import Storage
from service.erasure.deletions import Deletions
from service.erasure.eraser import Eraser
from service.erasure.records import Erasures
from service.erasure.search.records import Searches
from service.evals import graders_routes
from service.evals.alias_checks.records import AliasChecks
from service.evals.alias_checks.routes import suite_requirement
from service.evals.records import Evals
from service.evidence.routes import collecting_slots
from service.evidence.signing import EvidenceSigner
from service.exports.records import Exports
from service.files.curation.masking import Masking
from service.files.curation.recognizers.records import Recognizers
from service.files.curation.records import Tasks
from service.files.curation.reviews.records import Reviews
from service.files.records import Files
from service.files.stored_chats.recorder import recording
from service.files.upload import upload_slots
from service.files.uploads.records import Uploads
from service.fleet import workers
from service.generation.records import Generations
from service.inference import api_processes
from service.inference.chat_load import ChatReports
from service.inference.gateway import Gateway
from service.inference.gateway.parameters import RequestRules
from service.inference.upstreams import Upstreams
from service.jobs.advice.records import AdviceStore
from service.jobs.dispatch import Dispatcher
from service.jobs.evaluation.labels.records import Labels
from service.jobs.evaluation.records import Evaluations
from service.jobs.event_stream import JobChanges
from service.jobs.records import Jobs
from service.jobs.sweeps.records import Sweeps
from service.models.aliases.changes import Aliases
from service.models.catalogue import Catalogue
from service.models.parsers import Capabilities
from service.models.registry import ModelRegistry
from service.projects.key_uses import KeyUses
from service.projects.oidc import MAX_TOKEN_CHARS, Tokens
from service.projects.records import Projects, Quotas
from service.projects.service_accounts import ServiceAccounts
from service.projects.sessions import Sessions
from service.projects.sign_in import SignIn
from service.projects.storage_use import StorageUse
from service.usage.meter import Meter
from service.web.auth import Authenticator
from service.web.client_address import ClientAddresses, FailureThrottle
from service.web.probing import Probe
from service.web.request_audit import ModelRequests, Refusals
from service.webhooks.records import Webhooks


@asynccontextmanager
async def open_resources(
    state: State, settings: Settings, offer: Callable[[Gateway | None], None]
) -> AsyncIterator[None]:
    """Open the resources of an API process, and put them into `state` for its routes.

    `offer` is called with the gateway once it can serve, and with None at the end.
    """
    metrics.begin(Process.API, __version__)
    redis = connect(
        settings.redis_url.get_secret_value(),
        confirmation=Confirmation(settings.redis_wait_replicas, settings.redis_wait_aof),
        process="api",
    )
    projects = Projects(redis)
    storage_use, storage = _storage(redis, projects, settings)
    registry = ModelRegistry(
        redis, Catalogue(settings.models_file), cache_s=settings.lookup_cache_s
    )
    capabilities = Capabilities.from_settings(settings)
    key_uses = KeyUses(redis)
    addresses = ClientAddresses(map(network, settings.trusted_proxies))
    refusals = Refusals(redis, addresses)
    tokens = Tokens.from_settings(settings, projects)
    find_principal = (tokens or projects).find_principal
    sign_in = SignIn.from_settings(settings, tokens)
    sessions = Sessions(
        redis,
        projects,
        find_principal,
        lifetime_s=settings.session_lifetime_s,
        find_person=None if sign_in is None else sign_in.find_person,
    )
    authenticator = Authenticator(
        find_principal,
        find_session=sessions.find_principal,
        cache_s=settings.lookup_cache_s,
        max_chars=MAX_TOKEN_CHARS,
        addresses=addresses,
        throttle=FailureThrottle(settings.failed_authentications_per_minute),
        note_use=key_uses.note,
        note_failure=refusals.note,
    )
    invalidations, job_changes = Invalidations(redis), JobChanges()
    for informed in (registry, authenticator, job_changes):
        informed.listen(invalidations)
    reports = ChatReports(redis) if settings.train_slo_ms else None
    try:
        async with (
            Upstreams.from_settings(settings) as upstreams,
            Meter.from_settings(redis, settings) as meter,
            invalidations.listening(),
            key_uses.writing(),
            refusals.writing(),
            follow_clock(redis),
            api_processes.counting(redis),
            AsyncExitStack() as stack,
        ):
            if reports:
                await stack.enter_async_context(reports.publishing())
            recorder = await stack.enter_async_context(recording(redis, storage, projects))
            gateway = Gateway(
                authenticator,
                registry,
                upstreams,
                meter,
                max_body_bytes=settings.max_inference_body_bytes,
                client_timeout_s=settings.client_timeout_s,
                rules=RequestRules.from_settings(settings),
                salt_secret=_secret(settings.upstream_api_key),
                tools=capabilities.tools,
                reports=reports,
                audited=ModelRequests.from_settings(redis, addresses, settings),
                copies=recorder,
            )
            stack.callback(gateway.close)  # before the meter sends its last counts
            offer(gateway)
            state.capabilities, state.job_changes = capabilities, job_changes
            state.redis, state.storage, state.registry = redis, storage, registry
            state.projects, state.storage_use = projects, storage_use
            state.authenticator, state.key_uses = authenticator, key_uses
            state.sessions, state.sign_in = sessions, sign_in
            state.console = console_files.read() if settings.console else console_files.OFF
            state.client_addresses, state.stored_chats = addresses, recorder.stored_chats
            state.upstreams, state.serves = upstreams, upstreams.serves
            _add_records(state, settings)
            _add_erasure(state, settings)
            state.probes = _probes(state, settings, upstreams)
            yield
    finally:
        offer(None)
        await redis.aclose(close_connection_pool=True)


def _storage(redis: Client, projects: Projects, settings: Settings) -> tuple[StorageUse, Storage]:
    quotas = Quotas(projects, settings.default_project_limits, cache_s=settings.lookup_cache_s)
    redis.record_use = RecordUse(redis, quotas.records)
    storage_use = StorageUse(redis, quotas.storage)
    storage = Storage.from_url(
        settings.storage_url,
        use=storage_use,
        reserve_bytes=settings.storage_reserve_bytes,
        master_key=settings.master_key(),
        only_encrypted=settings.encryption_required,
    )
    return storage_use, storage


def _add_records(state: State, settings: Settings) -> None:
    """Add the collections of records that routes use."""
    redis = state.redis
    state.service_accounts = ServiceAccounts(state.projects)
    state.keys_of_account = state.service_accounts.key_ids
    state.audit_log, state.audit_verifications = AuditLog(redis, state.storage), verifications()
    state.aliases = Aliases(redis, state.registry, max_per_project=settings.max_aliases_per_project)
    state.files, state.jobs = Files(redis, state.storage), Jobs(redis)
    state.batches, state.generations = Batches(state.files), Generations(state.files)
    state.jobs_needing_file = _unfinished_work_of_file(state.jobs, state.batches, state.generations)
    state.evaluations, state.advice_store = Evaluations(redis), AdviceStore(redis)
    state.sweeps, state.evals, state.exports = Sweeps(state.jobs), Evals(redis), Exports(redis)
    state.alias_checks = AliasChecks(redis)
    state.require_suite = suite_requirement(state.evals)
    state.dispatcher = Dispatcher(state.jobs, redis, settings)
    state.uploads, state.curation = Uploads(redis, state.files), Tasks(redis)
    state.recognizers, state.webhooks = Recognizers(redis), Webhooks(redis)
    state.masking = Masking(state.recognizers)
    state.reviews = Reviews(redis, state.storage)
    state.evaluation_labels = Labels(redis, state.storage)
    state.upload_slots = upload_slots(settings.max_uploads_at_once)
    state.running_graders = graders_routes.running_graders()
    state.evidence_signer = EvidenceSigner(redis, InstallationKey(settings.signing_key))
    state.collecting_evidence = collecting_slots()


def _add_erasure(state: State, settings: Settings) -> None:
    state.erasures, state.erasure_searches = Erasures(state.redis), Searches(state.redis)
    deletions = Deletions(
        state.redis,
        state.storage,
        settings.signing_key_file,
        has_journal=settings.journal_every_s > 0,
    )
    eraser = Eraser(state.files, state.jobs, state.registry, deletions)
    state.erase_file, state.erase_model = eraser.erase_file, eraser.erase_model
    state.erase_export = eraser.erase_export
    state.erase_eval, state.erase_run = eraser.erase_eval, eraser.erase_run
    state.eraser = eraser


def _unfinished_work_of_file(
    jobs: Jobs, batches: Batches, generations: Generations
) -> Callable[[str, str], Awaitable[list[str]]]:
    """Return a function that lists the unfinished work of a project that reads a file."""

    async def needing(project_id: str, file_id: str) -> list[str]:
        of_batches = await batches.needing(project_id, file_id)
        of_generations = await generations.needing(project_id, file_id)
        return await jobs.needing(project_id, file_id) + of_batches + of_generations

    return needing


def _secret(value: SecretStr | None) -> str:
    return "" if value is None else value.get_secret_value()


def _probes(state: State, settings: Settings, upstreams: Upstreams) -> dict[str, Probe]:
    redis, storage = state.redis, state.storage

    async def redis_answers() -> bool:
        return await is_complete(redis)

    async def storage_answers() -> bool:
        await storage.check()
        return True

    async def worker_answers() -> bool:
        return bool(await workers.alive(redis))

    async def engines_answer() -> dict[str, bool]:
        return await upstreams.ready()

    every: dict[str, Probe] = {
        "redis": redis_answers,
        "storage": storage_answers,
        "worker": worker_answers,
        "inference": engines_answer,
    }
    return {name: probe for name, probe in every.items() if name in settings.ready_parts}
