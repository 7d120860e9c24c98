"""Waiting for a task: by server-sent events where they come, else by polling."""

from __future__ import annotations

import math
import time
from typing import Any

import httpx

from hub.client import requests
from hub.client.effects import Flow, Open, Pause, Read, Tell
from hub.client.errors import (
    HubClientError,
    NotCompleted,
    Refused,
    TaskCancelled,
    TaskFailed,
    Unreachable,
    WaitTimeout,
)
from hub.client.events import Events
from hub.client.model import Progress, TaskStatus
from hub.client.retries import RETRIED, Patience, ask_json, broken

POLL_SECONDS = 2.0
_REOPEN_SECONDS = 1.0
# Between two signs of life a stream cannot be left, so the last of a limited time is spent polling.
_STREAM_LEAST_SECONDS = 20.0


def watch(
    task_id: str, *, patience: float, timeout: float | None = None, progress: Progress | None = None
) -> Flow[TaskStatus]:
    """The state in which a task ends, every new state on the way being told to `progress`.

    The server may be away for `patience` seconds at a time, as for a restart.
    Raises WaitTimeout after `timeout` seconds, Refused, and Unreachable.
    """
    return (yield from _Watch(task_id, patience, timeout, progress).run())


def completed(task_id: str, status: TaskStatus) -> TaskStatus:
    """The state of a task, if it has completed. Raises TaskFailed, TaskCancelled and NotCompleted."""
    if not status.finished:
        raise NotCompleted(f"The task {task_id} is {status.status}; wait for it first.")
    if status.status == "cancelled":
        raise TaskCancelled(task_id)
    if status.status != "completed":
        raise TaskFailed(task_id, status.error or status.message, status.code or "unknown", status.resumable)
    return status


class _Watch:
    """One wait."""

    def __init__(self, task_id: str, patience: float, timeout: float | None, progress: Progress | None) -> None:
        self._task_id = task_id
        self._patience = patience
        self._timeout = timeout or 0.0
        self._end = math.inf if timeout is None else time.monotonic() + timeout
        self._progress = progress
        self._events = Events()
        self._trying = Patience(patience)
        self._last: TaskStatus | None = None
        self._again = False

    def run(self) -> Flow[TaskStatus]:
        while self._left > _STREAM_LEAST_SECONDS:
            again = yield from self._follow()
            if self._last is not None and self._last.finished:
                return self._last
            if not again:
                break
        while True:
            status = yield from self._poll()
            yield from self._show(status)
            if status.finished:
                return status
            if self._left <= 0:
                raise WaitTimeout(self._task_id, self._timeout)
            yield Pause(min(POLL_SECONDS, self._left))

    def _poll(self) -> Flow[TaskStatus]:
        """The state now. A server that stays away ends the wait when the caller's time is over, if that is sooner."""
        patience = min(self._patience, max(self._left, 0))
        try:
            return TaskStatus.read((yield from ask_json(requests.task(self._task_id), patience)))
        except HubClientError as error:
            passing = isinstance(error, Unreachable) or (isinstance(error, Refused) and error.status in RETRIED)
            if passing and patience < self._patience:
                raise WaitTimeout(self._task_id, self._timeout) from error
            raise

    @property
    def _left(self) -> float:
        return self._end - time.monotonic()

    def _follow(self) -> Flow[bool]:
        """One stream of events, to its end; returns whether another is worth opening."""
        self._again = False
        response: httpx.Response | None = yield from self._guarded(
            Open(requests.events(self._task_id, self._events.last_id))
        )
        if response is None:
            return self._again
        if not response.is_success or not response.headers.get("content-type", "").startswith("text/event-stream"):
            # A poll tells what is wrong, if anything but the lack of events is.
            return False
        self._events.restart()
        while self._left > _STREAM_LEAST_SECONDS:
            chunk: bytes | None = yield from self._guarded(Read())
            if chunk is None:
                return self._again
            if not chunk:
                yield Pause(_REOPEN_SECONDS)
                return self._again
            for value in self._events.feed(chunk):
                if not isinstance(value, dict) or "status" not in value:
                    continue
                # A stream that has brought something may do so again.
                self._again = True
                self._trying.renew()
                status = TaskStatus.read(value)
                yield from self._show(status)
                if status.finished:
                    return False
        return False

    def _guarded(self, effect: Open | Read) -> Flow[Any]:
        """The outcome of an effect; None if the connection broke, and then `_again` says what is worth doing."""
        try:
            return (yield effect)
        except httpx.ReadTimeout:
            # Something on the way holds events back.
            self._again = False
        except httpx.TransportError as error:
            yield self._trying.pause(broken(error))
            self._again = True
        return None

    def _show(self, status: TaskStatus) -> Flow[None]:
        if self._progress is not None and status != self._last:
            yield Tell(self._progress, status)
        self._last = status
