"""One child process that touches a clip, as the hub sees it."""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from numpy.typing import NDArray

from hub.errors import Busy, Cancelled, HubError, InvalidInput
from hub.media import wire
from hub.media.process import start_child, tail_of
from hub.media.video.channel import Channel

logger = logging.getLogger(__name__)

START_SECONDS = 60.0
# How often a wait looks whether the job was cancelled.
GLANCE_SECONDS = 0.25


class VideoProcess:
    """A child that does one task; `open_process` starts and ends it.

    silence: seconds without a message after which it is given up.
    """

    def __init__(
        self, request: Mapping[str, Any], *, memory_bytes: int, silence: float, cancelled: Callable[[], bool] | None
    ) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close)
        self._process, end = start_child("hub.media.video.worker", memory_bytes, self._log)
        self._channel = Channel(end)
        self._task = str(request["do"])
        self._silence = silence
        self._cancelled = cancelled or (lambda: False)
        self._watching = threading.Event()
        self._killed = False
        if cancelled is not None:
            threading.Thread(target=self._watch, name=f"watch-{self._task}", daemon=True).start()
        try:
            self._receive(START_SECONDS)
            self.send(request)
        except BaseException:
            self.close()
            raise

    def send(self, message: Mapping[str, Any], array: NDArray[Any] | None = None) -> None:
        """Send a message to the child. Raises what the child says it failed with, or Cancelled."""
        try:
            self._channel.send(message, array)
        except OSError:
            while True:  # It has ended: its last words say why.
                self.receive()

    def receive(self, *, extra: float = 0.0) -> tuple[dict[str, Any], NDArray[Any] | None]:
        """The child's next message. extra: seconds that it may be silent beyond the usual.

        Raises the HubError that the child reports, InvalidInput (`damaged_video`, `decode_timeout`) when it dies or
        falls silent, Cancelled.
        """
        message, array = self._receive(self._silence + extra)
        if "error" in message:
            raise wire.unpack_error(message["error"])
        return message, array

    def kill(self) -> None:
        """End the child, whatever it does; whoever waits for it gets Busy (`stopping`). Callable from any thread."""
        self._killed = True
        self._process.kill()

    def close(self) -> None:
        """End the child, and give back what it held here."""
        self._watching.set()
        self._process.kill()
        self._process.wait()
        self._channel.close()
        self._log.close()

    def _receive(self, timeout: float) -> tuple[dict[str, Any], NDArray[Any] | None]:
        try:
            return self._channel.receive(timeout)
        except TimeoutError as error:
            raise self._lost(timed_out=True) from error
        except (EOFError, OSError, ValueError, TypeError, KeyError) as error:
            raise self._lost(timed_out=False) from error

    def _lost(self, *, timed_out: bool) -> HubError:
        if self._cancelled():
            return Cancelled()
        if self._killed:
            return Busy("stopping", "The hub is shutting down. Try again later.")
        logger.warning(
            "A %s process was lost (timed out: %s, status %s): %s",
            self._task,
            timed_out,
            self._process.poll(),
            tail_of(self._log),
        )
        if timed_out:
            return InvalidInput(
                "decode_timeout",
                f"Nothing came of the clip for {self._silence:g} seconds, so it was given up:"
                " it is damaged or too complex.",
            )
        return InvalidInput(
            "damaged_video", "The clip made the process that handled it crash: it is damaged. Send an undamaged copy."
        )

    def _watch(self) -> None:
        """Kill the child when the job is cancelled, so that whoever waits for it is freed."""
        while not self._watching.wait(GLANCE_SECONDS):
            if self._cancelled():
                self._process.kill()
                return


@contextmanager
def open_process(
    request: Mapping[str, Any],
    *,
    memory_bytes: int,
    silence: float,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[VideoProcess]:
    """A child that does the task which `request["do"]` names, ended with the context; see VideoProcess."""
    process = VideoProcess(request, memory_bytes=memory_bytes, silence=silence, cancelled=cancelled)
    try:
        yield process
    finally:
        process.close()
