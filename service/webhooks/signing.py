"""Creates secrets and signatures by the Standard Webhooks specification (standardwebhooks.com)."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

from standardwebhooks.webhooks import Webhook

_SECRET_BYTES = 32  # the specification requires 24 to 64


def new_secret() -> str:
    """Create a random signing secret: `whsec_` and the base64-encoded key."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def hint(secret: str) -> str:
    """Return a secret shortened to its last four characters, which its owner can recognize."""
    return "whsec_…" + secret.rstrip("=")[-4:]


def signed_headers(
    signing_secrets: Sequence[str], event_id: str, now_s: int, body: str
) -> dict[str, str]:
    """Return the headers by which a receiver verifies a delivery with any of the secrets."""
    now = datetime.fromtimestamp(now_s, UTC)
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(now_s),
        "webhook-signature": " ".join(
            Webhook(one).sign(event_id, now, body) for one in signing_secrets
        ),
    }
