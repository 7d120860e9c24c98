"""What a flow asks of its driver.

A flow is a generator that holds all the logic of a call and does no waiting of its own: it yields effects. A driver,
synchronous or not, carries each out and sends the outcome back in, or throws the error that it met.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, TypeAlias, TypeVar

import httpx

from hub.client.model import Progress, TaskStatus

T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """One HTTP request.

    path: below the base address. fields: of a form. file: (field, filename, handle) of a multipart form.
    read_timeout: seconds without a byte, where the client's own does not suit.
    """

    method: str
    path: str
    params: Mapping[str, Any] | None = None
    fields: Mapping[str, Any] | None = None
    file: tuple[str, str, BinaryIO] | None = None
    json: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    read_timeout: float | None = None

    def build(self, client: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """The request of a client; its file is read only while it is sent."""
        timeout = client.timeout
        if self.read_timeout is not None:
            timeout = httpx.Timeout(
                connect=timeout.connect, read=self.read_timeout, write=timeout.write, pool=timeout.pool
            )
        files = None
        if self.file is not None:
            name, filename, handle = self.file
            files = {name: (filename, handle, "application/octet-stream")}
        return client.build_request(
            self.method,
            self.path,
            params=self.params,
            data=self.fields,
            files=files,
            json=self.json,
            headers=self.headers,
            timeout=timeout,
        )


@dataclass(frozen=True)
class Ask:
    """Send a call; the outcome is its httpx.Response, read whole. Throws httpx.TransportError."""

    call: Call


@dataclass(frozen=True)
class Open:
    """Send a call and stop at the response's head, which is the outcome; what was open before is closed."""

    call: Call


@dataclass(frozen=True)
class Read:
    """The next bytes of the response that is open; empty at its end. Throws httpx.TransportError."""


@dataclass(frozen=True)
class Pause:
    """Let so many seconds pass."""

    seconds: float


@dataclass(frozen=True)
class Do:
    """Call a function that may wait for the disk; the outcome is what it returns."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Tell:
    """Show a task's state to the caller's function."""

    progress: Progress
    status: TaskStatus


Effect: TypeAlias = Ask | Open | Read | Pause | Do | Tell
Flow: TypeAlias = Generator[Effect, Any, T]
