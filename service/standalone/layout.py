"""Defines the files of a `--data-dir` folder, locks it, and generates its secrets."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from service.config.stores import SIGNING_KEY


class AlreadyRunning(Exception):
    """Another `up` process is running on this data folder."""


class DataFolderError(OSError):
    """The data folder cannot be used. The message says why, and what to do."""


@dataclass(frozen=True)
class DataLayout:
    """Folders and files of one standalone installation."""

    root: Path

    @property
    def valkey(self) -> Path:
        """Folder of Valkey's append-only file."""
        return self.root / "valkey"

    @property
    def storage(self) -> Path:
        """Folder of stored artifacts."""
        return self.root / "storage"

    @property
    def models(self) -> Path:
        """Folder of base models that were converted on this machine."""
        return self.root / "models"

    @property
    def models_file(self) -> Path:
        """The model catalog file."""
        return self.root / "models.yaml"

    @property
    def logs(self) -> Path:
        """Folder with one log file per process."""
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """Folder of state that is valid only while `up` runs."""
        return self.root / "run"

    def fault(self, service: str) -> Path:
        """File with the reason why a service does not start. It exists only while it does not."""
        return self.run / f"{service}.fault"

    @property
    def upstreams(self) -> Path:
        """File with the addresses of the engines by model."""
        return self.run / "upstreams.json"

    @property
    def api_key(self) -> Path:
        """File with the first admin key, mode 0600."""
        return self.root / "api-key"

    @property
    def signing_key(self) -> Path:
        """File with the private key that signs the audit log and receipts, mode 0600."""
        return self.root / SIGNING_KEY

    def open(self, note: str) -> IO[str]:
        """Create the folders, accessible only to this user, and lock the data folder.

        The lock is held until the returned file is closed. The file contains the PID and the note.
        Raises DataFolderError, and AlreadyRunning if another process holds the lock.
        """
        try:
            for folder in (
                self.root,
                self.valkey,
                self.storage,
                self.models,
                self.logs,
                self.run,
            ):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = self.lock()
            lock.truncate(0)
            lock.write(f"pid {os.getpid()}{note}")
            lock.flush()
        except OSError as e:
            raise self.fault_of(e) from e
        return lock

    def fault_of(self, error: OSError) -> DataFolderError:
        """Convert an error of a file or disk of this folder to a message for the operator."""
        place = error.filename or self.root
        why = f"{place}: {error.strerror or error}"
        how = "free space on its disk" if is_full(error) else "choose another --data-dir"
        return DataFolderError(f"the data folder {self.root} cannot be used ({why}): {how}")

    def lock(self) -> IO[str]:
        """Lock the data folder for as long as the returned file is open.

        Raises AlreadyRunning if another process holds the lock.
        """
        lock = (self.root / "lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip()
            lock.close()
            raise AlreadyRunning(
                f"finetuned is already running on {self.root} ({holder}). Stop it first, or give "
                "another --data-dir."
            ) from None
        return lock

    def secret(self, name: str) -> str:
        """Return a secret, which is generated on first use and stored with mode 0600."""
        path = self.root / f".{name}"
        if not path.exists():
            write_private(path, secrets.token_urlsafe(32))
        return path.read_text("ascii").strip()


def is_full(error: OSError) -> bool:
    """Return whether the disk, or the quota on it, is used up."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def write_private(path: Path, text: str) -> None:
    """Write a file atomically, readable only by this user."""
    part = path.with_name(f".{path.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
    os.replace(part, path)
