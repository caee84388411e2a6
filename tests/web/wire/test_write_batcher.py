"""Tests of when held writes are sent in a real event loop, and of failing writes."""

from __future__ import annotations

import asyncio
from functools import partial

from service.web.wire.write_batcher import WriteBatcher


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_writes_go_out_together_in_the_order_they_came():
    batcher = WriteBatcher.for_loop(asyncio.get_running_loop())
    written: list[int] = []
    for number in range(3):
        batcher.add(partial(written.append, number))
        await turns(1)
        assert written == []
    await turns(3)
    assert written == [0, 1, 2]


async def test_a_write_alone_waits_for_less():
    batcher = WriteBatcher.for_loop(asyncio.get_running_loop())
    written: list[str] = []
    batcher.add(lambda: written.append("alone"))
    await turns(3)
    assert written == ["alone"]


async def test_what_a_write_adds_goes_out_after_it():
    batcher = WriteBatcher.for_loop(asyncio.get_running_loop())
    written: list[str] = []

    def first() -> None:
        written.append("first")
        batcher.add(lambda: written.append("second"))

    batcher.add(first)
    await turns(6)
    assert written == ["first", "second"]


async def test_a_write_that_fails_is_logged_and_the_others_go_out(caplog):
    batcher = WriteBatcher.for_loop(asyncio.get_running_loop())
    written: list[str] = []

    def broken() -> None:
        raise OSError("the network is unreachable")

    batcher.add(broken)
    batcher.add(lambda: written.append("other"))
    await turns(6)
    assert written == ["other"]
    assert "a write failed" in caplog.text


def test_a_loop_that_is_over_leaves_nothing_behind():
    async def of_this_loop() -> WriteBatcher:
        return WriteBatcher.for_loop(asyncio.get_running_loop())

    first, second = asyncio.run(of_this_loop()), asyncio.run(of_this_loop())
    assert first is not second
    assert first not in WriteBatcher._all.values()
