"""What differs between threads and asyncio. The synchronous client uses the second of each pair."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

T = TypeVar("T")
async_sleep = asyncio.sleep
sleep = time.sleep


async def async_call(function: Callable[..., T], *arguments: object) -> T:
    """Call a function that may block, in a thread."""
    return await asyncio.to_thread(function, *arguments)


def call(function: Callable[..., T], *arguments: object) -> T:
    """Call a function that may block."""
    return function(*arguments)


async def async_together(calls: Iterator[Callable[[], Awaitable[T]]], concurrency: int) -> list[T]:
    """Run calls, up to `concurrency` at once, and return their results in order.

    Calls are taken from the iterator only when there is room for another; it may block.
    """
    results: dict[int, T] = {}
    turn = asyncio.Lock()
    numbered = enumerate(calls)

    async def work() -> None:
        while True:
            async with turn:
                number, function = await asyncio.to_thread(next, numbered, (-1, None))
            if function is None:
                return
            results[number] = await function()

    tasks = [asyncio.create_task(work()) for _ in range(concurrency)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return [results[number] for number in sorted(results)]


def together(calls: Iterator[Callable[[], T]], concurrency: int) -> list[T]:
    """Run calls in threads, up to `concurrency` at once, and return their results in order."""
    results: dict[int, T] = {}
    failures: list[BaseException] = []
    turn = threading.Lock()
    numbered = enumerate(calls)

    def work() -> None:
        try:
            while True:
                with turn:
                    number, function = (-1, None) if failures else next(numbered, (-1, None))
                if function is None:
                    return
                results[number] = function()
        except BaseException as e:  # noqa: BLE001 - raised again by the caller's thread
            failures.append(e)

    # Daemon threads: an interrupted program does not wait for requests in flight.
    threads = [threading.Thread(target=work, daemon=True) for _ in range(concurrency)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException as e:
        failures.append(e)
        raise
    if failures:
        raise failures[0]
    return [results[number] for number in sorted(results)]
