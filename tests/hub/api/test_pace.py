from __future__ import annotations

import asyncio
import time

from hub.api.pace import MESSAGE_BYTES, Pace


def seconds_for(sizes: list[int], rate: float) -> float:
    async def read() -> float:
        pace = Pace(rate)
        began = time.monotonic()
        for size in sizes:
            await pace.keep(size)
        return time.monotonic() - began

    return asyncio.run(read())


def test_a_second_is_had_at_once_and_more_takes_its_time() -> None:
    assert seconds_for([400_000] * 2, 1e6) < 0.1
    assert 0.35 < seconds_for([400_000] * 3 + [200_000 - 4 * MESSAGE_BYTES], 1e6) < 1


def test_a_message_without_bytes_counts_too() -> None:
    assert seconds_for([0] * 60, 50 * MESSAGE_BYTES) > 0.15
