"""One child process that touches a clip, as the hub sees it."""

from __future__ import annotations

import logging
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from numpy.typing import NDArray

from hub.errors import Busy, Cancelled, HubError, InvalidInput
from hub.media import wire
from hub.media.process import start_child, tail_of
from hub.media.video.channel import WRITING, Channel

logger = logging.getLogger(__name__)

START_SECONDS = 60.0
# How often a wait looks whether the job was cancelled.
GLANCE_SECONDS = 0.25
# How long a child that has closed its socket may take to end.
ENDING_SECONDS = 2.0


class VideoProcess:
    """A child that does one task; `open_process` starts and ends it.

    silence: seconds after which it is given up that it neither says anything when it is waited for nor takes a byte of
        what is sent to it.
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
        """Send a message to the child; waits while it is busy. Raises what `receive` does."""
        try:
            self._channel.send(message, array, timeout=self._silence)
        except TimeoutError as error:
            raise self._lost(silent=self._silence) from error
        except OSError:
            while True:  # It has ended: its last words say why.
                self.receive()

    def receive(self, *, extra: float = 0.0) -> tuple[dict[str, Any], NDArray[Any] | None]:
        """The child's next message. extra: seconds that it may be silent beyond the usual.

        Raises the HubError that the child reports, Cancelled, and when it dies or falls silent InvalidInput
        (`damaged_video`, `decode_timeout`), or HubError (`encoder_lost`) if it writes.
        """
        message, array = self._receive(self._silence + extra)
        if "error" in message:
            error = wire.unpack_error(message["error"])
            if self._task in WRITING:
                logger.warning("A %s process failed (%s): %s", self._task, error.code, tail_of(self._log))
            raise error
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
            raise self._lost(silent=timeout) from error
        except (EOFError, OSError, ValueError, TypeError, KeyError) as error:
            raise self._lost() from error

    def _lost(self, *, silent: float | None = None) -> HubError:
        """The error that goes with a child that is gone, or was silent for so many seconds."""
        if self._cancelled():
            return Cancelled()
        if self._killed:
            return Busy("stopping", "The hub is shutting down. Try again later.")
        status = self._status() if silent is None else None
        how = _describe(status) if silent is None else f"silent for {silent:g} seconds"
        logger.warning("A %s process was lost (%s): %s", self._task, how, tail_of(self._log))
        if self._task in WRITING:
            return _writer_lost(silent, status)
        if silent is not None:
            return InvalidInput(
                "decode_timeout",
                f"Nothing came of the clip for {silent:g} seconds, so it was given up: it is damaged or too complex.",
            )
        return InvalidInput(
            "damaged_video", "The clip made the process that handled it crash: it is damaged. Send an undamaged copy."
        )

    def _status(self) -> int | None:
        """The exit status of a child that has closed its socket; None if it did not end even so."""
        try:
            return self._process.wait(timeout=ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            return None

    def _watch(self) -> None:
        """Kill the child when the job is cancelled, so that whoever waits for it is freed."""
        while not self._watching.wait(GLANCE_SECONDS):
            if self._cancelled():
                self._process.kill()
                return


def _describe(status: int | None) -> str:
    """An exit status in words."""
    if status is None:
        return "it still ran"
    return f"exit status {status}" if status >= 0 else f"signal {-status}, {signal.strsignal(-status)}"


def _writer_lost(silent: float | None, status: int | None) -> HubError:
    if silent is not None:
        message = f"The process that writes the result did nothing for {silent:g} seconds, so it was ended."
    elif status == -signal.SIGKILL:
        message = (
            "The system ended the process that writes the result, most likely because the machine ran out of memory."
            " Free some."
        )
    else:
        message = f"The process that writes the result ended unexpectedly ({_describe(status)})."
    return HubError("encoder_lost", f"{message} What is finished is kept: resume the task.")


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
