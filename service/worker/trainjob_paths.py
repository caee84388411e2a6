"""The paths of a training: where the worker has a file, and where its pod has it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from service.training.spec import TrainSpec
from service.worker.trainjob_options import TrainJobOptions

WORKSPACE: Final = Path("/workspace")  # in the pod: the attempt's own folder
MODELS: Final = Path("/models")


class NotMounted(ValueError):
    """A path that the other side does not see."""


def attempt_folder(spec: TrainSpec) -> Path:
    """The worker's folder for this attempt alone."""
    return spec.output_dir.parent


def in_pod(spec: TrainSpec, options: TrainJobOptions) -> TrainSpec:
    """The spec with the paths of the pod. Raises `NotMounted`."""
    folder = attempt_folder(spec)
    if _moved(folder, options.workspace.root, WORKSPACE) in (None, WORKSPACE):
        raise NotMounted(
            f"output_dir: {spec.output_dir} is not in an attempt's folder below "
            f"{options.workspace.root}. Set FINETUNED_SCRATCH_DIR to the root of the workspace."
        )
    moved = {}
    for name in TrainSpec.model_fields:  # so that no path is forgotten that is yet to come
        path = getattr(spec, name)
        if not isinstance(path, Path):
            continue
        inner = _moved(path, folder, WORKSPACE) or _moved(path, options.models.root, MODELS)
        if inner is None:
            raise NotMounted(
                f"{name}: {path} is neither in the attempt's folder {folder} nor below the "
                f"models at {options.models.root}. Put it on one of the two volumes."
            )
        moved[name] = inner
    return spec.model_copy(update=moved)


def on_worker(path: str, spec: TrainSpec) -> Path:
    """Where the worker has what a message of the pod names. Raises `NotMounted`."""
    found = _moved(Path(path), WORKSPACE, attempt_folder(spec))
    if found is None:
        raise NotMounted(f"The trainer named a path that is not below {WORKSPACE}.")
    return found


def _moved(path: Path, root: Path, target: Path) -> Path | None:
    if ".." in path.parts or not path.is_relative_to(root):
        return None
    return target / path.relative_to(root)
