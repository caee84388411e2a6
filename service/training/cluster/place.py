"""Where a run finds the Ray cluster that trains it. Imports neither Ray nor torch."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Cluster(BaseModel):
    """Second argument of a trainer whose ranks run on a Ray cluster.

    `address` is what `ray.init` takes: `ray://HOST:10001`, or `HOST:6379` on a machine that is a
    node of the cluster. Each rank takes one GPU of the cluster, or one CPU.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str
    device: Literal["cuda", "cpu"]
