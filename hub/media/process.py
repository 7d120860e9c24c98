"""Child processes as the hub sees them: started bare, asked over a socket, ended at will."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import hub
from hub.media import wire

_ROOT = Path(next(iter(hub.__path__))).resolve().parent
_START_SECONDS = 60.0
# The decoder gets nothing else of the hub's environment: that may hold keys.
_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT")


class WorkerLostError(Exception):
    """The process died or ran out of time. killed: it was ended by SIGKILL, as by a system short of memory."""

    def __init__(self, *, timed_out: bool, killed: bool = False) -> None:
        super().__init__()
        self.timed_out = timed_out
        self.killed = killed


def start_child(module: str, memory_bytes: int, log: IO[bytes]) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start `python -m module memory_bytes` with a socket as its standard input; returns it and our end.

    log: takes its standard error.
    """
    ours, theirs = socket.socketpair()
    paths = [str(_ROOT), os.environ.get("PYTHONPATH", "")]
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, str(memory_bytes)],
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=log,
            cwd=_ROOT,
            # Its own session: Ctrl-C reaches the hub alone, which then closes the socket.
            start_new_session=True,
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
            | {
                "PYTHONPATH": os.pathsep.join(filter(None, paths)),
                "OMP_NUM_THREADS": "1",
                "OPENBLAS_NUM_THREADS": "1",
                "MALLOC_ARENA_MAX": "2",
            },
        )
    return process, ours


def tail_of(log: IO[bytes]) -> str:
    """The last of what a child wrote to its log."""
    size = log.seek(0, os.SEEK_END)
    log.seek(max(0, size - 2000))
    return log.read().decode("utf-8", "replace").strip()


class Worker:
    """One decoder process and the socket to it."""

    def __init__(self, memory_bytes: int) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed by kill)
        self._ready = False
        self.requests = 0
        self._process, self._channel = start_child("hub.media.worker", memory_bytes, self._log)

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def ask(self, request: Mapping[str, Any], descriptor: int | None, timeout: float) -> dict[str, Any]:
        """Send a request and wait for its answer. Raises WorkerLostError."""
        try:
            if not self._ready:
                wire.receive(self._channel, _START_SECONDS)
                self._ready = True
            self.requests += 1
            wire.send(self._channel, request, () if descriptor is None else (descriptor,))
            reply, _ = wire.receive(self._channel, timeout)
        except TimeoutError as error:
            raise WorkerLostError(timed_out=self._ready) from error
        except (EOFError, OSError, ValueError, TypeError) as error:
            status = self._wait()
            raise WorkerLostError(timed_out=status == -signal.SIGXCPU, killed=status == -signal.SIGKILL) from error
        return reply

    def _wait(self) -> int | None:
        """The exit status of a process that has closed its socket."""
        try:
            return self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return None

    @property
    def started(self) -> bool:
        """Whether the process ever reported for work."""
        return self._ready

    def log_tail(self) -> str:
        """The last of what the process wrote to its standard error."""
        return tail_of(self._log)

    def kill(self) -> None:
        """End the process; whoever waits for its answer is told."""
        self._process.kill()
        self._process.wait()

    def dispose(self) -> None:
        """End the process and give back what it held here. Only for the one who holds the worker."""
        self.kill()
        self._channel.close()
        self._log.close()
