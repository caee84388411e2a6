"""``python -m service.training SPEC.json``: runs one training in a child process.

If the spec sets `gpus`, this process starts one process of the same kind per GPU and passes each a
second argument (`launcher.RankSpec`). If it has a second argument of its own (`launcher.Cluster`),
it has a Ray cluster start them.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import traceback
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from service.garbage_collection import quick_imports
from service.offline import refuse_hub_kernels
from service.training.contract.child_process import (
    Channel,
    Inbox,
    StopFlag,
    Traffic,
    allocator_variables,
    die_with_parent,
    listen,
    offline_variables,
    stop_on_signals,
)
from service.training.contract.failures import TrainingFailure, classify
from service.training.contract.protocol import (
    EXIT_FAILED,
    EXIT_STOPPED,
    EXIT_SUCCEEDED,
    Failed,
    Stopped,
    Succeeded,
)
from service.training.contract.spec import TrainSpec, describe_faults
from service.training.model.base_folder import check_folder
from service.training.parallel.launcher import Cluster, RankSpec, supervise

log: Final = logging.getLogger("service.training")
_RANK_OR_CLUSTER: Final[TypeAdapter[RankSpec | Cluster]] = TypeAdapter(RankSpec | Cluster)


def main(arguments: list[str]) -> int:
    """Run the spec named by the first argument and return the exit code."""
    channel = Channel.claim_stdout()
    flag, traffic, inbox = StopFlag(), Traffic(), Inbox()
    die_with_parent()
    stop_on_signals(flag)
    listen(flag, traffic, inbox=inbox)
    faulthandler.enable()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    log.setLevel(logging.INFO)
    try:
        spec, target = _read_spec(arguments)
        if isinstance(target, Cluster):
            from service.training.parallel.ray_supervisor import supervise_on_ray

            return supervise_on_ray(target, spec, channel, flag, traffic)
        if spec.gpus > 1 and target is None:
            return supervise(spec, arguments[0], channel, flag, traffic, inbox)
        outcome = run_spec(spec, target, channel, flag, traffic, inbox)
    except TrainingFailure as failure:
        outcome = _failed(failure)
    flag.finish()
    channel.send(outcome)
    match outcome:
        case Succeeded():
            return EXIT_SUCCEEDED
        case Stopped():
            return EXIT_STOPPED
        case Failed():
            return EXIT_FAILED


def run_spec(
    spec: TrainSpec,
    rank: RankSpec | None,
    channel: Channel,
    flag: StopFlag,
    traffic: Traffic,
    inbox: Inbox,
) -> Succeeded | Stopped | Failed:
    """Run a spec, sending messages to `channel`, and return the last one."""
    set_environment(spec.output_dir)
    doing = "loading the libraries"

    def enter(phase: str) -> None:
        nonlocal doing
        doing = phase
        log.info("%s", phase)

    try:
        spec.output_dir.mkdir(parents=True, exist_ok=True)
        check_folder(spec)
        # This import is deferred because it loads torch, which takes seconds.
        with quick_imports():
            from service.training.loop.run import run
        return run(spec, channel, flag, enter, rank, traffic, inbox)
    except TrainingFailure as failure:
        return _failed(failure)
    except Exception as error:  # noqa: BLE001  # process boundary: reported to the parent
        _log_stack(error)
        return _failed(classify(error, doing=doing, output_dir=spec.output_dir))


def _failed(failure: TrainingFailure) -> Failed:
    return Failed(
        code=failure.code,
        message=failure.message,
        param=failure.param,
        suggested_tokens_at_once=failure.suggested_tokens_at_once,
    )


def _read_spec(arguments: list[str]) -> tuple[TrainSpec, RankSpec | Cluster | None]:
    if len(arguments) not in (1, 2):
        raise TrainingFailure("invalid_spec", "Usage: python -m service.training SPEC.json")
    try:
        spec = TrainSpec.model_validate_json(Path(arguments[0]).read_bytes())
        return spec, _RANK_OR_CLUSTER.validate_json(arguments[1]) if arguments[1:] else None
    except OSError as error:
        raise TrainingFailure(
            "invalid_spec", f"The spec cannot be read: {error.strerror}."
        ) from error
    except ValidationError as error:
        message = f"The spec is malformed: {describe_faults(error)}"
        raise TrainingFailure("invalid_spec", message) from error


def set_environment(output_dir: Path) -> None:
    """Set the environment before any library is imported.

    Libraries then make no network calls, write only under `output_dir`, wait on threads without
    spinning, and do not load the compiler.
    """
    os.environ.update(offline_variables(output_dir / "cache"))
    refuse_hub_kernels()
    os.environ.update(allocator_variables(os.environ))
    # OpenMP threads spin for milliseconds at each barrier. When the engine or a second run shares
    # the cores, that is costly: two trainers on two cores took over 20 times as long, versus twice
    # as long (their fair share) with short spins. For a trainer running alone, short spins cost
    # about 10%.
    os.environ.setdefault("GOMP_SPINCOUNT", "100")
    # Otherwise CUDA numbers the fastest GPU 0, and NVML, by which GPUs are chosen, does not.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    # Each trainer uses one device: the first of the visible ones.
    os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]


def _log_stack(error: BaseException) -> None:
    # Log only code locations: the exception text and local values may contain training data.
    frames = "".join(traceback.format_tb(error.__traceback__))
    log.error("%s\n%s", type(error).__name__, frames)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stderr.flush()
    # Skip the libraries' exit handlers, which can take seconds or change the exit code.
    os._exit(code)
