"""Summary at the end of a test run: counts, reasons for skips, and the slowest tests.

Processes are counted as they appear in /proc; trainers and engines live for seconds. Forks of the
trainers' fork server are counted separately, because starting one is cheap.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

_SLOWEST: Final = 10
_EVERY_S: Final = 0.5
# A process starts its program within the time of these looks; later ones would only cost time.
_LOOKS: Final = 3
# All processes that a run starts inherit this variable.
_MARK: Final = "PYTEST_RUN_ID"
_KINDS: Final = {
    b"service.training\0": "trainer",
    b"inference.engine.server": "engine",
    b"\0inference\0": "engine",  # `finetuned-server inference` becomes one, but only later
}
_FORKS: Final = "forked trainers"


class StartCounter:
    """Counts the trainers and engines that this run starts."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._seen: set[tuple[str, str, str]] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="starts", daemon=True)
        os.environ.setdefault(_MARK, uuid.uuid4().hex)

    def start(self) -> None:
        """Start counting."""
        self._thread.start()

    def stop(self) -> None:
        """Stop counting."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        looks: dict[Path, int] = {}
        while not self._over.wait(_EVERY_S):
            looks = {path: looks.get(path, 0) + 1 for path in Path("/proc").glob("[0-9]*")}
            for folder, count in looks.items():
                if count <= _LOOKS:
                    self._look_at(folder)

    def _look_at(self, folder: Path) -> None:
        try:
            words = (folder / "cmdline").read_bytes()
            kind = next((name for part, name in _KINDS.items() if part in words), None)
            if kind is None:
                return
            began, parent = _stat(folder)
            known = (folder.name, began, kind)
            # Before its exec, a process has its parent's command line.
            if known in self._seen or words == (folder.parent / parent / "cmdline").read_bytes():
                return
            if os.environ[_MARK].encode() in (folder / "environ").read_bytes():
                self._seen.add(known)
                self.counts[kind] += 1
        except OSError:
            return  # it has ended


def _stat(folder: Path) -> tuple[str, str]:
    """Return when a process started, in ticks since boot, and its parent."""
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    return fields[19], fields[1]


class Summary:
    """The plugin in the process that reports."""

    def __init__(self) -> None:
        self.starts = StartCounter()
        self.forks = 0
        self._began_at = time.monotonic()

    def pytest_sessionstart(self) -> None:
        self.starts.start()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Collect the counts of an xdist worker that has ended."""
        self.forks += getattr(node, "workeroutput", {}).get(_FORKS, 0)

    def pytest_sessionfinish(self) -> None:
        self.forks += _forked()
        self.starts.stop()

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print the summary after pytest's own sections."""
        stats = terminalreporter.stats
        counts = {name: len(stats.get(name, ())) for name in ("passed", "failed", "error")}
        minutes = (time.monotonic() - self._began_at) / 60
        terminalreporter.section("summary", sep="=")
        ran = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        terminalreporter.line(f"tests     {ran or 'none'} in {minutes:.1f} minutes")
        for reason, count in _skips(stats.get("skipped", ())).most_common():
            terminalreporter.line(f"skipped   {count:4}  {reason}")
        for seconds, test in _slowest(stats):
            terminalreporter.line(f"slowest   {seconds:4.0f} s  {test}")
        found = self.starts.counts
        terminalreporter.line(
            f"starts    {found['trainer']} trainers, {self.forks} {_FORKS}, "
            f"{found['engine']} engines"
        )


def _skips(reports: Any) -> Counter[str]:
    reasons = (r.longrepr[2] if isinstance(r.longrepr, tuple) else str(r.longrepr) for r in reports)
    return Counter(reason.removeprefix("Skipped: ") for reason in reasons)


def _slowest(stats: dict[str, list[Any]]) -> list[tuple[float, str]]:
    """Return the slowest tests, including the time of their fixtures."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for report in _reports(stats):
        seconds[report.nodeid] += report.duration
    slowest = sorted(seconds.items(), key=lambda found: -found[1])
    return [(taken, test) for test, taken in slowest[:_SLOWEST]]


def _reports(stats: dict[str, list[Any]]) -> Iterator[pytest.TestReport]:
    for reports in stats.values():
        yield from (report for report in reports if isinstance(report, pytest.TestReport))


def _forked() -> int:
    """Return how many trainers this process has forked."""
    forked = sys.modules.get("tests.training.forked")
    return forked.ForkedTrainer.started if forked else 0


class WorkerCount:
    """The plugin in an xdist worker: sends what only the worker knows."""

    def __init__(self, output: dict[str, Any]) -> None:
        self._output = output

    def pytest_sessionfinish(self) -> None:
        self._output[_FORKS] = _forked()


def pytest_configure(config: pytest.Config) -> None:
    """Register the plugin for this process."""
    output = getattr(config, "workeroutput", None)
    plugin = Summary() if output is None else WorkerCount(output)
    config.pluginmanager.register(plugin, "finetuned-summary")
