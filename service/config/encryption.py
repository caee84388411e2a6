"""The master key of encryption at rest, and the keys that sign."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, Field, SecretStr

if TYPE_CHECKING:
    from service.core.encryption.master import MasterKey

SIGNING_KEY: Final = "signing-key.pem"
"""Name of the file in data_dir with the signing key, unless the operator names another."""


class EncryptionSettings(BaseModel):
    """The master key of encryption at rest, and the keys that sign."""

    encryption_key_file: Path | None = Field(
        default=None,
        description="File with the master key, under which objects in storage are encrypted.",
    )
    encryption_key: SecretStr | None = Field(
        default=None, description="The master key itself, instead of a file."
    )
    encryption_vault_address: str | None = Field(
        default=None,
        description="Address of a Vault whose transit engine has the master key, instead of a "
        "file.",
    )
    encryption_vault_key: str = "finetuned"
    encryption_vault_mount: str = "transit"
    encryption_vault_token_file: Path = Path("/vault/secrets/token")
    encryption_required: bool = Field(
        default=False,
        description="Whether objects that are not encrypted are refused. Set it once "
        "`finetuned-server encrypt` has encrypted all.",
    )
    signing_key_file: Path | None = Field(
        default=None,
        description="PEM file with an Ed25519 private key, which signs the audit log, erasure "
        "receipts and adapters. By default, the worker that seals the audit log makes "
        "`signing-key.pem` in data_dir, which does not sign adapters.",
    )
    adapter_key_file: Path | None = Field(
        default=None,
        description="PEM file with the public key. Engines then load only adapters that it signed.",
    )
    export_signing_key: Path | None = Field(
        default=None, description="File of the EC key that signs exports, in PEM format."
    )

    def master_key(self) -> MasterKey | None:
        """The key under which objects are encrypted, or None. Raises MasterKeyError."""
        if not (self.encryption_key_file or self.encryption_key or self.encryption_vault_address):
            return None
        from service.core.encryption.choice import master_key

        return master_key(
            file=self.encryption_key_file,
            text=None if self.encryption_key is None else self.encryption_key.get_secret_value(),
            vault_address=self.encryption_vault_address,
            vault_key=self.encryption_vault_key,
            vault_mount=self.encryption_vault_mount,
            vault_token_file=self.encryption_vault_token_file,
        )
