"""Supervises a run whose ranks are actors of a Ray cluster.

This process is to the worker what the supervisor of ranks on one machine is
(`service.training.parallel.launcher`): it forwards the messages of rank 0, passes a stop command
on, and ends all ranks when one fails. It also carries files, because the nodes need not share a
disk with it: the rows, the checkpoint and the adapter to start from go to each node, and the
folders that rank 0 announces come back before the worker hears of them. So nodes need no access to
storage.

If this process dies, Ray ends the actors, whose processes die with them.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, Final

from service.training.contract.child_process import Channel, StopFlag, Traffic
from service.training.contract.failures import TrainingFailure, classify
from service.training.contract.protocol import (
    EXIT_FAILED,
    EXIT_STOPPED,
    CheckpointSaved,
    Failed,
    Message,
    Noted,
    Started,
    StopCommand,
    Stopped,
    Succeeded,
    Warned,
    encode,
)
from service.training.contract.spec import TrainSpec
from service.training.model.base_folder import base_digest, invalid_model
from service.training.parallel.launcher import Cluster, RankOutput, RankSpec, die_of_signal, judge
from service.training.parallel.ray_node import RankHost, versions

log: Final = logging.getLogger("service.training")

_CONNECT_S: Final = 600.0  # how long to try a cluster that does not answer
_RETRY_S: Final = 5.0
_QUIET_S: Final = 10.0  # a shorter wait for free GPUs is not worth an event
_POLL_S: Final = 0.2
_READ_S: Final = 1.0
_CHUNK_BYTES: Final = 8 * 2**20
# Time from the first rank's exit until the rest are killed, as on one machine.
_GRACE_S: Final = 5.0
# A rank whose peer is gone fails at once, but Ray may need this long to notice that the peer's node
# is gone, which is no failure of the run.
_NODE_GRACE_S: Final = 60.0
_END_S: Final = 30.0
_NO_PACKAGE: Final = "No module named"


class _ClusterLost(Exception):
    """The cluster stopped responding. The next attempt may find it again."""


def supervise_on_ray(
    cluster: Cluster, spec: TrainSpec, channel: Channel, flag: StopFlag, traffic: Traffic
) -> int:
    """Run the ranks of `spec` on a Ray cluster and return the exit code.

    An exit with `EXIT_FAILED` and without a failure means that another attempt may succeed. Raises
    `TrainingFailure` if the cluster cannot run the training.
    """
    if spec.training_method.samples_answers:
        raise TrainingFailure(
            "invalid_spec",
            f'Method "{spec.method}" cannot be trained on a Ray cluster, because its samples are '
            "exchanged as files on one machine. Train it on a worker with GPUs of its own.",
            param="method",
        )
    ray = _import_ray()
    try:
        with _connected(ray, cluster, channel, flag):
            run = Run(ray, cluster, spec, channel, flag, traffic)
            try:
                verdict = run.verdict()
            finally:
                run.end()
    except _Stopped:
        flag.finish()
        channel.send(_stopped(spec))
        return EXIT_STOPPED
    except (_ClusterLost, ConnectionError) as error:
        log.error("%s: %s", type(error).__name__, str(error)[:500])
        text = "The Ray cluster stopped responding, or one of its nodes was lost"
        channel.send(Warned(code="node_lost", message=text))
        return EXIT_FAILED
    flag.finish()
    if isinstance(verdict, Failed):
        channel.send(verdict)
        return EXIT_FAILED
    if verdict < 0:
        die_of_signal(-verdict)
    return verdict


class _Stopped(Exception):
    """A stop command came before the ranks were started."""


def _stopped(spec: TrainSpec) -> Stopped:
    return Stopped(step=0, path=str(spec.resume_from) if spec.resume_from else None)


def _import_ray() -> Any:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # If this process is killed, its actors end after this time instead of 30 s.
    os.environ.setdefault("RAY_CLIENT_RECONNECT_GRACE_PERIOD", "5")
    try:
        return importlib.import_module("ray")
    except ModuleNotFoundError:
        raise TrainingFailure(
            "internal_error",
            "The worker has no package 'ray', which it needs for FINETUNED_RAY_ADDRESS. Ask the "
            "operator to install finetuned-server[ray].",
        ) from None


@contextlib.contextmanager
def _connected(ray: Any, cluster: Cluster, channel: Channel, flag: StopFlag) -> Iterator[None]:
    give_up_at, has_warned = time.monotonic() + _CONNECT_S, False
    while True:
        try:
            ray.init(cluster.address, log_to_driver=False, logging_level=logging.ERROR)
            break
        except ConnectionError as error:
            log.warning("the Ray cluster does not answer: %s", str(error)[:500])
            if time.monotonic() > give_up_at:
                raise _ClusterLost from error
            if not has_warned:
                text = f"The Ray cluster does not answer; trying for {_CONNECT_S / 60:.0f} minutes"
                channel.send(Warned(code="cluster_away", message=text))
                has_warned = True
        except RuntimeError as error:  # such as another version of Ray or of Python
            log.error("%s", str(error)[:2000])
            raise TrainingFailure(
                "internal_error",
                "The Ray cluster refuses this worker. Ask the operator: the worker's log says why.",
            ) from error
        for _ in range(int(_RETRY_S / _POLL_S)):
            if flag.is_set():
                raise _Stopped
            time.sleep(_POLL_S)
    try:
        yield
    finally:
        with contextlib.suppress(Exception):
            ray.shutdown()


@dataclass
class _Rank(RankOutput):
    host: Any = field(kw_only=True)
    lost: bool = False

    @property
    def is_over(self) -> bool:
        return self.code is not None or self.lost


class Run:
    """The ranks of one run, from their placement to their end."""

    def __init__(
        self,
        ray: Any,
        cluster: Cluster,
        spec: TrainSpec,
        channel: Channel,
        flag: StopFlag,
        traffic: Traffic,
    ) -> None:
        self._ray = ray
        self._device = cluster.device
        self._spec = spec
        self._channel = channel
        self._flag = flag
        self._traffic = traffic
        self._group: Any = None
        self._ranks: list[_Rank] = []
        self._leaders: list[Any] = []  # one actor of each node

    def verdict(self) -> Failed | int:
        """Start the ranks, and return the outcome of the run.

        Raises `_ClusterLost`, `_Stopped` and `TrainingFailure`.
        """
        try:
            self._place()
            self._start()
            self._watch()
        except self._ray.exceptions.RayTaskError as error:
            # An error of an actor's method, such as a full disk.
            doing = "copying files to or from a node of the Ray cluster"
            raise classify(error.cause, doing=doing, output_dir=self._spec.output_dir) from None
        except self._ray.exceptions.RayError as error:
            if _NO_PACKAGE in str(error):
                log.error("%s", str(error)[-2000:])
                raise TrainingFailure(
                    "internal_error",
                    "Nodes of the Ray cluster lack packages. Ask the operator to install "
                    "finetuned-server[worker,ray] on all of them; the worker's log names one.",
                ) from None
            raise _ClusterLost(f"{type(error).__name__}: {error}") from error
        lost = [rank for rank in self._ranks if rank.lost]
        verdict = judge(self._ranks)
        if lost and (not isinstance(verdict, Failed) or verdict.code == "internal_error"):
            raise _ClusterLost(f"rank {lost[0].index} was lost with its node")
        if isinstance(verdict, Failed) or verdict < 0:
            self._copy_logs()
        return verdict

    def end(self) -> None:
        """End all ranks and delete their files. A cluster that is down does so on its own."""
        ray = self._ray
        with contextlib.suppress(Exception):
            alive = [rank.host for rank in self._ranks if not rank.lost]
            ended = [host.end.remote() for host in alive]
            ray.wait(ended, num_returns=len(ended), timeout=_END_S)
            cleared = [host.clear.remote() for host in alive]
            ray.wait(cleared, num_returns=len(cleared), timeout=_END_S)
        for rank in self._ranks:
            with contextlib.suppress(Exception):
                ray.kill(rank.host)
        if self._group is not None:
            with contextlib.suppress(Exception):
                ray.util.remove_placement_group(self._group)

    def _place(self) -> None:
        """Reserve the devices, on as few nodes as possible, and start an actor for each rank."""
        ray, count = self._ray, self._spec.gpus
        bundle = {"CPU": 1} | ({"GPU": 1} if self._device == "cuda" else {})
        self._group = ray.util.placement_group([bundle] * count, strategy="PACK")
        self._wait_for_devices()
        strategy = ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy
        actor = ray.remote(RankHost)
        for index in range(count):
            host = actor.options(
                num_cpus=1,
                num_gpus=bundle.get("GPU", 0),
                max_concurrency=4,
                scheduling_strategy=strategy(self._group, placement_group_bundle_index=index),
            ).remote()
            self._ranks.append(_Rank(index, host=host))

    def _wait_for_devices(self) -> None:
        began, has_reported = time.monotonic(), False
        while not self._group.wait(timeout_seconds=1):
            if self._flag.is_set():
                raise _Stopped
            if not has_reported and time.monotonic() - began > _QUIET_S:
                has_reported = True
                device = "GPUs" if self._device == "cuda" else "CPUs"
                text = f"Waiting until the Ray cluster has {self._spec.gpus} free {device}"
                self._channel.send(Noted(code="waiting_for_nodes", message=text))

    def _start(self) -> None:
        described = self._all(lambda rank: rank.host.describe.remote())
        self._check_versions(described)
        nodes = [about["node"] for about in described]
        leaders = {node: nodes.index(node) for node in nodes}
        self._leaders = [self._ranks[index].host for index in leaders.values()]
        self._check_base_model()
        log.info("ranks run on nodes %s", ", ".join(about["address"] for about in described))
        words = f"{self._spec.gpus} processes on {len(leaders)} nodes of the Ray cluster"
        self._channel.send(Noted(code="placed_on_nodes", message=f"The training runs as {words}"))

        get = self._ray.get
        folders = dict(
            zip(leaders, get([leader.prepare.remote() for leader in self._leaders]), strict=True)
        )
        for path, name in self.inputs():
            self._send_file(path, [f"{folder}/{name}" for folder in folders.values()])
        if self._flag.is_set():
            raise _Stopped
        address = described[0]["address"]
        port = get(self._ranks[0].host.meet.remote(address))
        self._all(
            lambda rank: rank.host.start.remote(
                self.spec_in(folders[nodes[rank.index]]).model_dump_json(),
                RankSpec(rank=rank.index, host=address, port=port).model_dump_json(),
                self._device,
                described[rank.index]["address"],
                nodes.count(nodes[rank.index]),
            )
        )

    def _check_versions(self, described: Sequence[dict[str, str]]) -> None:
        for name, wanted in versions().items():
            if others := sorted({about[name] for about in described} - {wanted}):
                raise TrainingFailure(
                    "internal_error",
                    f"Nodes of the Ray cluster have {name} {', '.join(others)}, but the worker has "
                    f"{wanted}. Ask the operator to install the same version on all of them.",
                )

    def _check_base_model(self) -> None:
        path = self._spec.base_model_path
        found = self._ray.get([leader.digest.remote(str(path)) for leader in self._leaders])
        wanted, count = base_digest(path), len(found)
        for faulty, what in (
            (sum(digest is None for digest in found), "is missing"),
            (sum(digest != wanted for digest in found), "differs from the worker's"),
        ):
            if faulty:
                log.error("the base model in %s %s on %d of %d nodes", path, what, faulty, count)
                raise invalid_model(
                    self._spec,
                    f"its folder {what} on {faulty} of {count} nodes of the Ray cluster; every "
                    "node needs the same folder at the same path as the worker",
                )

    def inputs(self) -> Iterator[tuple[Path, str]]:
        """Yield each file that the ranks read, and its path below the folder of a node."""
        spec = self._spec
        for path in (spec.training_file, spec.validation_file):
            if path is not None:
                yield path, path.name
        for folder in (spec.resume_from, spec.warm_start_path):
            if folder is not None:
                for path in sorted(folder.iterdir()):
                    yield path, f"{folder.name}/{path.name}"

    def spec_in(self, folder: str) -> TrainSpec:
        """Return the spec with the paths of a node."""
        spec, there = self._spec, Path(folder)
        paths = {
            name: there / path.name
            for name in ("training_file", "validation_file", "resume_from", "warm_start_path")
            if (path := getattr(spec, name)) is not None
        }
        return spec.model_copy(update={**paths, "output_dir": there / "out"})

    def _send_file(self, path: Path, targets: Sequence[str]) -> None:
        with path.open("rb") as file:
            offset = 0
            while True:
                chunk = file.read(_CHUNK_BYTES)
                if not chunk and offset:
                    return
                data = self._ray.put(chunk)
                self._ray.get(
                    [
                        leader.write.remote(target, offset, data)
                        for leader, target in zip(self._leaders, targets, strict=True)
                    ]
                )
                offset += len(chunk)
                if not chunk:
                    return

    def _watch(self) -> None:
        """Return once rank 0 is done or a rank has failed, and the others had time to exit too."""
        ray, has_reported, reports, give_up_at = self._ray, False, 0, float("inf")
        reading = {rank.host.read.remote(_READ_S): rank for rank in self._ranks}
        while reading and time.monotonic() < give_up_at:
            if self._flag.is_set() and not has_reported:
                has_reported = True
                for rank in reading.values():
                    rank.host.send.remote(encode(StopCommand()))
            if self._traffic.count != reports and (newest := self._traffic.newest):
                reports = self._traffic.count
                for rank in reading.values():
                    rank.host.send.remote(encode(newest))
            ready, _ = ray.wait(list(reading), timeout=_POLL_S)
            for read in ready:
                rank = reading.pop(read)
                try:
                    chunk, code = ray.get(read)
                except ray.exceptions.RayActorError as error:
                    log.warning("rank %d is lost: %s", rank.index, type(error).__name__)
                    rank.lost = True
                    continue
                rank.take(chunk, self._deliver)
                rank.code = code
                if not rank.is_over:
                    reading[rank.host.read.remote(_READ_S)] = rank
            if (grace := self._grace()) is not None:
                give_up_at = min(give_up_at, time.monotonic() + grace)

    def _grace(self) -> float | None:
        """Return how long the other ranks still have; None while the run continues."""
        first = self._ranks[0]
        failed = [rank for rank in self._ranks if rank.lost or rank.code not in (None, 0, 3)]
        if failed and not any(rank.lost for rank in self._ranks):
            known = [rank.failed for rank in failed if rank.failed]
            if known and all(failure.code == "internal_error" for failure in known):
                return _NODE_GRACE_S
        return _GRACE_S if failed or first.is_over else None

    def _deliver(self, message: Message) -> None:
        """Send a message of rank 0 to the worker, after the folder that it announces is here."""
        match message:
            case Started(adapter_path=str() as path):
                message = message.model_copy(update={"adapter_path": self._fetch(path)})
            case Succeeded(adapter_path=path):
                message = message.model_copy(update={"adapter_path": self._fetch(path)})
            case CheckpointSaved(path=path):
                message = message.model_copy(update={"path": self._fetch(path)})
            case Stopped(path=str() as path):
                # Its checkpoint was announced before.
                message = message.model_copy(update={"path": str(self._local_path(path))})
        if isinstance(message, Succeeded | Stopped):
            self._flag.finish()
        self._channel.send(message)

    def _local_path(self, path: str) -> Path:
        return self._spec.output_dir / require_bare_name(PurePath(path).name)

    def _fetch(self, path: str) -> str:
        """Move a folder of rank 0's node to this machine, and return its path here."""
        host, get = self._ranks[0].host, self._ray.get
        target = self._local_path(path)
        target.mkdir(parents=True, exist_ok=True)
        for name, size in get(host.files.remote(path)).items():
            with (target / require_bare_name(name)).open("wb") as file:
                for offset in range(0, size, _CHUNK_BYTES):
                    file.write(get(host.read_file.remote(f"{path}/{name}", offset, _CHUNK_BYTES)))
        get(host.discard.remote(path))
        return str(target)

    def _copy_logs(self) -> None:
        """Copy the ends of the ranks' logs to stderr, where the worker looks for causes."""
        for rank in self._ranks:
            with contextlib.suppress(self._ray.exceptions.RayError):
                tail = self._ray.get(rank.host.log_tail.remote(), timeout=_END_S)
                sys.stderr.write(tail.decode("utf-8", "replace"))

    def _all(self, call: Callable[[_Rank], Any]) -> list[Any]:
        results: list[Any] = self._ray.get([call(rank) for rank in self._ranks])
        return results


def require_bare_name(name: str) -> str:
    """Return a file name from a node. Raises RuntimeError if it would lead out of its folder."""
    if PurePath(name).name != name or name in ("", ".."):
        raise RuntimeError("a node names a file outside the folder")
    return name
