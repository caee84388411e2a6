"""A real Prometheus that scrapes the processes of a test's stack."""

from __future__ import annotations

import math
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import yaml

from service.standalone.services import free_port
from tests.e2e.conftest import wait_for


@dataclass
class Prometheus:
    """A running server that tests can query."""

    url: str
    began: float

    def get(self, path: str, **params: str | float) -> dict[str, Any]:
        answer = httpx.get(f"{self.url}{path}", params=params, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def finds(self, query: str) -> bool:
        """Return whether the query had a value at any time since the start."""
        now = time.time()
        found = self.get("/api/v1/query_range", query=query, start=self.began, end=now, step="2")
        values = (value for series in found["result"] for _, value in series["values"])
        return any(math.isfinite(float(value)) for value in values)

    def are_up(self, count: int) -> bool:
        if httpx.get(f"{self.url}/-/ready", timeout=60).status_code != 200:
            return False
        targets = self.get("/api/v1/targets")["activeTargets"]
        return [t["health"] for t in targets] == ["up"] * count


@contextmanager
def scraping(
    binary: str, folder: Path, targets: Mapping[str, str], rules: Path
) -> Iterator[Prometheus]:
    """Scrape the URLs every second, and evaluate the rules."""
    jobs = [
        {"job_name": name, "static_configs": [{"targets": [urlsplit(url).netloc]}]}
        for name, url in targets.items()
    ]
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "2s"},
        "scrape_configs": jobs,
        "rule_files": [str(rules)],
    }
    file = folder / "prometheus.yaml"
    file.write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    command = [
        binary,
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address={address}",
        "--log.level=warn",
    ]
    with (folder / "prometheus.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    server = Prometheus(f"http://{address}", time.time())
    try:
        wait_for(lambda: server.are_up(len(targets)), 120, "a scrape of all processes")
        yield server
    finally:
        process.terminate()
        process.wait(timeout=60)
