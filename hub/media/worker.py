"""The decoder process: opens strangers' files under limits of memory and time, one at a time.

Run as `python -m hub.media.worker MEMORY_BYTES` with a socket as standard input (see `decoder.py`, its only caller).
Pixels go into the open file that comes with the request. It ends when the hub's end of the socket closes.
"""

from __future__ import annotations

import errno
import logging
import mmap
import os
import queue
import resource
import socket
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hub.errors import Busy, HubError, TooLarge
from hub.media import wire
from hub.media.opening import open_preview, open_source
from hub.media.pixels import on_white, stored_view
from hub.media.source import PhotoSource, damaged, stored_shape

logger = logging.getLogger(__name__)
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def answer(request: Mapping[str, Any], descriptor: int | None) -> dict[str, Any]:
    """Do what a request asks; every failure becomes an answer."""
    try:
        return _perform(request, descriptor)
    except HubError as error:
        return {"error": wire.pack_error(error)}
    except MemoryError:
        message = "The picture needs more memory to decode than the hub allows. Send a smaller one."
        return {"error": wire.pack_error(TooLarge("too_much_memory", message))}
    except OSError as error:
        if error.errno in _DISK_FULL:
            return {"error": wire.pack_error(Busy("disk_full", "The hub's disk is full. Try again later."))}
        logger.exception("decoding %s", request.get("path"))
        return {"error": wire.pack_error(damaged("it cannot be decoded"))}
    except Exception:
        logger.exception("decoding %s", request.get("path"))
        return {"error": wire.pack_error(damaged("it cannot be decoded"))}


def _perform(request: Mapping[str, Any], descriptor: int | None) -> dict[str, Any]:
    path, max_pixels = Path(request["path"]), int(request["max_pixels"])
    if request["do"] == "probe":
        source = open_source(path, max_pixels)
        return {"info": wire.pack_info(source.info)}
    if descriptor is None:
        raise ValueError("no file came for the pixels")
    if request["do"] == "decode":
        source = open_source(path, max_pixels)
        info = source.info
        pixels = _mapped(descriptor, (info.height, info.width, info.channels), np.dtype(info.dtype))
        source.read_into(stored_view(pixels, source.orientation))
        return {
            "info": wire.pack_info(source.info),
            "metadata": wire.pack_metadata(source.metadata),
            "shape": pixels.shape,
        }
    max_side = int(request["max_side"])
    source = open_preview(path, max_pixels, max_side)
    small = _preview(source, max_side)
    _mapped(descriptor, small.shape, small.dtype)[...] = small
    return {"info": wire.pack_info(source.info), "shape": small.shape}


def _mapped(descriptor: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """An array in the file; its room is reserved first, since a full disk would kill a writer to mapped memory."""
    size = int(np.prod(shape)) * dtype.itemsize
    os.posix_fallocate(descriptor, 0, size)
    return np.frombuffer(mmap.mmap(descriptor, size), dtype).reshape(shape)


def _preview(source: PhotoSource, max_side: int) -> NDArray[np.uint8]:
    """The upright picture within max_side, 8-bit sRGB (H, W, 3), over white."""
    import cv2

    from hub.media.colour import to_srgb8

    stored = np.empty(stored_shape(source), source.info.dtype)
    source.read_into(stored)
    height, width, channels = stored.shape
    scale = min(1.0, max_side / max(height, width))
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        stored = cv2.resize(stored, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], channels)
    upright = np.empty_like(stored) if source.orientation < 5 else np.empty_like(stored.swapaxes(0, 1))
    stored_view(upright, source.orientation)[...] = stored
    shown = on_white(to_srgb8(upright, source.metadata.icc))
    return np.broadcast_to(shown, (*shown.shape[:2], 3)).astype(np.uint8)


def _bound_cpu(seconds: float) -> None:
    """Let this process use so much more processor time, after which the kernel ends it."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = usage.ru_utime + usage.ru_stime
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used + seconds) + 2, hard))


def _bound_memory(memory_bytes: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = memory_bytes if hard == resource.RLIM_INFINITY else min(memory_bytes, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _listen(channel: socket.socket, requests: queue.Queue[tuple[dict[str, Any], list[int]]]) -> None:
    """Queue requests; when the hub is gone, end at once, even in the middle of a picture."""
    with suppress(EOFError, ConnectionError):
        while True:
            requests.put(wire.receive(channel))
    os._exit(0)


def main() -> None:
    """Serve requests until the hub goes away."""
    _bound_memory(int(sys.argv[1]))
    channel = socket.socket(fileno=os.dup(0))
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    requests: queue.Queue[tuple[dict[str, Any], list[int]]] = queue.Queue()
    threading.Thread(target=_listen, args=(channel, requests), daemon=True).start()
    wire.send(channel, {"ready": True})
    while True:
        request, descriptors = requests.get()
        _bound_cpu(float(request["seconds"]))
        reply = answer(request, descriptors[0] if descriptors else None)
        for descriptor in descriptors:
            os.close(descriptor)
        wire.send(channel, reply)


if __name__ == "__main__":
    main()
