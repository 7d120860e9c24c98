from __future__ import annotations

import asyncio
import threading
import time

from hub.stopping import Stopping


def test_it_begins_once_and_counts_from_then() -> None:
    stopping = Stopping()
    assert not stopping.begun
    assert stopping.left(5) == 5

    stopping.begin()
    time.sleep(0.02)
    stopping.begin()

    assert stopping.begun
    assert stopping.left(5) <= 4.98
    assert stopping.left(0.01) == 0


def test_coroutines_are_called_from_another_thread_in_their_own_loop() -> None:
    stopping = Stopping()
    called: list[str] = []

    async def wait(name: str) -> None:
        heard = asyncio.Event()
        with stopping.calling(heard.set):
            await asyncio.wait_for(heard.wait(), 10)
        called.append(name)

    threads = [threading.Thread(target=asyncio.run, args=(wait(name),)) for name in ("one", "other")]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    assert not called
    stopping.begin()
    for thread in threads:
        thread.join(10)

    assert sorted(called) == ["one", "other"]


def test_nobody_is_called_after_the_block_or_for_what_was_before() -> None:
    stopping = Stopping()
    called: list[str] = []

    async def look() -> None:
        with stopping.calling(lambda: called.append("left")):
            pass
        stopping.begin()
        with stopping.calling(lambda: called.append("late")):
            await asyncio.sleep(0.01)

    asyncio.run(look())

    assert not called


def test_a_loop_that_has_gone_is_no_obstacle() -> None:
    stopping = Stopping()
    loop = asyncio.new_event_loop()

    async def enter() -> None:
        stopping.calling(lambda: None).__enter__()

    loop.run_until_complete(enter())
    loop.close()

    stopping.begin()

    assert stopping.begun
