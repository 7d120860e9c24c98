"""The child that touches clips: it ends with the hub, whatever it is doing."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from hub.errors import HubError, InvalidInput
from hub.media.video.channel import Channel
from hub.media.video.process import open_process

MEMORY = 8 << 30
# The real child, with a task that neither sends nor receives.
SPINNING = """
import sys
sys.path[:0] = {paths!r}
from hub.media.video import worker
worker.TASKS["spin"] = "spinning"
worker.main()
"""


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@contextmanager
def spinning_child(folder: Path, end: socket.socket) -> Iterator[subprocess.Popen[bytes]]:
    (folder / "spinning.py").write_text(
        "def serve(request, channel):\n    channel.send({'spinning': True})\n    while True:\n        pass\n"
    )
    code = SPINNING.format(paths=[str(folder), *sys.path])
    child = subprocess.Popen([sys.executable, "-c", code, str(MEMORY)], stdin=end.fileno())
    end.close()
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def test_a_busy_child_ends_when_the_hub_does(tmp_path: Path, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    with spinning_child(tmp_path, theirs) as child:
        channel = Channel(ours)
        assert channel.receive(60)[0] == {"ready": True}
        channel.send({"do": "spin"})
        assert channel.receive(60)[0] == {"spinning": True}
        time.sleep(0.1)
        assert child.poll() is None
        channel.close()
        assert child.wait(timeout=10) == 0


def test_a_slow_receiver_is_waited_for(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    array = np.zeros(1 << 20, np.uint8)
    taken = 0

    def take_slowly() -> None:
        nonlocal taken
        while part := theirs.recv(1 << 17):
            taken += len(part)
            time.sleep(0.1)

    receiver = threading.Thread(target=take_slowly)
    receiver.start()
    begun = time.monotonic()
    Channel(ours).send({"frame": 1}, array, timeout=0.5)
    assert time.monotonic() - begun > 0.5
    ours.shutdown(socket.SHUT_WR)
    receiver.join()
    assert taken > array.nbytes


def test_a_receiver_that_takes_nothing_is_given_up(pair: tuple[socket.socket, socket.socket]) -> None:
    with pytest.raises(TimeoutError):
        Channel(pair[0]).send({"frame": 1}, np.zeros(1 << 20, np.uint8), timeout=0.2)


@pytest.mark.parametrize(("task", "kind"), [("encode", HubError), ("join", HubError), ("read", InvalidInput)])
def test_only_reading_blames_the_clip(task: str, kind: type[HubError]) -> None:
    """A request that makes no sense is a fault of the hub; in reading it is not told from a damaged clip."""
    with (
        pytest.raises(HubError) as caught,
        open_process({"do": task, "path": "nowhere"}, memory_bytes=MEMORY, silence=60) as process,
    ):
        process.receive()
    assert type(caught.value) is kind
    assert caught.value.code == ("damaged_video" if task == "read" else "encoder_lost")
