"""Messages between the hub and the processes that touch clips: JSON, and bare arrays, over a local socket."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hub.media import wire

_TYPES = ("uint8", "uint16")
MAX_ARRAY_BYTES = 1 << 30


class Channel:
    """One end of the socket; for one reading and one writing thread."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def send(self, message: Mapping[str, Any], array: NDArray[Any] | None = None) -> None:
        """Send a message, with an array (uint8 or uint16) if need be; waits while the other side is busy.

        Raises BrokenPipeError or ConnectionError when the other side is gone.
        """
        if array is None:
            wire.send(self._end, message)
            return
        solid = np.ascontiguousarray(array)
        wire.send(self._end, {**message, "array": {"shape": solid.shape, "dtype": solid.dtype.name}})
        self._end.sendall(solid.reshape(-1).view(np.uint8).data)

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
