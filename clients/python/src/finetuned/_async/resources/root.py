"""The groups of methods of a client.

Generated from openapi.json by `make clients`; do not edit.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from finetuned._async.transport import AsyncTransport

if TYPE_CHECKING:
    from finetuned._async.files import AsyncFiles
    from finetuned._async.jobs import AsyncAdvice
    from finetuned._async.models import AsyncModelExports, AsyncModels
    from finetuned._async.resources.alias_checks import AsyncAliasChecks
    from finetuned._async.resources.aliases import AsyncAliases
    from finetuned._async.resources.batches import AsyncBatches
    from finetuned._async.resources.chat import AsyncChat
    from finetuned._async.resources.dataset_cleanings import AsyncDatasetCleanings
    from finetuned._async.resources.dataset_diffs import AsyncDatasetDiffs
    from finetuned._async.resources.dataset_generations import AsyncDatasetGenerations
    from finetuned._async.resources.dataset_merges import AsyncDatasetMerges
    from finetuned._async.resources.dataset_previews import AsyncDatasetPreviews
    from finetuned._async.resources.dataset_reports import AsyncDatasetReports
    from finetuned._async.resources.erasure_receipts import AsyncErasureReceipts
    from finetuned._async.resources.evals import AsyncEvals
    from finetuned._async.resources.fine_tuning import AsyncFineTuning
    from finetuned._async.resources.model_imports import AsyncModelImports
    from finetuned._async.resources.organization import AsyncOrganization
    from finetuned._async.resources.recognizers import AsyncRecognizers
    from finetuned._async.resources.sweeps import AsyncSweeps
    from finetuned._async.resources.uploads import AsyncUploads
    from finetuned._async.resources.webhook_endpoints import AsyncWebhookEndpoints
    from finetuned._async.resources.webhook_event_types import AsyncWebhookEventTypes
    from finetuned._async.resources.whoami import AsyncWhoami


class AsyncResources:
    """All groups of methods that call a route."""

    _transport: AsyncTransport

    @cached_property
    def advice(self) -> AsyncAdvice:
        """Advice."""
        from finetuned._async.jobs import AsyncAdvice

        return AsyncAdvice(self._transport)

    @cached_property
    def alias_checks(self) -> AsyncAliasChecks:
        """Alias checks."""
        from finetuned._async.resources.alias_checks import AsyncAliasChecks

        return AsyncAliasChecks(self._transport)

    @cached_property
    def aliases(self) -> AsyncAliases:
        """Aliases."""
        from finetuned._async.resources.aliases import AsyncAliases

        return AsyncAliases(self._transport)

    @cached_property
    def batches(self) -> AsyncBatches:
        """Batches."""
        from finetuned._async.resources.batches import AsyncBatches

        return AsyncBatches(self._transport)

    @cached_property
    def chat(self) -> AsyncChat:
        """Chat."""
        from finetuned._async.resources.chat import AsyncChat

        return AsyncChat(self._transport)

    @cached_property
    def dataset_cleanings(self) -> AsyncDatasetCleanings:
        """Dataset cleanings."""
        from finetuned._async.resources.dataset_cleanings import AsyncDatasetCleanings

        return AsyncDatasetCleanings(self._transport)

    @cached_property
    def dataset_diffs(self) -> AsyncDatasetDiffs:
        """Dataset diffs."""
        from finetuned._async.resources.dataset_diffs import AsyncDatasetDiffs

        return AsyncDatasetDiffs(self._transport)

    @cached_property
    def dataset_generations(self) -> AsyncDatasetGenerations:
        """Dataset generations."""
        from finetuned._async.resources.dataset_generations import AsyncDatasetGenerations

        return AsyncDatasetGenerations(self._transport)

    @cached_property
    def dataset_merges(self) -> AsyncDatasetMerges:
        """Dataset merges."""
        from finetuned._async.resources.dataset_merges import AsyncDatasetMerges

        return AsyncDatasetMerges(self._transport)

    @cached_property
    def dataset_previews(self) -> AsyncDatasetPreviews:
        """Dataset previews."""
        from finetuned._async.resources.dataset_previews import AsyncDatasetPreviews

        return AsyncDatasetPreviews(self._transport)

    @cached_property
    def dataset_reports(self) -> AsyncDatasetReports:
        """Dataset reports."""
        from finetuned._async.resources.dataset_reports import AsyncDatasetReports

        return AsyncDatasetReports(self._transport)

    @cached_property
    def erasure_receipts(self) -> AsyncErasureReceipts:
        """Erasure receipts."""
        from finetuned._async.resources.erasure_receipts import AsyncErasureReceipts

        return AsyncErasureReceipts(self._transport)

    @cached_property
    def evals(self) -> AsyncEvals:
        """Evals."""
        from finetuned._async.resources.evals import AsyncEvals

        return AsyncEvals(self._transport)

    @cached_property
    def files(self) -> AsyncFiles:
        """Files."""
        from finetuned._async.files import AsyncFiles

        return AsyncFiles(self._transport)

    @cached_property
    def fine_tuning(self) -> AsyncFineTuning:
        """Fine tuning."""
        from finetuned._async.resources.fine_tuning import AsyncFineTuning

        return AsyncFineTuning(self._transport)

    @cached_property
    def model_exports(self) -> AsyncModelExports:
        """Model exports."""
        from finetuned._async.models import AsyncModelExports

        return AsyncModelExports(self._transport)

    @cached_property
    def model_imports(self) -> AsyncModelImports:
        """Model imports."""
        from finetuned._async.resources.model_imports import AsyncModelImports

        return AsyncModelImports(self._transport)

    @cached_property
    def models(self) -> AsyncModels:
        """Models."""
        from finetuned._async.models import AsyncModels

        return AsyncModels(self._transport)

    @cached_property
    def organization(self) -> AsyncOrganization:
        """Organization."""
        from finetuned._async.resources.organization import AsyncOrganization

        return AsyncOrganization(self._transport)

    @cached_property
    def recognizers(self) -> AsyncRecognizers:
        """Recognizers."""
        from finetuned._async.resources.recognizers import AsyncRecognizers

        return AsyncRecognizers(self._transport)

    @cached_property
    def sweeps(self) -> AsyncSweeps:
        """Sweeps."""
        from finetuned._async.resources.sweeps import AsyncSweeps

        return AsyncSweeps(self._transport)

    @cached_property
    def uploads(self) -> AsyncUploads:
        """Uploads."""
        from finetuned._async.resources.uploads import AsyncUploads

        return AsyncUploads(self._transport)

    @cached_property
    def webhook_endpoints(self) -> AsyncWebhookEndpoints:
        """Webhook endpoints."""
        from finetuned._async.resources.webhook_endpoints import AsyncWebhookEndpoints

        return AsyncWebhookEndpoints(self._transport)

    @cached_property
    def webhook_event_types(self) -> AsyncWebhookEventTypes:
        """Webhook event types."""
        from finetuned._async.resources.webhook_event_types import AsyncWebhookEventTypes

        return AsyncWebhookEventTypes(self._transport)

    @cached_property
    def whoami(self) -> AsyncWhoami:
        """Whoami."""
        from finetuned._async.resources.whoami import AsyncWhoami

        return AsyncWhoami(self._transport)
