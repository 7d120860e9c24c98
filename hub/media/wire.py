"""Messages between the hub and its decoder processes: JSON over a local socket, never pickles.

A decoder that a hostile file has taken over must not be able to run code in the hub.
"""

from __future__ import annotations

import base64
import json
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from hub.errors import Busy, HubError, InvalidInput, TooLarge, UnsupportedMedia
from hub.media.photo import Metadata, PhotoInfo

MAX_MESSAGE_BYTES = 128 << 20
_BLOBS = ("icc", "exif", "xmp", "iptc")
_ERRORS: Mapping[str, type[HubError]] = {
    kind.__name__: kind for kind in (Busy, HubError, InvalidInput, TooLarge, UnsupportedMedia)
}


def send(channel: socket.socket, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
    """Send one message, with open file descriptors if need be."""
    body = json.dumps(message).encode()
    socket.send_fds(channel, [struct.pack(">I", len(body))], list(descriptors))
    channel.sendall(body)


def receive(channel: socket.socket, timeout: float | None = None) -> tuple[dict[str, Any], list[int]]:
    """The next message and the descriptors that came with it.

    Raises EOFError when the other side is gone, ValueError or TypeError when it sends nonsense, and TimeoutError when
    the whole message has not come within `timeout` seconds.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    channel.settimeout(timeout)
    head, descriptors, _, _ = socket.recv_fds(channel, 4, 4)
    head += _exactly(channel, 4 - len(head), deadline)
    size = struct.unpack(">I", head)[0]
    if size > MAX_MESSAGE_BYTES:
        raise ValueError(f"a message of {size} bytes")
    message = json.loads(_exactly(channel, size, deadline))
    if not isinstance(message, dict):
        raise TypeError("a message that is not an object")
    return message, list(descriptors)


def _exactly(channel: socket.socket, size: int, deadline: float | None) -> bytes:
    received = bytearray()
    while len(received) < size:
        if deadline is not None:
            channel.settimeout(max(0.001, deadline - time.monotonic()))
        part = channel.recv(min(size - len(received), 1 << 20))
        if not part:
            raise EOFError
        received += part
    return bytes(received)


def pack_error(error: HubError) -> dict[str, Any]:
    """An error as JSON."""
    return {"kind": type(error).__name__, "code": error.code, "message": error.message, "data": error.data}


def unpack_error(message: Mapping[str, Any]) -> HubError:
    """The error that `pack_error` packed; any kind that a decoder has no business to raise becomes InvalidInput."""
    kind = _ERRORS.get(str(message.get("kind")), InvalidInput)
    return kind(str(message["code"]), str(message["message"]), dict(message.get("data", {})))


def pack_info(info: PhotoInfo) -> dict[str, Any]:
    """A header as JSON."""
    return asdict(info)


def unpack_info(message: Mapping[str, Any]) -> PhotoInfo:
    """The header that `pack_info` packed."""
    return PhotoInfo(**{**message, "notes": tuple(message["notes"])})


def pack_metadata(metadata: Metadata) -> dict[str, Any]:
    """Metadata as JSON; blobs in base64."""
    packed = asdict(metadata)
    for name in _BLOBS:
        if packed[name] is not None:
            packed[name] = base64.b64encode(packed[name]).decode()
    return packed


def unpack_metadata(message: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of Metadata that `pack_metadata` packed."""
    fields = dict(message)
    for name in _BLOBS:
        if fields[name] is not None:
            fields[name] = base64.b64decode(fields[name])
    fields["dpi"] = None if fields["dpi"] is None else tuple(fields["dpi"])
    fields["text"] = tuple((str(key), str(value)) for key, value in fields["text"])
    return fields
