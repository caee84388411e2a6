"""`/v1/models/{model}/evidence`: the signed archive of what is known about a trained model."""

from __future__ import annotations

import base64
import hashlib
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from service.core import clock
from service.core.backpressure import Slots
from service.core.encryption.signing import SigningKeyError
from service.core.errors import Conflict, NotFound, RateLimited, Unavailable
from service.evidence.archive import MANIFEST, members_of, signed_members
from service.evidence.collect import MAX_TEXT_BYTES, Collector, TooMuchText
from service.evidence.signing import EvidenceSigner, NotSigned
from service.exports.archive import MEDIA_TYPE, pack
from service.models.registry import ModelRegistry
from service.web import audit_trail
from service.web.audit_events import AuditEvent
from service.web.deps import Caller, resource
from service.web.openapi.parts import headers
from service.web.permissions import Permission, needs

router = APIRouter(prefix="/v1/models", tags=["Models"])

Registry = Annotated[ModelRegistry, Depends(resource("registry"))]
Signer = Annotated[EvidenceSigner, Depends(resource("evidence_signer"))]
Collecting = Annotated[Slots, Depends(resource("collecting_evidence"))]
_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The archive.",
        "headers": headers("content-disposition", "etag", "repr-digest"),
        "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
    }
}


def collecting_slots() -> Slots:
    """Return the slot of an API process for evidence, which may read much of the audit log."""

    def refusal() -> RateLimited:
        return RateLimited(
            "This API process collects other evidence. Try again in a minute.",
            code="limit_reached",
            headers={"retry-after": "60"},
        )

    return Slots(1, refusal)


@router.get(
    "/{model:path}/evidence",
    operation_id="getModelEvidence",
    summary="Download the evidence of a trained model",
    response_class=Response,
    responses=_RESPONSES,
    openapi_extra=needs(Permission.AUDIT_LOGS_READ, AuditEvent.MODEL_EVIDENCE_READ),
)
async def download_evidence(
    request: Request,
    model: str,
    caller: Caller,
    registry: Registry,
    signer: Signer,
    collecting: Collecting,
    include_text: Annotated[
        bool,
        Query(
            description="Whether to include training rows, prompts, graders, and answers of the "
            "evaluation. Needs a role that may read training data."
        ),
    ] = False,
) -> Response:
    """Download a signed archive of what is known about a trained model of the project: data,
    training, evaluation, access, exports, erasures, and the entries of the audit log with proofs.

    `finetuned evidence verify` checks it on another machine. By default, it has no text of the
    data, but names of files and keys. What is missing is listed with the reason.
    """
    record = await registry.get(caller.project_id, model)
    if record is None:
        raise NotFound(
            f"No such trained model: {model[:200]}", param="model", code="model_not_found"
        )
    if include_text:
        caller.require(Permission.DATA_READ)
        audit_trail.count(included_text=1)
    now_s = clock.now_s()
    about = {
        "model": record.id,
        "project_id": caller.project_id,
        "project": caller.project_name,
        "created_at": now_s,
        "requested_by": caller.key_id,
        "includes_text": include_text,
    }
    async with collecting.hold(caller.project_id):
        try:
            evidence = await Collector(request.app.state, record, with_text=include_text).collect()
        except TooMuchText as e:
            raise Conflict(
                f"The rows have more than {MAX_TEXT_BYTES // 1024**2} MiB. Leave out "
                "'include_text', and download the files.",
                param="include_text",
                code="limit_reached",
            ) from e
        members = members_of(evidence, about)
        try:
            signature = await signer.sign(caller.project_id, members[MANIFEST])
        except (NotSigned, SigningKeyError) as e:
            raise Unavailable(
                "No worker with the signing key of the installation signed the evidence. Check "
                "that a cpu worker runs and has FINETUNED_SIGNING_KEY_FILE.",
                code="service_unavailable",
            ) from e
    root = f"evidence-{record.id.split(':', 4)[4].replace(':', '-')}"
    data = pack(signed_members(members, signature), root, now_s)
    digest = hashlib.sha256(data)
    return Response(
        data,
        media_type=MEDIA_TYPE,
        headers={
            "content-disposition": f'attachment; filename="{root}.tar"',
            "etag": f'"{digest.hexdigest()}"',
            "repr-digest": f"sha-256=:{base64.b64encode(digest.digest()).decode()}:",
        },
    )
