"""The threads that restore live frames: few, started when needed, gone a moment after."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from typing import TYPE_CHECKING, Generic, TypeVar

from hub.engine import EngineSession, Priority
from hub.errors import Cancelled

if TYPE_CHECKING:
    from hub.networks import Networks

LINGER_SECONDS = 3.0
"""How long a thread, and the engine session that it holds, outlast the last frame: the gap between two frames of a
client is shorter, and while a live session is open the engine keeps its batches short."""
RENEW_SECONDS = 10.0
"""How long steady frames go through one engine session: a new one takes up weights that were replaced."""

Result = TypeVar("Result")


class HeldSession:
    """The engine session that one thread keeps open from frame to frame.

    warmed: the (height, width) of tiles for which nothing need be compiled in it any more.
    """

    def __init__(self, networks: Networks, stopped: Callable[[], bool]) -> None:
        self._networks = networks
        self._stopped = stopped
        self._stack = ExitStack()
        self._session: EngineSession | None = None
        self._name: str | None = None
        self._until = 0.0
        self._abandoned: Callable[[], bool] = stopped
        self.warmed: set[tuple[int, int]] = set()

    def of(self, name: str, abandoned: Callable[[], bool]) -> EngineSession:
        """A session with a model, which may have to be loaded first.

        abandoned: whether nobody waits for the frame any more; asked often, by several threads.
        Raises Cancelled, EngineStopped, or what loading raised.
        """
        self._abandoned = abandoned
        if self._session is None or name != self._name or time.monotonic() > self._until:
            self.close()
            opened = self._networks.session(name, Priority.LIVE, cancelled=self._cancelled)
            self._session = self._stack.enter_context(opened)
            self._name, self._until = name, time.monotonic() + RENEW_SECONDS
        return self._session

    def close(self) -> None:
        """End the session, if there is one."""
        self._session = None
        self.warmed.clear()
        self._stack.close()

    def _cancelled(self) -> bool:
        return self._stopped() or self._abandoned()


class _Task(Generic[Result]):
    """Something to do, and who waits for it."""

    def __init__(self, work: Callable[[HeldSession], Result]) -> None:
        self._work = work
        self.future: Future[Result] = Future()

    def run(self, held: HeldSession) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            result = self._work(held)
        except BaseException as error:  # noqa: BLE001 - goes to whoever waits
            held.close()  # The next frame starts afresh, whatever was wrong.
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


class Workers:
    """At most `most` threads that work off what is submitted, in order; any thread may call."""

    def __init__(self, networks: Networks, most: int) -> None:
        self._networks = networks
        self._most = most
        self._changed = threading.Condition()
        self._tasks: deque[_Task[object]] = deque()
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._stopped = False

    @property
    def stopped(self) -> bool:
        """Whether nothing is taken any more."""
        return self._stopped

    @property
    def threads(self) -> int:
        """How many there are just now."""
        return len(self._threads)

    def submit(self, work: Callable[[HeldSession], Result]) -> Future[Result]:
        """Have `work` done by the next free thread; raises Cancelled once stopped."""
        task = _Task(work)
        with self._changed:
            if self._stopped:
                raise _stopping()
            if self._idle <= len(self._tasks) and len(self._threads) < self._most:
                thread = threading.Thread(target=self._run, name="live", daemon=True)
                thread.start()  # It waits for the lock that is held here.
                self._threads.add(thread)
            self._tasks.append(task)  # type: ignore[arg-type]  # A queue of tasks of any result.
            self._changed.notify()
        return task.future

    def begin_stop(self) -> None:
        """Take no more, fail what waits, and have the running frames given up; returns at once."""
        with self._changed:
            self._stopped = True
            waiting = list(self._tasks)
            self._tasks.clear()
            self._changed.notify_all()
        for task in waiting:
            if task.future.set_running_or_notify_cancel():
                task.future.set_exception(_stopping())

    def stop(self, seconds: float) -> None:
        """`begin_stop`, and wait for the threads; one that is loading a model may take longer than `seconds`."""
        self.begin_stop()
        deadline = time.monotonic() + seconds
        with self._changed:
            threads = list(self._threads)
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        held = HeldSession(self._networks, lambda: self._stopped)
        try:
            while (task := self._next()) is not None:
                task.run(held)
                del task  # It holds a frame, and this thread may wait for long.
        finally:
            held.close()

    def _next(self) -> _Task[object] | None:
        """The next task; None when this thread shall end, which it has then signed off for."""
        with self._changed:
            self._idle += 1
            self._changed.wait_for(lambda: self._tasks or self._stopped, LINGER_SECONDS)
            self._idle -= 1
            if self._tasks:
                return self._tasks.popleft()
            self._threads.discard(threading.current_thread())
            return None


def _stopping() -> Cancelled:
    return Cancelled("The hub is stopping.")
