"""`create_app()`: the composition root of the API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache

from fastapi import APIRouter, FastAPI
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from service import __version__
from service.audit import routes as audit_routes
from service.batches import routes as batch_routes
from service.config import Settings
from service.console import routes as console_routes
from service.diagnostics import routes as diagnostics_routes
from service.erasure import routes as erasure_routes
from service.evals import graders_routes
from service.evals import routes as eval_routes
from service.evals.alias_checks import routes as alias_check_routes
from service.evals.comparison import routes as comparison_routes
from service.evidence import routes as evidence_routes
from service.exports import routes as export_routes
from service.files import routes as file_routes
from service.files.curation import routes as curation_routes
from service.files.curation.recognizers import routes as recognizer_routes
from service.files.curation.reviews import routes as review_routes
from service.files.curation.schemas import task_schemas
from service.files.curation.versions import routes as version_routes
from service.files.stored_chats import routes as capture_routes
from service.files.uploads import routes as upload_routes
from service.generation import routes as generation_routes
from service.imports import routes as import_routes
from service.inference.gateway import PATHS, Gateway
from service.inference.gateway.schemas import EVENTS
from service.inference.gateway.schemas import router as inference_routes
from service.jobs import routes as job_routes
from service.jobs.advice import routes as advice_routes
from service.jobs.evaluation import routes as evaluation_routes
from service.jobs.evaluation.labels import routes as label_routes
from service.lifespan import open_resources
from service.models import approval_routes, sharing_routes
from service.models import routes as model_routes
from service.models.aliases import routes as alias_routes
from service.projects import account_routes, admin_key_routes, session_routes, sign_in_routes
from service.projects import routes as project_routes
from service.projects import whoami as whoami_routes
from service.usage import routes as usage_routes
from service.web import health, reference_pages
from service.web.error_handlers import install_error_handlers
from service.web.middleware import BodyLimit, RequestContext, allow_origins
from service.web.openapi.document import describe
from service.web.request_audit import AuditTrail
from service.web.side_port import serve_metrics
from service.webhooks import routes as webhook_routes


class Api(FastAPI):
    """FastAPI application that also serves the gateway's routes, which bypass FastAPI's layers."""

    gateway: Gateway | None = None
    """The inference gateway; set while the lifespan is active."""

    serve: ASGIApp | None = None
    """The ASGI application that handles requests instead of `answer`, which it wraps."""

    @property
    def handler(self) -> Gateway | None:
        """What handles requests without a task, unless each passes through `serve`."""
        return self.gateway if self.serve is None else None

    def offer(self, gateway: Gateway | None) -> None:
        """Serve the inference routes from now on, or no more."""
        self.gateway = gateway

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
            await stack.enter_async_context(open_resources(app.state, settings, app.offer))
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
        redirect_slashes=False,  # clients of JSON would follow, or get an answer without a body
    )
    app.state.settings = settings
    install_error_handlers(app, other_paths=PATHS)
    app.router.routes.extend(_routes())
    app.add_middleware(
        BodyLimit,
        max_bytes=settings.max_json_body_bytes,
        timeout_s=settings.client_timeout_s,
    )
    app.add_middleware(AuditTrail)
    app.add_middleware(RequestContext)
    describe(
        app,
        schemas=task_schemas,
        models=EVENTS,
        routes=inference_routes.routes,
        webhooks=webhook_routes.event_routes,
    )
    if settings.cors_origins:
        app.serve = allow_origins(settings.cors_origins, app.answer)
    return app


@cache
def _routes() -> list[BaseRoute]:
    """Return the routes of all packages. Building them takes 70 ms, longer than most tests."""
    every = APIRouter(generate_unique_id_function=lambda route: route.name)
    for module in (
        file_routes,
        upload_routes,
        curation_routes,
        version_routes,
        recognizer_routes,
        review_routes,
        import_routes,
        job_routes,
        graders_routes,
        evaluation_routes,
        label_routes,
        advice_routes,
        sharing_routes,
        evidence_routes,
        approval_routes,
        model_routes,
        export_routes,
        erasure_routes,
        alias_routes,
        project_routes,
        account_routes,
        admin_key_routes,
        whoami_routes,
        session_routes,
        sign_in_routes,
        eval_routes,
        comparison_routes,
        alias_check_routes,
        batch_routes,
        generation_routes,
        usage_routes,
        audit_routes,
        diagnostics_routes,
        webhook_routes,
        capture_routes,
        health,
        reference_pages,
        console_routes,
    ):
        every.include_router(module.router)
    every.include_router(job_routes.estimates)
    every.include_router(erasure_routes.erasures)
    return every.routes
