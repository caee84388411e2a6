"""What lies where in `--data-dir`, and the secrets made at first start."""

from __future__ import annotations

import fcntl
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import IO


class AlreadyRunning(Exception):
    """Another `up` runs on this data folder."""


@dataclass(frozen=True)
class Layout:
    """The folders and files of one standalone installation."""

    root: Path

    @property
    def valkey(self) -> Path:
        """Valkey's append-only file."""
        return self.root / "valkey"

    @property
    def storage(self) -> Path:
        """Artifacts."""
        return self.root / "storage"

    @property
    def models(self) -> Path:
        """Base models that were converted here."""
        return self.root / "models"

    @property
    def models_file(self) -> Path:
        """The catalogue."""
        return self.root / "models.yaml"

    @property
    def logs(self) -> Path:
        """A log file a process."""
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """What is only true while `up` runs."""
        return self.root / "run"

    def fault(self, service: str) -> Path:
        """Why a service does not come up; the file is there only while that is so."""
        return self.run / f"{service}.fault"

    @property
    def api_key(self) -> Path:
        """The first admin key, mode 0600."""
        return self.root / "api-key"

    def create(self) -> None:
        """Make the folders, for this user alone."""
        for folder in (
            self.root,
            self.valkey,
            self.storage,
            self.models,
            self.logs,
            self.run,
        ):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def lock(self) -> IO[str]:
        """Hold the data folder while the file is open. Raises AlreadyRunning."""
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
        """A secret of this installation, made at first use and kept with mode 0600."""
        path = self.root / f".{name}"
        if not path.exists():
            write_private(path, secrets.token_urlsafe(32))
        return path.read_text("ascii").strip()


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user can read; whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
    os.replace(part, path)
