"""`create_app()`: the composition root of the API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache

from fastapi import APIRouter, FastAPI
from pydantic import SecretStr
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from service import __version__
from service.audit import routes as audit_routes
from service.audit.log import AuditLog
from service.batches import routes as batch_routes
from service.batches.records import Batches
from service.capture import routes as capture_routes
from service.capture.recorder import recording
from service.config import Settings
from service.core import clock_sync, metrics
from service.core.invalidation import Invalidations
from service.core.metric_types import Process
from service.core.networks import network
from service.core.redis import Confirmation, connect
from service.core.redis_check import is_complete
from service.core.storage import Storage
from service.core.storage_use import StorageUse
from service.curation import routes as curation_routes
from service.curation.imports import routes as import_routes
from service.curation.recognizers import routes as recognizer_routes
from service.curation.recognizers.records import Recognizers
from service.curation.records import Tasks
from service.curation.schemas import task_schemas
from service.curation.versions import routes as version_routes
from service.erasure import routes as erasure_routes
from service.erasure.erasing import Erasing
from service.erasure.records import Erasures
from service.erasure.search import routes as search_routes
from service.erasure.search.records import Searches
from service.evals import graders_routes
from service.evals import routes as eval_routes
from service.evals.records import Evals
from service.exports import routes as export_routes
from service.exports.records import Exports
from service.files import routes as file_routes
from service.files.records import Files
from service.files.upload import upload_slots
from service.fleet import workers
from service.generation import routes as generation_routes
from service.generation.records import Generations
from service.inference import api_processes
from service.inference.gateway import PATHS, Gateway
from service.inference.gateway.chat_reports import ChatReports
from service.inference.gateway.checks import RequestRules
from service.inference.gateway.express import GatewayExpress
from service.inference.gateway.openapi_routes import router as inference_routes
from service.inference.upstreams import Upstreams
from service.jobs import routes as job_routes
from service.jobs.advice import routes as advice_routes
from service.jobs.advice.records import AdviceStore
from service.jobs.changes import JobChanges
from service.jobs.evaluation import routes as evaluation_routes
from service.jobs.evaluation.records import Evaluations
from service.jobs.records import Jobs
from service.jobs.scheduling.dispatch import Dispatcher
from service.jobs.sweeps import routes as sweep_routes
from service.jobs.sweeps.records import Sweeps
from service.models import routes as model_routes
from service.models.aliases import routes as alias_routes
from service.models.aliases.changes import Aliases
from service.models.capabilities import Capabilities
from service.models.catalogue import Catalogue
from service.models.registry import ModelRegistry
from service.projects import account_routes, admin_key_routes
from service.projects import routes as project_routes
from service.projects.quota import storage_quotas
from service.projects.records import Projects, digest_of
from service.projects.service_accounts import ServiceAccounts
from service.projects.tokens import MAX_TOKEN_CHARS, Tokens, is_token
from service.projects.uses import KeyUses
from service.sharing import routes as sharing_routes
from service.uploads import routes as upload_routes
from service.uploads.records import Uploads
from service.usage import routes as usage_routes
from service.usage.meter import Meter
from service.web import health
from service.web.addresses import ClientAddresses
from service.web.audit import AuditTrail, ModelRequests
from service.web.auth import Authenticator, Principal
from service.web.body_limit import BodyLimit
from service.web.cors import for_pages_of
from service.web.http import RequestContext, install_error_handlers
from service.web.metrics_port import serve_metrics
from service.web.openapi import describe
from service.web.probing import Probe
from service.web.reference import routes as reference_routes
from service.web.refusals import Refusals
from service.web.throttle import FailureThrottle
from service.webhooks import routes as webhook_routes
from service.webhooks.records import Webhooks
from service.whoami import routes as whoami_routes


class Api(FastAPI):
    """FastAPI application that also serves the gateway's routes, which bypass FastAPI's layers."""

    gateway: Gateway | None = None
    """The inference gateway; set while the lifespan is active."""

    express: GatewayExpress | None = None
    """The short cut to the gateway; set while the lifespan is active, unless requests need more."""

    serve: ASGIApp | None = None
    """The ASGI application that handles requests instead of `answer`, which it wraps."""

    def offer(self, gateway: Gateway | None) -> None:
        """Serve the inference routes from now on, or no more."""
        self.gateway = gateway
        self.express = None
        if gateway is not None and gateway.has_express and self.serve is None:
            self.express = GatewayExpress(gateway)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI event."""
        await (self.serve or self.answer)(scope, receive, send)

    def answer(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Dispatch the gateway's routes to the gateway and all others to FastAPI.

        Of the gateway's paths, that of chats is also the list of those that are stored.
        """
        if (
            scope["type"] == "http"
            and scope["path"] in PATHS
            and self.gateway is not None
            and (scope["method"] == "POST" or not capture_routes.answers(scope))
        ):
            return self.gateway(scope, receive, send)
        return super().__call__(scope, receive, send)


def create_app(settings: Settings, *, with_metrics_port: bool = False) -> Api:
    """Create the API of one process. Its resources are opened in the lifespan, not before.

    `with_metrics_port` also serves the process's metrics on the port from the settings during the
    lifespan.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(_opened(app, settings))
            if with_metrics_port:
                await stack.enter_async_context(
                    serve_metrics(
                        app.state.redis, settings.api_metrics_host, settings.api_metrics_port
                    )
                )
            yield

    app = Api(
        title="finetuned",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # Swagger's page loads scripts from a third party
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    app.state.settings = settings
    install_error_handlers(app)
    app.router.routes.extend(_routes())
    app.add_middleware(
        BodyLimit,
        max_bytes=settings.max_json_body_bytes,
        timeout_s=settings.client_timeout_s,
    )
    app.add_middleware(AuditTrail)
    app.add_middleware(RequestContext)
    describe(app, schemas=task_schemas, routes=inference_routes.routes)
    if settings.cors_origins:
        app.serve = for_pages_of(settings.cors_origins, app.answer)
    return app


@cache
def _routes() -> list[BaseRoute]:
    """Return the routes of all rooms. Building them takes 70 ms, longer than most tests."""
    every = APIRouter(generate_unique_id_function=lambda route: route.name)
    for module in (
        file_routes,
        upload_routes,
        curation_routes,
        version_routes,
        recognizer_routes,
        import_routes,
        job_routes,
        graders_routes,
        evaluation_routes,
        advice_routes,
        sweep_routes,
        sharing_routes,
        model_routes,
        export_routes,
        erasure_routes,
        search_routes,
        alias_routes,
        project_routes,
        account_routes,
        admin_key_routes,
        whoami_routes,
        eval_routes,
        batch_routes,
        generation_routes,
        usage_routes,
        audit_routes,
        webhook_routes,
        capture_routes,
        health,
        reference_routes,
    ):
        every.include_router(module.router)
    every.include_router(job_routes.estimates)
    return every.routes


@asynccontextmanager
async def _opened(app: Api, settings: Settings) -> AsyncIterator[None]:
    metrics.begin(Process.API, __version__)
    redis = connect(
        settings.redis_url.get_secret_value(),
        confirmation=Confirmation(settings.redis_wait_replicas, settings.redis_wait_aof),
        process="api",
    )
    projects = Projects(redis)
    quotas = storage_quotas(
        projects, settings.default_project_limits, cache_s=settings.lookup_cache_s
    )
    storage_use = StorageUse(redis, quotas)
    storage = Storage.from_url(
        settings.storage_url,
        use=storage_use,
        reserve_bytes=settings.storage_reserve_bytes,
        master_key=settings.master_key(),
        only_encrypted=settings.encryption_required,
    )
    registry = ModelRegistry(
        redis, Catalogue(settings.models_file), cache_s=settings.lookup_cache_s
    )
    capabilities = Capabilities.from_settings(settings)
    key_uses = KeyUses(redis)
    addresses = ClientAddresses(map(network, settings.trusted_proxies))
    refusals = Refusals(redis, addresses)
    authenticator = Authenticator(
        find_principal(projects, Tokens.from_settings(settings, projects)),
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
            clock_sync.following(redis),
            api_processes.counted(redis),
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
            app.offer(gateway)
            state = app.state
            state.capabilities, state.job_changes = capabilities, job_changes
            state.redis, state.storage, state.registry = redis, storage, registry
            state.projects, state.storage_use = projects, storage_use
            state.authenticator, state.key_uses = authenticator, key_uses
            state.service_accounts = ServiceAccounts(projects)
            state.audit_log, state.client_addresses = AuditLog(redis, storage), addresses
            state.aliases = Aliases(
                redis, registry, max_per_project=settings.max_aliases_per_project
            )
            state.files, state.jobs = Files(redis, storage), Jobs(redis)
            state.batches, state.generations = Batches(state.files), Generations(state.files)
            state.jobs_needing_file = _needing(state.jobs, state.batches, state.generations)
            state.evaluations, state.advice_store = Evaluations(redis), AdviceStore(redis)
            state.sweeps, state.evals = Sweeps(state.jobs), Evals(redis)
            state.exports, state.captures = Exports(redis), recorder.captures
            state.dispatcher = Dispatcher(state.jobs, redis, settings)
            state.uploads = Uploads(redis, state.files)
            state.curation = Tasks(redis)
            state.recognizers, state.webhooks = Recognizers(redis), Webhooks(redis)
            state.upload_slots = upload_slots(settings.max_uploads_at_once)
            state.running_graders = graders_routes.running_graders()
            _add_erasure(app, settings)
            state.probes = _probes(app, settings, upstreams)
            state.serves = upstreams.serves
            yield
    finally:
        app.offer(None)
        await redis.aclose(close_connection_pool=True)


def _add_erasure(app: FastAPI, settings: Settings) -> None:
    state = app.state
    state.erasures, state.erasure_searches = Erasures(state.redis), Searches(state.redis)
    erasing = Erasing(state.files, state.jobs, state.registry, settings.signing_key_file)
    state.erase_file, state.erase_model = erasing.eraser.erase_file, erasing.eraser.erase_model
    state.erase_export = erasing.results.erase_export
    state.erase_eval, state.erase_run = erasing.results.erase_eval, erasing.results.erase_run
    state.erasing = erasing


def _needing(
    jobs: Jobs, batches: Batches, generations: Generations
) -> Callable[[str, str], Awaitable[list[str]]]:
    """A function that returns the unfinished work of a project that reads a file."""

    async def needing(project_id: str, file_id: str) -> list[str]:
        of_batches = await batches.needing(project_id, file_id)
        of_generations = await generations.needing(project_id, file_id)
        return await jobs.needing(project_id, file_id) + of_batches + of_generations

    return needing


def _secret(value: SecretStr | None) -> str:
    return "" if value is None else value.get_secret_value()


def find_principal(
    projects: Projects, tokens: Tokens | None = None
) -> Callable[[str], Awaitable[Principal | None]]:
    """A function that looks up the owner of a secret, or the bearer of a token."""

    async def find(secret: str) -> Principal | None:
        if tokens is not None and is_token(secret):
            return await tokens.principal(secret)
        digest = digest_of(secret)
        found = await projects.find_key(digest)
        if found is None:
            return None
        key, project = found
        return Principal(
            key_id=key.id,
            project_id=project.id,
            project_name=project.name,
            role=key.role,
            models=None if key.models is None else frozenset(key.models),
            expires_at=key.expiry_of(digest),
            networks=None if key.allowed_ips is None else tuple(map(network, key.allowed_ips)),
            key_limits=key.limits,
            project_limits=project.limits,
            capture=project.capture,
            is_archived=project.archived_at is not None,
        )

    return find


def _probes(app: FastAPI, settings: Settings, upstreams: Upstreams) -> dict[str, Probe]:
    redis, storage = app.state.redis, app.state.storage

    async def redis_answers() -> bool:
        return await is_complete(redis)

    async def storage_answers() -> bool:
        await storage.check()
        return True

    async def worker_answers() -> bool:
        return bool(await workers.alive(redis))

    async def engines_answer() -> dict[str, bool]:
        return await upstreams.ready_bases()

    every: dict[str, Probe] = {
        "redis": redis_answers,
        "storage": storage_answers,
        "worker": worker_answers,
        "inference": engines_answer,
    }
    return {name: probe for name, probe in every.items() if name in settings.ready_parts}
