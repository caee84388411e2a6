"""Manifests against the API's own models: Kubeflow Trainer's, which hold Kubernetes' too."""

from __future__ import annotations

import copy
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from service.training.protocol import EXIT_FAILED, Failed, parse_message
from service.training.spec import TrainSpec
from service.worker.trainjob import labels, object_name, render, runtime
from service.worker.trainjob_options import Claim, Toleration, TrainJobOptions
from service.worker.trainjob_paths import NotMounted, on_worker
from tests.lazy import Lazy

kubeflow = Lazy("kubeflow_trainer_api.models")

JOB = "ftjob-0123456789abcdefghijklmn"
FOLDER = f"/var/lib/finetuned/scratch/{JOB}/a2"
MODELS = {
    "ConfigMap": "IoK8sApiCoreV1ConfigMap",
    "TrainJob": "TrainerV1alpha1TrainJob",
    "ClusterTrainingRuntime": "TrainerV1alpha1ClusterTrainingRuntime",
}
# Their keys are names that we choose, not fields.
FREE = {"labels", "annotations", "data", "nodeSelector", "requests", "limits"}


def a_spec(**changes) -> TrainSpec:
    given = {
        "job_id": JOB,
        "attempt": 2,
        "base_model": "smollm2-135m",
        "base_model_path": "/srv/models/smollm2",
        "training_file": f"{FOLDER}/training.jsonl",
        "output_dir": f"{FOLDER}/out",
    }
    return TrainSpec.model_validate(given | changes)


def some_options(**changes) -> TrainJobOptions:
    given = {
        "namespace": "finetuned-jobs",
        "image": "registry.internal/finetuned/worker:0.2.0",
        "models": Claim(name="models", root=Path("/srv/models")),
        "workspace": Claim(name="workspace", root=Path("/var/lib/finetuned/scratch")),
    }
    return TrainJobOptions(**(given | changes))


def faults(manifest: dict) -> list[str]:
    """What the API would refuse, with `fieldValidation=Strict`.

    The models drop what they do not know, so a strange field is missing from what comes back.
    """
    try:
        known = getattr(kubeflow, MODELS[manifest["kind"]]).from_dict(manifest).to_dict()
    except ValidationError as e:
        return [str(e)]
    return [] if known == manifest else ["a field is not in the schema"]


def train_job(spec: TrainSpec | None = None, **changes) -> dict:
    return render(spec or a_spec(), some_options(**changes))[1]


def pod_of(job: dict) -> dict:
    [patch] = job["spec"]["runtimePatches"]
    [replicated] = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    return replicated["template"]["spec"]["template"]


def container_of(job: dict) -> dict:
    [container] = pod_of(job)["spec"]["containers"]
    return container


def inner_spec(spec: TrainSpec, **changes) -> TrainSpec:
    config_map = render(spec, some_options(**changes))[0]
    return TrainSpec.model_validate_json(config_map["data"]["spec.json"])


EVERYTHING = {
    "nodes": 2,
    "gpu_resource": "amd.com/gpu",
    "cpu": "1500m",
    "scratch_storage_class": "fast-nvme",
    "deadline_s": 86400,
    "env": {"NCCL_SOCKET_IFNAME": "eth0"},
    "node_selector": {"accelerator": "h100"},
    "tolerations": (
        Toleration(key="gpu", effect="NoSchedule"),
        Toleration(key="team", operator="Equal", value="ml"),
    ),
}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        *({name: value} for name, value in EVERYTHING.items()),
        EVERYTHING,
        {"gpu_resource": None},
    ],
    ids=lambda changes: ",".join(changes) or "defaults",
)
def test_the_api_would_take_what_is_rendered(changes):
    options = some_options(**changes)
    manifests = [*render(a_spec(), options), runtime(options)]
    assert [m["kind"] for m in manifests] == ["ConfigMap", "TrainJob", "ClusterTrainingRuntime"]
    for manifest in manifests:
        assert faults(manifest) == []
        assert json.loads(json.dumps(manifest)) == manifest


def _misspelt(node, path=()) -> Iterator[tuple]:
    """The path of every field of a manifest."""
    if isinstance(node, list):
        for place, item in enumerate(node):
            yield from _misspelt(item, (*path, place))
    elif isinstance(node, dict):
        for key, value in node.items():
            yield (*path, key)
            if key not in FREE:
                yield from _misspelt(value, (*path, key))


@pytest.mark.parametrize("which", [0, 1, 2], ids=list(MODELS))
def test_a_misspelt_field_would_be_seen(which):
    options = some_options(**EVERYTHING)
    manifest = [*render(a_spec(), options), runtime(options)][which]
    fields = [path for path in _misspelt(manifest) if path != ("kind",)]
    assert len(fields) > 5
    for path in fields:
        broken = copy.deepcopy(manifest)
        holder = broken
        for part in path[:-1]:
            holder = holder[part]
        holder[f"{path[-1]}x"] = holder.pop(path[-1])
        assert faults(broken), path


@pytest.mark.parametrize(
    ("nodes", "gpus", "resource"),
    [(1, 1, "nvidia.com/gpu"), (1, 8, "amd.com/gpu"), (3, 2, "nvidia.com/gpu"), (1, 1, None)],
)
def test_nodes_and_gpus(nodes, gpus, resource):
    job = train_job(a_spec(gpus=gpus), nodes=nodes, gpu_resource=resource)
    trainer = job["spec"]["trainer"]
    assert (trainer["numNodes"], trainer["numProcPerNode"]) == (nodes, gpus)
    amounts = {"cpu": "4", "memory": "32Gi"} | ({resource: str(gpus)} if resource else {})
    assert trainer["resourcesPerNode"] == {"requests": amounts, "limits": amounts}
    assert trainer["args"] == ["python", "-m", "service.training", "/spec/spec.json"]


def test_it_fits_the_runtime_and_that_tries_nothing_again():
    options = some_options(stop_grace_s=90)
    job, template = render(a_spec(), options)[1], runtime(options)
    ref = job["spec"]["runtimeRef"]
    assert (ref["kind"], ref["name"]) == (template["kind"], template["metadata"]["name"])
    jobs = template["spec"]["template"]["spec"]
    [replicated] = jobs["replicatedJobs"]
    pod = replicated["template"]["spec"]["template"]["spec"]
    assert [c["name"] for c in pod["containers"]] == [container_of(job)["name"]]
    assert replicated["name"] == "node"
    assert jobs["failurePolicy"] == {"maxRestarts": 0}
    assert replicated["template"]["spec"]["backoffLimit"] == 0
    assert replicated["template"]["spec"]["podReplacementPolicy"] == "Failed"
    assert (pod["restartPolicy"], pod["terminationGracePeriodSeconds"]) == ("Never", 90)
    assert pod["automountServiceAccountToken"] is False


def test_the_pod_keeps_to_the_restricted_standard():
    pod = pod_of(train_job(**EVERYTHING))["spec"]
    context = pod["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] > 0
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    allowed = {"configMap", "emptyDir", "ephemeral", "persistentVolumeClaim"}
    assert {kind for volume in pod["volumes"] for kind in volume} - {"name"} <= allowed
    assert pod["nodeSelector"] == {"accelerator": "h100"}
    assert pod["tolerations"] == [
        {"key": "gpu", "operator": "Exists", "effect": "NoSchedule"},
        {"key": "team", "operator": "Equal", "value": "ml"},
    ]


@pytest.mark.parametrize(
    ("storage_class", "kind"), [(None, "emptyDir"), ("fast-nvme", "ephemeral")]
)
def test_each_volume_is_mounted_once_and_models_are_read_only(storage_class, kind):
    job = train_job(scratch_storage_class=storage_class)
    volumes = {volume["name"]: volume for volume in pod_of(job)["spec"]["volumes"]}
    mounts = {mount["name"]: mount for mount in container_of(job)["volumeMounts"]}
    # The patch merges mounts by name: a second one of a volume would replace the first.
    assert len(mounts) == len(container_of(job)["volumeMounts"]) == len(volumes)
    assert kind in volumes["tmp"]
    assert mounts["models"]["readOnly"] is True
    assert volumes["models"]["persistentVolumeClaim"] == {"claimName": "models", "readOnly": True}
    assert volumes["spec"]["configMap"]["name"] == job["metadata"]["name"]
    # Another job's data is out of sight.
    assert mounts["workspace"]["subPath"] == f"{JOB}/a2"


def test_paths_become_those_of_the_pod():
    spec = a_spec(
        validation_file=f"{FOLDER}/validation.jsonl",
        resume_from=f"{FOLDER}/checkpoint-30",
        warm_start=f"{FOLDER}/warm-start",
    )
    inner = inner_spec(spec)
    changed = {
        "base_model_path": Path("/models/smollm2"),
        "training_file": Path("/workspace/training.jsonl"),
        "validation_file": Path("/workspace/validation.jsonl"),
        "output_dir": Path("/workspace/out"),
        "resume_from": Path("/workspace/checkpoint-30"),
        "warm_start": Path("/workspace/warm-start"),
    }
    assert inner == spec.model_copy(update=changed)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"base_model_path": "/opt/models/smollm2"}, "base_model_path"),
        ({"base_model_path": "/srv/models/../secret"}, "base_model_path"),
        ({"training_file": "/var/lib/finetuned/scratch/ftjob-other/a1/t.jsonl"}, "training_file"),
        ({"output_dir": "/var/lib/finetuned/scratch/out"}, "output_dir"),
        ({"output_dir": "/elsewhere/a1/out"}, "output_dir"),
        ({"output_dir": f"/var/lib/finetuned/scratch/../{JOB}/out"}, "output_dir"),
    ],
)
def test_a_path_that_no_pod_would_see_is_refused(changes, field):
    with pytest.raises(NotMounted, match=f"^{field}: "):
        render(a_spec(**changes), some_options())


def test_what_the_pod_names_is_found_by_the_worker():
    found = on_worker("/workspace/out/checkpoint-30", a_spec())
    assert found == Path(FOLDER) / "out" / "checkpoint-30"


@pytest.mark.parametrize("path", ["/models/x", "/workspace/../etc", "out/adapter", "/workspaces/x"])
def test_nothing_else_is_taken_from_a_message(path):
    with pytest.raises(NotMounted):
        on_worker(path, a_spec())


def test_the_same_attempt_has_the_same_name_and_the_next_another():
    first, again = render(a_spec(), some_options()), render(a_spec(), some_options())
    assert first == again
    following = render(a_spec(attempt=3), some_options())
    assert {m["metadata"]["name"] for m in first} == {f"{JOB}-a2"}
    assert {m["metadata"]["name"] for m in following} == {f"{JOB}-a3"}


@given(st.text(min_size=1, max_size=200), st.integers(min_value=1, max_value=10**9))
def test_names_and_labels_are_valid_whatever_the_id(job_id, attempt):
    name = object_name(job_id, attempt)
    # What JobSet appends for a pod still fits into 63 characters, with up to 10,000 nodes.
    assert len(f"{name}-node-0-9999-abcde") <= 63
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name)
    for value in labels(job_id, attempt).values():
        assert re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", value)


@pytest.mark.parametrize(
    ("one", "other"),
    [("ftjob-ABC", "ftjob-abc"), ("x" * 200, "x" * 199), ("仕事", "職務"), ("a_b", "a-b")],
)
def test_ids_that_look_alike_share_no_name(one, other):
    assert object_name(one, 1) != object_name(other, 1)


def test_names_in_any_script():
    folder = "/var/lib/finetuned/scratch/仕事-ü/a1"
    spec = a_spec(
        job_id="仕事-ü",
        attempt=1,
        base_model="研究/モデル",
        base_model_path="/srv/models/モデル",
        training_file=f"{folder}/training.jsonl",
        output_dir=f"{folder}/out",
    )
    for manifest in render(spec, some_options()):
        assert faults(manifest) == []
        assert manifest["metadata"]["annotations"]["finetuned/job-id"] == "仕事-ü"
        assert manifest["metadata"]["labels"]["finetuned/job"].isascii()
    inner = inner_spec(spec)
    assert inner.base_model == "研究/モデル"
    assert inner.base_model_path == Path("/models/モデル")


def test_no_secret_reaches_a_manifest(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t-value")
    monkeypatch.setenv("FINETUNED_REDIS_URL", "redis://:s3cr3t-value@redis:6379/0")
    options = some_options(**EVERYTHING)
    text = json.dumps([*render(a_spec(), options), runtime(options)])
    assert "s3cr3t-value" not in text
    assert not re.search(r"secret|AWS_|FINETUNED_|redis|s3:", text, re.IGNORECASE)


@pytest.mark.parametrize(
    "name",
    ["AWS_REGION", "FINETUNED_REDIS_URL", "HF_HUB_OFFLINE", "PET_NNODES", "WANDB_API_KEY", "A=B"],
)
def test_a_variable_that_is_reserved_or_a_secret_is_refused(name):
    with pytest.raises(ValidationError):
        some_options(env={name: "x"})


@pytest.mark.parametrize(
    "changes",
    [
        {"nodes": 0},
        {"memory": "lots"},
        {"namespace": "Finetuned Jobs"},
        {"run_as_user": 0},
        {"gpus": 1},
        {"models": {"name": "models", "root": "models"}},
    ],
)
def test_options_that_no_cluster_would_take_are_refused(changes):
    with pytest.raises(ValidationError):
        some_options(**changes)


def launch(tmp_path: Path, *program: str, nodes: int = 1) -> subprocess.Popen[bytes]:
    """Start what the container starts, with the pod's folders below `tmp_path`."""
    shell, flag, script, name = train_job()["spec"]["trainer"]["command"]
    for folder in ("/tmp", "/workspace"):
        (tmp_path / folder[1:]).mkdir()
        script = re.sub(rf'(?<=[ "<>]){folder}(?=/)', str(tmp_path / folder[1:]), script)
    return subprocess.Popen(
        [shell, flag, script, name, *program],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ | {"JOB_COMPLETION_INDEX": "0", "PET_NNODES": str(nodes)},
    )


def test_the_lines_of_the_trainer_go_to_the_workspace(tmp_path):
    missing = tmp_path / "spec.json"
    process = launch(tmp_path, sys.executable, "-m", "service.training", str(missing))
    _, errors = process.communicate()
    assert (process.returncode, errors) == (EXIT_FAILED, b"")
    lines = (tmp_path / "workspace" / "messages-0.jsonl").read_bytes().splitlines()
    [failed] = [parse_message(line) for line in lines]
    assert isinstance(failed, Failed)
    assert failed.code == "invalid_spec"


def test_trainers_that_do_not_know_of_each_other_do_not_start(tmp_path):
    process = launch(tmp_path, "touch", str(tmp_path / "started"), nodes=2)
    _, errors = process.communicate()
    assert process.returncode == 1
    assert b"set nodes to 1" in errors
    assert not (tmp_path / "started").exists()


WAITING = """
import os, sys
from service.training.channel import Channel, StopFlag, listen, stop_on_signals
from service.training.protocol import Stopped

channel, flag = Channel.claim_stdout(), StopFlag()
stop_on_signals(flag)
os.write(0, b"\\n")           # its own stdin can be written, so it never ends
assert os.read(0, 1) == b"\\n"
listen(flag)
open(sys.argv[1], "w").close()
while not flag._event.wait(0.05):
    pass
flag.finish()
channel.send(Stopped(step=0, path=None))
"""


def test_the_trainer_outlives_its_missing_parent_and_obeys_sigterm(tmp_path):
    ready = tmp_path / "ready"
    process = launch(tmp_path, sys.executable, "-c", WAITING, str(ready))
    try:
        while not ready.exists() and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)  # to the process that the container runtime knows
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, errors) == (0, b"")
    [line] = (tmp_path / "workspace" / "messages-0.jsonl").read_bytes().splitlines()
    assert parse_message(line).type == "stopped"
