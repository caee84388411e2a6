"""The signature of an export, in Sigstore's OMS format, with a key of the operator."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Final

from service.exporting.contract import ExportFailure

SIGNATURE: Final = "model.sig"
_SETTING: Final = "FINETUNED_EXPORT_SIGNING_KEY"


def sign(folder: Path, key: Path) -> None:
    """Sign all files of the folder, and write the signature next to them. Raises ExportFailure.

    Nothing is sent anywhere: the signature is verified with the public key.
    """
    if importlib.util.find_spec("model_signing") is None:
        raise ExportFailure(
            "missing_extra",
            "Signing needs model-signing, which the worker lacks. The operator must install the "
            f"extra 'export', or remove {_SETTING}.",
        )
    from model_signing.signing import Config

    try:
        config = Config().use_elliptic_key_signer(private_key=key)
    except (OSError, ValueError, TypeError, AttributeError) as error:  # depends on the file
        raise ExportFailure(
            "signing_failed",
            f"The export cannot be signed with the key of {_SETTING}. The operator must set it to "
            "a file with an EC key (P-256, P-384 or P-521) in PEM format, without a password, that "
            "the workers can read.",
        ) from error
    config.sign(folder, folder / SIGNATURE)
