"""Starts `finetuned-server up` for the demo, waits until it is ready, and stops it afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# vLLM on a CPU needs about 20 s to start, and the first start unpacks the demo model.
START_TIMEOUT_S = 300.0
# On shutdown, a trainer saves a checkpoint first.
STOP_TIMEOUT_S = 90.0
TAIL_LINES = 15


class DemoError(Exception):
    """Raised when the demo cannot continue. The message says why and what to do."""


@dataclass(frozen=True)
class Server:
    """A running server: its URL (ending in `/v1`) and a key. `data_dir` is set if we started it."""

    base_url: str
    api_key: str
    data_dir: Path | None = None


def server_from_env() -> Server | None:
    """Return the server from FINETUNED_BASE_URL and FINETUNED_API_KEY; None without the URL."""
    url = os.environ.get("FINETUNED_BASE_URL", "").rstrip("/")
    if not url:
        return None
    key = os.environ.get("FINETUNED_API_KEY", "")
    if not key:
        raise DemoError("FINETUNED_BASE_URL is set, but FINETUNED_API_KEY is not: set both")
    return Server(url if url.endswith("/v1") else f"{url}/v1", key)


@contextmanager
def local_server(
    data_dir: Path | None, *, start_timeout_s: float = START_TIMEOUT_S
) -> Iterator[Server]:
    """Run a local server for the duration of the block.

    Without `data_dir`, the server uses a new temporary folder, which is deleted afterwards unless
    the block fails. On failure, the last lines of the logs are printed to stderr.
    """
    command = _find_command()
    folder = data_dir or Path(tempfile.mkdtemp(prefix="finetuned-demo-"))
    logs = folder / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    keep = data_dir is not None
    process: subprocess.Popen[bytes] | None = None
    try:
        process = _start(command, folder, port, logs / "demo-up.log")
        _wait_until_ready(process, f"http://127.0.0.1:{port}/readyz", start_timeout_s)
        yield Server(f"http://127.0.0.1:{port}/v1", _read_key(folder / "api-key"), folder)
    except Exception:
        keep = True
        print_log_tails(logs)
        print(f"the server's data and logs stay in {folder}", file=sys.stderr)
        raise
    finally:
        if process is not None:
            _stop(process)
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def print_log_tails(logs: Path) -> None:
    """Print the last lines of every log file in `logs` to stderr."""
    for path in sorted(logs.glob("*.log")):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]
        if lines:
            print(f"--- the end of {path}", *lines, sep="\n", file=sys.stderr)


def _read_key(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise DemoError(f"the server is ready but its key cannot be read: {error}") from error


def _find_command() -> str:
    beside_python = Path(sys.executable).with_name("finetuned-server")
    found = str(beside_python) if beside_python.exists() else shutil.which("finetuned-server")
    if found is None:
        raise DemoError("finetuned-server is not installed here: run `make install`")
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _start(command: str, folder: Path, port: int, log: Path) -> subprocess.Popen[bytes]:
    arguments = [command, "up", "--data-dir", str(folder), "--port", str(port)]
    with log.open("ab") as output:
        # In its own session, so that Ctrl-C reaches only the demo, which then stops the server.
        return subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if (code := process.poll()) is not None:
            raise DemoError(f"the server ended with exit code {code} before it was ready")
        if _answers_ok(url):
            return
        time.sleep(0.5)
    raise DemoError(f"the server was not ready after {timeout_s:.0f} s")


def _answers_ok(url: str) -> bool:
    # Loopback requests never go through a proxy, whatever the environment says.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Send SIGTERM and wait; kill what still runs after that, or at a second Ctrl-C."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        print("the server does not stop: killing it", file=sys.stderr)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
