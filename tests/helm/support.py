"""Helm as a user runs it, and the rendered manifests."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

ROOT = Path(__file__).parent.parent.parent
CHART = ROOT / "helm" / "finetuned"
PROFILES = sorted(path.name for path in (CHART / "ci").glob("*-values.yaml"))
RELEASE, NAMESPACE = "ft", "models"

Manifest = dict[str, Any]

MODEL = {"id": "tiny", "path": "/models/tiny", "license": "mit", "contextLength": 2048}
# Values that are otherwise random.
FIXED = {
    "valkey": {"password": {"value": "p" * 43}, "users": {"existingSecret": "users"}},
    "audit": {"signingKey": {"existingSecret": "signing"}},
    "engineKey": {"value": "e" * 43},
    "adminKey": {"value": "sk-ft-" + "a" * 43},
}


class Refused(Exception):
    """Raised if helm refuses the values. The message is what the user reads."""


class _Strict(yaml.CSafeLoader):
    """YAML loader that refuses duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"duplicate keys in {keys}"
        return super().construct_mapping(node, deep)


@dataclass(frozen=True)
class Helm:
    """One major version of helm with one chart (a folder or a package)."""

    program: Path
    chart: Path = CHART

    def run(self, *arguments: str, values: Manifest | None = None) -> str:
        """Run helm and return its output. Raises Refused."""
        done = subprocess.run(
            [str(self.program), *arguments, *(["-f", "-"] if values is not None else [])],
            input=None if values is None else yaml.safe_dump(values),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            # Go's garbage collector takes a quarter of so short a run.
            env={**os.environ, "GOGC": "off"},
        )
        if done.returncode:
            raise Refused(done.stderr)
        return done.stdout

    def template(
        self, values: Manifest | None = None, *, profile: str | None = None, **options: str
    ) -> Rendered:
        """Render the chart with these values, merged over a profile's."""
        given = ["-f", str(CHART / "ci" / profile)] if profile else []
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        text = self.run(
            *("template", RELEASE, str(self.chart), "--namespace", NAMESPACE),
            *given,
            *flags,
            values=values or {},
        )
        return Rendered([doc for doc in yaml.load_all(text, _Strict) if doc])


@dataclass(frozen=True)
class Rendered:
    """All objects of a rendered chart."""

    objects: list[Manifest]

    def of_kind(self, kind: str) -> dict[str, Manifest]:
        """Return the objects of a kind by name, without the release prefix."""
        return {
            o["metadata"]["name"].removeprefix(f"{RELEASE}-"): o
            for o in self.objects
            if o["kind"] == kind
        }

    def one(self, kind: str, name: str) -> Manifest:
        """Return one object by its name without the release prefix."""
        found = self.of_kind(kind)
        assert name in found, f"no {kind} {name}; there are {sorted(found)}"
        return found[name]

    def templates(self) -> Iterator[tuple[Manifest, Manifest]]:
        """Return the pod templates of all workloads, each after its object."""
        for o in self.objects:
            spec = o.get("spec", {})
            if o["kind"] == "Pod":
                yield o, o
            elif o["kind"] == "CronJob":
                yield o, spec["jobTemplate"]["spec"]["template"]
            elif o["kind"] == "RayCluster":
                for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
                    yield o, group["template"]
            elif o["kind"] == "LeaderWorkerSet":
                for role in ("leaderTemplate", "workerTemplate"):
                    yield o, spec["leaderWorkerTemplate"][role]
            elif o["kind"] in {"Deployment", "StatefulSet", "Job"}:
                yield o, spec["template"]

    def pods(self) -> Iterator[tuple[str, Manifest]]:
        """Return the pod specs of all workloads by `Kind/name`."""
        for o, template in self.templates():
            yield f"{o['kind']}/{o['metadata']['name']}", template["spec"]

    def pod(self, kind: str, name: str) -> Manifest:
        """Return the pod spec of one object."""
        return dict(self.pods())[f"{kind}/{RELEASE}-{name}"]

    def container(self, kind: str, name: str) -> Manifest:
        """Return the first container of one object's pods."""
        return self.pod(kind, name)["containers"][0]

    def settings(self) -> dict[str, str]:
        """Return the environment that all processes share."""
        return self.one("ConfigMap", "settings")["data"]

    def upstreams(self) -> dict[str, str]:
        """Return the addresses of the engines by model."""
        text = self.one("ConfigMap", "catalogue")["data"]["upstreams.json"]
        return TypeAdapter(dict[str, str]).validate_json(text)


def containers(pod: Manifest) -> list[Manifest]:
    """Return all containers of a pod."""
    return [*pod.get("initContainers", []), *pod["containers"]]


def env_of(container: Manifest) -> dict[str, Any]:
    """Return the container's own variables: the value, or its source."""
    return {e["name"]: e.get("value", e.get("valueFrom")) for e in container.get("env", [])}


def selects(selector: Manifest, labels: dict[str, str]) -> bool:
    """Return whether a label selector matches."""
    expressions = selector.get("matchExpressions", [])
    assert all(e["operator"] == "In" for e in expressions), "the chart uses no other operators"
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(e["key"]) in e["values"] for e in expressions
    )


def selected(rendered: Rendered, policy: Manifest) -> set[str]:
    """Return the workloads whose pods a policy selects."""
    return {
        o["metadata"]["name"].removeprefix("ft-")
        for o, template in rendered.templates()
        if selects(policy["spec"]["podSelector"], template["metadata"]["labels"])
    }


def peers(rules: list[Any], side: str) -> set[str]:
    """Return the components that the rules allow; `*` for everyone."""
    found = set()
    for rule in rules:
        for peer in rule.get(side, [{}]):
            labels = peer.get("podSelector", {}).get("matchLabels", {})
            found.add(labels.get("app.kubernetes.io/component", json.dumps(peer) if peer else "*"))
    return found
