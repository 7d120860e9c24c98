"""Sessions of live clients, run as a server would."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hub.live.pictures import decode
from hub.live.session import LiveSession


def run(work: Coroutine[Any, Any, None]) -> None:
    """As a server would, but for no longer than a test should take."""

    async def bounded() -> None:
        async with asyncio.timeout(120):
            await work

    asyncio.run(bounded())


async def restored(session: LiveSession) -> NDArray[np.uint8]:
    return decode((await session.answer()).jpeg, 10_000_000)


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "It did not come about."
        await asyncio.sleep(0.02)
