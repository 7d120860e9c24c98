"""Messages between the hub and the processes that touch clips: JSON, and bare arrays, over a local socket."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hub.media import wire

# The tasks that write; what goes wrong there is not the clip's fault.
WRITING = ("encode", "join")
_TYPES = ("uint8", "uint16")
MAX_ARRAY_BYTES = 1 << 30


class Channel:
    """One end of the socket; for one thread at a time."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def send(
        self, message: Mapping[str, Any], array: NDArray[Any] | None = None, *, timeout: float | None = None
    ) -> None:
        """Send a message, with an array (uint8 or uint16) if need be; waits while the other side is busy.

        timeout: seconds after which it is given up that not a byte more is taken.
        Raises BrokenPipeError or ConnectionError when the other side is gone, TimeoutError.
        """
        self._end.settimeout(timeout)
        if array is None:
            wire.send(self._end, message)
        else:
            solid = np.ascontiguousarray(array)
            wire.send(self._end, {**message, "array": {"shape": solid.shape, "dtype": solid.dtype.name}})
            view = solid.reshape(-1).view(np.uint8).data
            sent = 0
            while sent < len(view):  # `sendall` would have the time-out hold for the whole.
                sent += self._end.send(view[sent:])
        self._end.settimeout(None)

    def receive(self, timeout: float | None = None) -> tuple[dict[str, Any], NDArray[Any] | None]:
        """The next message and the array that came with it.

        Raises EOFError when the other side is gone, ValueError or TypeError when it sends nonsense, TimeoutError.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        message, _ = wire.receive(self._end, timeout)
        if "array" not in message:
            self._end.settimeout(None)
            return message, None
        kind = message.pop("array")
        shape = tuple(int(side) for side in kind["shape"])
        if kind["dtype"] not in _TYPES or min(shape, default=0) < 1:
            raise ValueError(f"an array {kind}")
        dtype = np.dtype(kind["dtype"])
        if int(np.prod(shape, dtype=np.int64)) * dtype.itemsize > MAX_ARRAY_BYTES:
            raise ValueError(f"an array {kind}")
        array = np.empty(shape, dtype)
        view = array.reshape(-1).view(np.uint8).data
        filled = 0
        while filled < len(view):
            if deadline is not None:
                self._end.settimeout(max(0.001, deadline - time.monotonic()))
            received = self._end.recv_into(view[filled:])
            if not received:
                raise EOFError
            filled += received
        self._end.settimeout(None)
        return message, array

    def close(self) -> None:
        """Close this end; whoever waits at either end is told."""
        self._end.close()
