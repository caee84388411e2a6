"""The master key that the settings name."""

from __future__ import annotations

from pathlib import Path

from service.core.encryption.master import (
    LocalMasterKey,
    MasterKey,
    MasterKeyError,
    VaultMasterKey,
)


def master_key(
    *,
    file: Path | None,
    text: str | None,
    vault_address: str | None,
    vault_key: str,
    vault_mount: str,
    vault_token_file: Path,
) -> MasterKey:
    """Return the master key of exactly one source. Raises MasterKeyError."""
    given = {
        "FINETUNED_ENCRYPTION_KEY_FILE": file,
        "FINETUNED_ENCRYPTION_KEY": text,
        "FINETUNED_ENCRYPTION_VAULT_ADDRESS": vault_address,
    }
    named = [name for name, value in given.items() if value]
    if len(named) != 1:
        raise MasterKeyError(f"set only one of {', '.join(named)}")
    if vault_address:
        return VaultMasterKey(vault_address, vault_key, vault_token_file, vault_mount)
    if file:
        return LocalMasterKey.of_file(file)
    return LocalMasterKey.parse(text or "", "FINETUNED_ENCRYPTION_KEY")
