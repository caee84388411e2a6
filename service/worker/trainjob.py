"""An attempt as a job of Kubeflow Trainer: the manifests, rendered and not submitted.

`render` turns the spec that a child process would run into a TrainJob
(trainer.kubeflow.org/v1alpha1, as of Trainer 2.2) and the ConfigMap with that spec, its paths
those inside the pod. `runtime` is what the operator installs once. Pure: no cluster, no
disk. docs/decisions/0001-trainjobs-past-one-node.md says why it is as it is.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any, Final

from service.training.spec import TrainSpec
from service.worker.trainjob_options import TrainJobOptions
from service.worker.trainjob_paths import MODELS, WORKSPACE, attempt_folder, in_pod

Manifest = dict[str, Any]

_API: Final = "trainer.kubeflow.org/v1alpha1"
_NODE: Final = "node"  # Trainer's own name for the job and for the container that trains
_MANAGER: Final = "finetuned/worker"
_SPEC: Final = "/spec"
# Trainer appends "-node-0-{index}-{5 characters}" for a pod, whose name may have 63.
_NAME_CHARS: Final = 40
_DIGEST_CHARS: Final = 10
_LABEL: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")

# A pod has no parent that holds stdin open, and the trainer takes its end for the parent's
# death. A FIFO that is open for reading and writing never ends. `exec` makes the trainer
# process 1, so that SIGTERM reaches it, which it obeys as the stop command. On several nodes,
# trainers that do not know of each other would write the same files.
_LAUNCH: Final = """\
set -eu
umask 077
if [ "${PET_NNODES:-1}" != 1 ]; then
  echo "This trainer joins the processes of one node only: set nodes to 1." >&2
  exit 1
fi
mkfifo /tmp/commands
exec "$@" 0<>/tmp/commands \\
  >>"/workspace/messages-${JOB_COMPLETION_INDEX:-0}.jsonl" \\
  2>>"/workspace/trainer-${JOB_COMPLETION_INDEX:-0}.log"
"""


def render(spec: TrainSpec, options: TrainJobOptions) -> list[Manifest]:
    """The manifests of one attempt, in the order in which they are created.

    Their name follows from job and attempt alone, so the API server refuses (409) a second
    submission. Raises `NotMounted` where a file of the spec lies on neither claim.
    """
    folder, inner = attempt_folder(spec), in_pod(spec, options)
    name, marks = object_name(spec.job_id, spec.attempt), labels(spec.job_id, spec.attempt)
    metadata: Manifest = {
        "name": name,
        "namespace": options.namespace,
        "labels": marks,
        "annotations": {"finetuned/job-id": spec.job_id},
    }
    config_map = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {**metadata},
        "immutable": True,
        "data": {"spec.json": inner.model_dump_json()},
    }
    train_job = {
        "apiVersion": _API,
        "kind": "TrainJob",
        "metadata": metadata,
        "spec": {
            "runtimeRef": {
                "apiGroup": "trainer.kubeflow.org",
                "kind": "ClusterTrainingRuntime",
                "name": options.runtime,
            },
            "trainer": _trainer(spec.gpus, options),
            "runtimePatches": [
                {
                    "manager": _MANAGER,
                    "trainingRuntimeSpec": _patch(marks, _pod(name, folder, options)),
                }
            ],
            **({"activeDeadlineSeconds": options.deadline_s} if options.deadline_s else {}),
        },
    }
    return [config_map, train_job]


def runtime(options: TrainJobOptions) -> Manifest:
    """The ClusterTrainingRuntime that the TrainJobs refer to, installed by the operator.

    It holds what a TrainJob cannot patch. Nothing is tried again inside the cluster: the next
    try is the next attempt, and two pods of one attempt would write the same files.
    """
    pod = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": options.stop_grace_s,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "containers": [{"name": _NODE, "image": options.image}],
    }
    job = {"backoffLimit": 0, "podReplacementPolicy": "Failed", "template": {"spec": pod}}
    step = {"labels": {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}}
    return {
        "apiVersion": _API,
        "kind": "ClusterTrainingRuntime",
        "metadata": {
            "name": options.runtime,
            "labels": {"trainer.kubeflow.org/framework": "torch"},
        },
        "spec": {
            "mlPolicy": {"numNodes": 1, "torch": {}},
            "template": {
                "spec": {
                    "failurePolicy": {"maxRestarts": 0},
                    "replicatedJobs": [
                        {"name": _NODE, "template": {"metadata": step, "spec": job}}
                    ],
                }
            },
        },
    }


def object_name(job_id: str, attempt: int) -> str:
    """A DNS-1035 label of at most 40 characters, one for each job and attempt."""
    suffix = f"-a{attempt}"
    plain = re.sub(r"[^a-z0-9]+", "-", job_id.lower()).strip("-")
    if not plain[:1].isalpha():
        plain = f"job-{plain}".strip("-")
    if plain == job_id and len(plain + suffix) <= _NAME_CHARS:
        return plain + suffix
    room = _NAME_CHARS - len(suffix) - _DIGEST_CHARS - 1
    return f"{plain[:room].strip('-')}-{_digest(job_id)}{suffix}"


def labels(job_id: str, attempt: int) -> dict[str, str]:
    """What the objects and the pods of an attempt are found by."""
    return {
        "app.kubernetes.io/name": "finetuned",
        "app.kubernetes.io/component": "trainer",
        "app.kubernetes.io/managed-by": "finetuned-worker",
        # The annotation has the id as it is.
        "finetuned/job": job_id if _LABEL.fullmatch(job_id) else _digest(job_id),
        "finetuned/attempt": str(attempt),
    }


def _digest(job_id: str) -> str:
    return hashlib.sha256(job_id.encode()).hexdigest()[:_DIGEST_CHARS]


def _trainer(gpus: int, options: TrainJobOptions) -> Manifest:
    env = {
        "HF_HUB_OFFLINE": "1",
        "HOME": "/tmp",  # noqa: S108  # the pod's own
        "PYTHONUNBUFFERED": "1",
    } | options.env
    amounts = {"cpu": options.cpu, "memory": options.memory}
    if options.gpu_resource is not None:
        amounts[options.gpu_resource] = str(gpus)
    return {
        "image": options.image,
        "command": ["/bin/sh", "-c", _LAUNCH, "trainer"],
        "args": ["python", "-m", "service.training", f"{_SPEC}/spec.json"],
        "env": [{"name": name, "value": value} for name, value in sorted(env.items())],
        "numNodes": options.nodes,
        "numProcPerNode": gpus,
        "resourcesPerNode": {"requests": amounts, "limits": amounts},
    }


def _patch(marks: Manifest, pod: Manifest) -> Manifest:
    """A patch of the pods of the runtime's one job."""
    job = {"spec": {"template": {"metadata": {"labels": marks}, "spec": pod}}}
    return {"template": {"spec": {"replicatedJobs": [{"name": _NODE, "template": job}]}}}


def _pod(config_map: str, folder: Path, options: TrainJobOptions) -> Manifest:
    """What the restricted Pod Security Standard wants, and the volumes."""
    volumes, mounts = _storage(config_map, folder, options)
    pod: Manifest = {
        "serviceAccountName": options.service_account,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": options.run_as_user,
            "runAsGroup": options.run_as_group,
            "fsGroup": options.run_as_group,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumes": volumes,
        "containers": [
            {
                "name": _NODE,
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                    "readOnlyRootFilesystem": True,
                },
                "volumeMounts": mounts,
            }
        ],
    }
    if options.node_selector:
        pod["nodeSelector"] = options.node_selector
    if options.tolerations:
        pod["tolerations"] = [t.model_dump(exclude_none=True) for t in options.tolerations]
    return pod


def _storage(
    config_map: str, folder: Path, options: TrainJobOptions
) -> tuple[list[Manifest], list[Manifest]]:
    """Volumes and their mounts. Trainer merges mounts by name: one for each volume."""
    models = {"claimName": options.models.name, "readOnly": True}
    volumes: list[Manifest] = [
        {"name": "spec", "configMap": {"name": config_map}},
        {"name": "models", "persistentVolumeClaim": models},
        {"name": "workspace", "persistentVolumeClaim": {"claimName": options.workspace.name}},
        {"name": "tmp", **_scratch(options)},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": options.shared_memory}},
    ]
    own = str(folder.relative_to(options.workspace.root))
    mounts: list[Manifest] = [
        {"name": "spec", "mountPath": _SPEC, "readOnly": True},
        {"name": "models", "mountPath": str(MODELS), "readOnly": True},
        {"name": "workspace", "mountPath": str(WORKSPACE), "subPath": own},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  # the pod's own
        {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108  # the pod's own
    ]
    return volumes, mounts


def _scratch(options: TrainJobOptions) -> Manifest:
    if options.scratch_storage_class is None:
        return {"emptyDir": {"sizeLimit": options.scratch_size}}
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": options.scratch_storage_class,
        "resources": {"requests": {"storage": options.scratch_size}},
    }
    return {"ephemeral": {"volumeClaimTemplate": {"spec": claim}}}
