"""An installation whose api, worker and engine are containers of the built images."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from service.core.redis import connect
from service.projects.records import Projects, Role
from service.standalone.services import free_port
from service.standalone.up import DEMO_MODEL
from tests.image.container import Container, Image

UID = 10001  # of the images, to which volumes belong
ANY_UID = 1_000_660_000  # which a platform chooses, such as OpenShift, with group 0
DATA, MODEL = "/var/lib/finetuned", "/models/demo"
_ENGINE_KEY = "engine-key-of-this-test"


@dataclass
class Site:
    """An installation in which all processes except the store are containers."""

    images: Mapping[str, Image]
    work: Path
    model: Path
    redis_url: str
    stack: ExitStack = field(default_factory=ExitStack)
    running: dict[str, Container] = field(default_factory=dict)
    ports: dict[str, int] = field(
        default_factory=lambda: {r: free_port() for r in ("api", "worker", "inference")}
    )

    def __post_init__(self) -> None:
        self.data = self.work / "data"
        self.data.mkdir()
        entry = {"id": DEMO_MODEL, "path": MODEL, "license": "apache-2.0", "context_length": 2048}
        (self.data / "models.yaml").write_text(yaml.safe_dump({"models": [entry]}), "utf-8")
        for path in (self.data, self.data / "models.yaml"):
            os.chown(path, UID, 0)
            path.chmod(0o770)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['api']}"

    def start(self, target: str, *arguments: str) -> Container:
        """Start an image and replace the container with the same role."""
        role = target.partition("-")[0]
        engine = f"http://127.0.0.1:{self.ports['inference']}"
        container = Container(
            self.images[target],
            self.work,
            arguments,
            env={
                "FINETUNED_REDIS_URL": self.redis_url,
                "FINETUNED_UPSTREAMS": f'{{"{DEMO_MODEL}": "{engine}"}}',
                "FINETUNED_UPSTREAM_API_KEY": _ENGINE_KEY,
                "FINETUNED_STOP_GRACE_S": "30",
            }
            | {f"FINETUNED_{r.upper()}_PORT": str(port) for r, port in self.ports.items()}
            | {f"FINETUNED_{r.upper()}_HOST": "127.0.0.1" for r in self.ports},
            user=f"{ANY_UID}:0",
            mounts={self.data: DATA, self.model: MODEL} if role != "api" else {self.data: DATA},
        )
        self.running[role] = self.stack.enter_context(container)
        return container

    def wait(self, check: Callable[[], object], timeout_s: float, what: str) -> object:
        """Wait until `check` returns a true value, and return that value."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            for container in self.running.values():
                assert not container.has_ended(), container.tail()
            if found := check():
                return found
            time.sleep(0.5)
        logs = "\n".join(container.tail() for container in self.running.values())
        raise AssertionError(f"{what} did not happen within {timeout_s:.0f} s\n{logs}")

    async def key(self) -> str:
        redis = connect(self.redis_url)
        projects = Projects(redis)
        _, secret = await projects.create_key(await projects.create("acme"), "test", Role.MEMBER)
        await redis.aclose(close_connection_pool=True)
        return secret
