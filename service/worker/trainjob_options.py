"""What an operator decides about trainers that run as jobs in a Kubernetes cluster."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

_DNS_LABEL: Final = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
_DNS_SUBDOMAIN: Final = r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"
_QUANTITY: Final = r"^[0-9]+(\.[0-9]+)?(m|k|[KMGT]i|[MGT])?$"
_ENV_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# torchrun's and Kubernetes' own, what keeps the trainer offline, what only the worker may know.
_RESERVED: Final = ("PET_", "JOB_COMPLETION_INDEX", "HF_", "FINETUNED_", "AWS_")
_SECRET: Final = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)


class Claim(BaseModel):
    """A PersistentVolumeClaim in the TrainJobs' namespace. `root` is where the worker has it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=_DNS_SUBDOMAIN)
    root: Path

    @field_validator("root")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        if not value.is_absolute() or ".." in value.parts:
            raise ValueError("the root of a claim is an absolute path without '..'")
        return value


class Toleration(BaseModel):
    """A taint of nodes that a trainer may run on in spite of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    operator: Literal["Exists", "Equal"] = "Exists"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None


class TrainJobOptions(BaseModel):
    """What the operator decides about trainers in the cluster.

    `models` is mounted read-only; of `workspace` (ReadWriteMany) a pod sees the folder of its
    own attempt. `run_as_user` and `run_as_group` are those of the worker, whose files a pod
    reads. Each node has the GPUs of the spec (as `gpu_resource`; none where that is None),
    `cpu` and `memory`, which includes `shared_memory`, for /dev/shm. More than one of `nodes`
    is for a trainer that joins its processes across them: today's refuses to start.
    `scratch_size` bounds /tmp, on the node's disk, or on a volume of `scratch_storage_class`
    that lives as long as the pod.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    namespace: str = Field(pattern=_DNS_LABEL)
    runtime: str = Field(default="finetuned-trainer", pattern=_DNS_SUBDOMAIN)
    image: str = Field(min_length=1, max_length=500)
    models: Claim
    workspace: Claim
    nodes: int = Field(default=1, ge=1)
    gpu_resource: str | None = Field(default="nvidia.com/gpu", min_length=1)
    cpu: str = Field(default="4", pattern=_QUANTITY)
    memory: str = Field(default="32Gi", pattern=_QUANTITY)
    shared_memory: str = Field(default="4Gi", pattern=_QUANTITY)
    scratch_size: str = Field(default="20Gi", pattern=_QUANTITY)
    scratch_storage_class: str | None = Field(default=None, pattern=_DNS_SUBDOMAIN)
    service_account: str = Field(default="finetuned-trainer", pattern=_DNS_SUBDOMAIN)
    run_as_user: int = Field(default=10001, ge=1)
    run_as_group: int = Field(default=10001, ge=1)
    stop_grace_s: int = Field(default=60, ge=1)
    deadline_s: int | None = Field(default=None, ge=1)
    env: dict[str, str] = {}
    node_selector: dict[str, str] = {}
    tolerations: tuple[Toleration, ...] = ()

    @field_validator("env")
    @classmethod
    def _harmless(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if not _ENV_NAME.fullmatch(name):
                raise ValueError("a variable's name has letters, digits and '_' alone")
            if name.startswith(_RESERVED) or _SECRET.search(name):
                raise ValueError(f"{name} cannot be set for a trainer: it is reserved or a secret")
        return value
