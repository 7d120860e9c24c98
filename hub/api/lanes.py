"""Threads for calls that block: each sort of call has its own, so that quick ones never wait behind slow ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

from anyio import CapacityLimiter, fail_after, to_thread
from anyio.lowlevel import RunVar

from hub.errors import Busy
from hub.jobs.rows import database_away

P = ParamSpec("P")
T = TypeVar("T")


def server_busy() -> Busy:
    """The error for a call that would wait long behind others that are long themselves."""
    return Busy("server_busy", "Calls that take long are in the way; please try again in a moment.", retry_after=10)


class Lane:
    """So many threads at most, for one sort of call; further calls wait for their turn without one."""

    def __init__(
        self, name: str, threads: int, *, patience: float = math.inf, refusal: Callable[[], Busy] = server_busy
    ) -> None:
        """patience: after so many seconds without a turn a call is refused; refusal: what it is told then."""
        self._threads = threads
        self._patience = patience
        self._refusal = refusal
        self._limiter: RunVar[CapacityLimiter] = RunVar(name)

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `call` returns, called on a thread of this lane.

        Raises Busy when no turn came in time.
        """
        limiter = self._of_this_loop()
        turn = object()
        try:
            with fail_after(self._patience):
                await limiter.acquire_on_behalf_of(turn)
        except TimeoutError:
            raise self._refusal() from None
        try:
            return await to_thread.run_sync(partial(call, *args, **kwargs), limiter=CapacityLimiter(1))
        finally:
            limiter.release_on_behalf_of(turn)

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
"""Reads of the jobs table: milliseconds, whoever writes to it meanwhile."""
SIGNS = Lane("signs", 4, patience=5, refusal=database_away)
"""Heartbeats and confirmations: small writes of the jobs table, which wait only where it is locked."""
CHANGES = Lane("changes", 8)
"""Cancelling, and small files to be deleted: a moment."""
RESULTS = Lane("results", 8)
"""Results to be found and let go of; their bytes are read on threads of the framework's own."""
SUBMISSIONS = Lane("submissions", 40)
"""Uploads to be copied, flushed and looked at: seconds."""
PREVIEWS = Lane("previews", 8)
"""Photos to be decoded while somebody waits; more would only stand in the decoder's own line."""
USAGE = Lane("usage", 2, patience=30)
"""Folders to be looked through: long only where there are very many files."""
UPKEEP = Lane("upkeep", 8, patience=30)
"""What waits for runs to end, files to go and models to load: up to minutes."""
