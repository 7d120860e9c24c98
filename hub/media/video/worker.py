"""The child process in which clips are opened, decoded, encoded and joined.

Run as `python -m hub.media.video.worker MEMORY_BYTES` with a socket as standard input (see `process.py`, its only
caller). It does one task and ends, at once when the hub's end of the socket closes, whatever it is doing.
"""

from __future__ import annotations

import errno
import logging
import os
import resource
import select
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from hub.courtesy import NICENESS, step_back
from hub.errors import Busy, HubError, InvalidInput, TooLarge
from hub.media import wire
from hub.media.video.channel import WRITING, Channel

logger = logging.getLogger(__name__)

# Each module has `serve(request, channel)`: it does the task and sends what the hub is to know.
TASKS = {
    "probe": "hub.media.video.probe",
    "read": "hub.media.video.reading",
    "encode": "hub.media.video.encoding",
    "join": "hub.media.video.joining",
    "clean": "hub.media.video.cleaning",
    "weigh": "hub.media.video.weighing",
}


def serve(request: Mapping[str, Any], channel: Channel) -> None:
    """Do the task that the request names; failures go to the hub as `{"error": ...}`."""
    task: Callable[[Mapping[str, Any], Channel], None] = import_module(TASKS[request["do"]]).serve
    try:
        task(request, channel)
    except (BrokenPipeError, ConnectionError, EOFError):
        raise
    except HubError as error:
        channel.send({"error": wire.pack_error(error)})
    except MemoryError:
        message = "The clip needs more memory than the hub allows. Send one with fewer pixels."
        channel.send({"error": wire.pack_error(TooLarge("too_much_memory", message))})
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            refusal: HubError = Busy("disk_full", "The hub's disk is full. Free some space and resume the task.")
        else:
            logger.exception("%s", request["do"])
            refusal = _unexpected(request)
        channel.send({"error": wire.pack_error(refusal)})
    except Exception:
        logger.exception("%s", request["do"])
        channel.send({"error": wire.pack_error(_unexpected(request))})


def _unexpected(request: Mapping[str, Any]) -> HubError:
    task = request["do"]
    if task in WRITING:
        return HubError(
            "encoder_lost",
            f"The process that writes the result failed ({task}); the hub's log says why. What is finished is kept:"
            " resume the task.",
        )
    return InvalidInput(
        "damaged_video", f"The clip is damaged: it could not be processed ({task}). Send an undamaged copy."
    )


def _end_with(hub: socket.socket) -> None:
    """End this process when the hub's end of the socket closes; its memory and the processor are wanted elsewhere."""
    poll = select.poll()
    poll.register(hub, select.POLLHUP)
    poll.poll()
    os._exit(0)


def main() -> None:
    """Take one request from the hub and serve it."""
    logging.basicConfig(level=logging.WARNING)
    step_back(2 * NICENESS)
    memory_bytes = int(sys.argv[1])
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = memory_bytes if hard == resource.RLIM_INFINITY else min(memory_bytes, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    end = socket.socket(fileno=os.dup(0))
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    threading.Thread(target=_end_with, args=(end,), name="hub-watch", daemon=True).start()
    channel = Channel(end)
    channel.send({"ready": True})
    try:
        request, _ = channel.receive()
        serve(request, channel)
    except (BrokenPipeError, ConnectionError, EOFError):
        os._exit(0)  # The hub is gone, or wants no more.


if __name__ == "__main__":
    main()
