"""Follows a fine-tuning job to its end and shows its events and a progress bar."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import openai
from openai.types.fine_tuning import FineTuningJob, FineTuningJobEvent
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

FINAL = ("succeeded", "failed", "cancelled")
POLL_EVERY_S = 2.0
PLAIN_LINES = 10  # number of progress lines per run without a terminal


class Display(Protocol):
    """Interface for showing the progress of a job."""

    def message(self, text: str) -> None: ...
    def step(self, step: int, total: int, loss: float) -> None: ...


class BarDisplay:
    """Live progress bar with the loss; messages scroll above it."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("waiting", total=None, loss="")

    def message(self, text: str) -> None:
        self._progress.console.print(f"  {text}", markup=False)

    def step(self, step: int, total: int, loss: float) -> None:
        self._progress.update(
            self._task,
            description="training",
            completed=step,
            total=total,
            loss=f"loss {loss:.3f}",
        )


class LineDisplay:
    """Periodic plain lines, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def message(self, text: str) -> None:
        self._console.print(f"  {text}", markup=False)

    def step(self, step: int, total: int, loss: float) -> None:
        if step in (1, total) or step % max(1, total // PLAIN_LINES) == 0:
            self.message(f"step {step}/{total}  loss {loss:.3f}")


def watch(client: openai.OpenAI, job_id: str, console: Console) -> FineTuningJob:
    """Show the job's events until it is final, and return it. Ctrl-C cancels the job."""
    progress = _progress(console) if console.is_terminal else None
    frame: AbstractContextManager[object] = progress or nullcontext()
    try:
        with frame:
            display = LineDisplay(console) if progress is None else BarDisplay(progress)
            for event in events(client, job_id):
                _show(event, display)
    except KeyboardInterrupt:
        _cancel(client, job_id, console)
        raise
    return client.fine_tuning.jobs.retrieve(job_id)


def events(client: openai.OpenAI, job_id: str) -> Iterator[FineTuningJobEvent]:
    """Yield every event of the job once, oldest first, until the job is final.

    Reads server-sent events. If the stream is unavailable or breaks, polling continues where it
    stopped.
    """
    seen: set[str] = set()
    try:
        for event in _streamed(client, job_id):
            seen.add(event.id)
            yield event
    except openai.APIError:
        pass  # polling retries, and raises if the server is really gone
    yield from _polled(client, job_id, seen)


def _streamed(client: openai.OpenAI, job_id: str) -> Iterator[FineTuningJobEvent]:
    # The SDK has no method for the live stream, but its client can read any event stream.
    with client.get(
        f"/fine_tuning/jobs/{job_id}/events",
        cast_to=FineTuningJobEvent,
        options={"params": {"stream": "true"}, "headers": {"Accept": "text/event-stream"}},
        stream=True,
        stream_cls=openai.Stream[FineTuningJobEvent],
    ) as stream:
        yield from stream


def _polled(client: openai.OpenAI, job_id: str, seen: set[str]) -> Iterator[FineTuningJobEvent]:
    while True:
        # Get the status first, so that the list has all events from before it became final.
        final = client.fine_tuning.jobs.retrieve(job_id).status in FINAL
        fresh: list[FineTuningJobEvent] = []
        for event in client.fine_tuning.jobs.list_events(job_id, limit=100):
            if event.id in seen:
                break
            fresh.append(event)
        seen.update(event.id for event in fresh)
        yield from reversed(fresh)
        if final:
            return
        time.sleep(POLL_EVERY_S)


def _show(event: FineTuningJobEvent, display: Display) -> None:
    data = event.data
    if event.type == "metrics" and isinstance(data, Mapping):
        display.step(int(data["step"]), int(data["total_steps"]), float(data["train_loss"]))
    else:
        mark = "" if event.level == "info" else f"{event.level}: "
        display.message(mark + event.message)


def _cancel(client: openai.OpenAI, job_id: str, console: Console) -> None:
    console.print("stopping: the job is being cancelled")
    try:
        client.fine_tuning.jobs.cancel(job_id)
    except openai.APIError as error:
        console.print(f"the job could not be cancelled: {error}", markup=False)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("  {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )
