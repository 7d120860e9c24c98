"""Threads for calls that block: each sort of call has its own, so that quick ones never wait behind slow ones."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

P = ParamSpec("P")
T = TypeVar("T")


class Lane:
    """So many threads at most, for one sort of call; further calls wait for their turn without one."""

    def __init__(self, name: str, threads: int) -> None:
        self._threads = threads
        self._limiter: RunVar[CapacityLimiter] = RunVar(name)

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `call` returns, called on a thread of this lane."""
        return await to_thread.run_sync(partial(call, *args, **kwargs), limiter=self._of_this_loop())

    def endpoint(self, call: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
        """Decorates a route that blocks."""

        @wraps(call)
        async def answer(*args: P.args, **kwargs: P.kwargs) -> T:
            return await self.run(call, *args, **kwargs)

        return answer

    def _of_this_loop(self) -> CapacityLimiter:
        try:
            return self._limiter.get()
        except LookupError:
            limiter = CapacityLimiter(self._threads)
            self._limiter.set(limiter)
            return limiter


STATUS = Lane("status", 8)
"""Reads and small writes of the jobs table: milliseconds."""
CHANGES = Lane("changes", 8)
"""Cancelling, and small files to be deleted: a moment."""
RESULTS = Lane("results", 8)
"""Results to be found and let go of; their bytes are read on threads of the framework's own."""
SUBMISSIONS = Lane("submissions", 40)
"""Uploads to be copied, flushed and looked at: seconds."""
PREVIEWS = Lane("previews", 8)
"""Photos to be decoded while somebody waits; more would only stand in the decoder's own line."""
UPKEEP = Lane("upkeep", 8)
"""What waits for runs to end, files to go and models to load: up to minutes."""
