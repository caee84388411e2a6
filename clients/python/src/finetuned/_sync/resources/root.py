# Generated from finetuned._async by `make clients`. Do not edit.
"""The groups of methods of a client.

Generated from openapi.json by `make clients`; do not edit.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from finetuned._sync.transport import Transport

if TYPE_CHECKING:
    from finetuned._sync.files import Files
    from finetuned._sync.jobs import Advice
    from finetuned._sync.models import ModelExports, Models
    from finetuned._sync.resources.alias_checks import AliasChecks
    from finetuned._sync.resources.aliases import Aliases
    from finetuned._sync.resources.batches import Batches
    from finetuned._sync.resources.chat import Chat
    from finetuned._sync.resources.dataset_cleanings import DatasetCleanings
    from finetuned._sync.resources.dataset_diffs import DatasetDiffs
    from finetuned._sync.resources.dataset_generations import DatasetGenerations
    from finetuned._sync.resources.dataset_merges import DatasetMerges
    from finetuned._sync.resources.dataset_previews import DatasetPreviews
    from finetuned._sync.resources.dataset_reports import DatasetReports
    from finetuned._sync.resources.erasure_receipts import ErasureReceipts
    from finetuned._sync.resources.evals import Evals
    from finetuned._sync.resources.fine_tuning import FineTuning
    from finetuned._sync.resources.model_imports import ModelImports
    from finetuned._sync.resources.organization import Organization
    from finetuned._sync.resources.recognizers import Recognizers
    from finetuned._sync.resources.sweeps import Sweeps
    from finetuned._sync.resources.uploads import Uploads
    from finetuned._sync.resources.webhook_endpoints import WebhookEndpoints
    from finetuned._sync.resources.webhook_event_types import WebhookEventTypes
    from finetuned._sync.resources.whoami import Whoami


class Resources:
    """All groups of methods that call a route."""

    _transport: Transport

    @cached_property
    def advice(self) -> Advice:
        """Advice."""
        from finetuned._sync.jobs import Advice

        return Advice(self._transport)

    @cached_property
    def alias_checks(self) -> AliasChecks:
        """Alias checks."""
        from finetuned._sync.resources.alias_checks import AliasChecks

        return AliasChecks(self._transport)

    @cached_property
    def aliases(self) -> Aliases:
        """Aliases."""
        from finetuned._sync.resources.aliases import Aliases

        return Aliases(self._transport)

    @cached_property
    def batches(self) -> Batches:
        """Batches."""
        from finetuned._sync.resources.batches import Batches

        return Batches(self._transport)

    @cached_property
    def chat(self) -> Chat:
        """Chat."""
        from finetuned._sync.resources.chat import Chat

        return Chat(self._transport)

    @cached_property
    def dataset_cleanings(self) -> DatasetCleanings:
        """Dataset cleanings."""
        from finetuned._sync.resources.dataset_cleanings import DatasetCleanings

        return DatasetCleanings(self._transport)

    @cached_property
    def dataset_diffs(self) -> DatasetDiffs:
        """Dataset diffs."""
        from finetuned._sync.resources.dataset_diffs import DatasetDiffs

        return DatasetDiffs(self._transport)

    @cached_property
    def dataset_generations(self) -> DatasetGenerations:
        """Dataset generations."""
        from finetuned._sync.resources.dataset_generations import DatasetGenerations

        return DatasetGenerations(self._transport)

    @cached_property
    def dataset_merges(self) -> DatasetMerges:
        """Dataset merges."""
        from finetuned._sync.resources.dataset_merges import DatasetMerges

        return DatasetMerges(self._transport)

    @cached_property
    def dataset_previews(self) -> DatasetPreviews:
        """Dataset previews."""
        from finetuned._sync.resources.dataset_previews import DatasetPreviews

        return DatasetPreviews(self._transport)

    @cached_property
    def dataset_reports(self) -> DatasetReports:
        """Dataset reports."""
        from finetuned._sync.resources.dataset_reports import DatasetReports

        return DatasetReports(self._transport)

    @cached_property
    def erasure_receipts(self) -> ErasureReceipts:
        """Erasure receipts."""
        from finetuned._sync.resources.erasure_receipts import ErasureReceipts

        return ErasureReceipts(self._transport)

    @cached_property
    def evals(self) -> Evals:
        """Evals."""
        from finetuned._sync.resources.evals import Evals

        return Evals(self._transport)

    @cached_property
    def files(self) -> Files:
        """Files."""
        from finetuned._sync.files import Files

        return Files(self._transport)

    @cached_property
    def fine_tuning(self) -> FineTuning:
        """Fine tuning."""
        from finetuned._sync.resources.fine_tuning import FineTuning

        return FineTuning(self._transport)

    @cached_property
    def model_exports(self) -> ModelExports:
        """Model exports."""
        from finetuned._sync.models import ModelExports

        return ModelExports(self._transport)

    @cached_property
    def model_imports(self) -> ModelImports:
        """Model imports."""
        from finetuned._sync.resources.model_imports import ModelImports

        return ModelImports(self._transport)

    @cached_property
    def models(self) -> Models:
        """Models."""
        from finetuned._sync.models import Models

        return Models(self._transport)

    @cached_property
    def organization(self) -> Organization:
        """Organization."""
        from finetuned._sync.resources.organization import Organization

        return Organization(self._transport)

    @cached_property
    def recognizers(self) -> Recognizers:
        """Recognizers."""
        from finetuned._sync.resources.recognizers import Recognizers

        return Recognizers(self._transport)

    @cached_property
    def sweeps(self) -> Sweeps:
        """Sweeps."""
        from finetuned._sync.resources.sweeps import Sweeps

        return Sweeps(self._transport)

    @cached_property
    def uploads(self) -> Uploads:
        """Uploads."""
        from finetuned._sync.resources.uploads import Uploads

        return Uploads(self._transport)

    @cached_property
    def webhook_endpoints(self) -> WebhookEndpoints:
        """Webhook endpoints."""
        from finetuned._sync.resources.webhook_endpoints import WebhookEndpoints

        return WebhookEndpoints(self._transport)

    @cached_property
    def webhook_event_types(self) -> WebhookEventTypes:
        """Webhook event types."""
        from finetuned._sync.resources.webhook_event_types import WebhookEventTypes

        return WebhookEventTypes(self._transport)

    @cached_property
    def whoami(self) -> Whoami:
        """Whoami."""
        from finetuned._sync.resources.whoami import Whoami

        return Whoami(self._transport)
