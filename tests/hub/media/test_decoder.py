from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from hub.errors import Busy, HubError, InvalidInput, TooLarge
from hub.media.image import PhotoDecoder, encode
from hub.media.process import Worker

from .conftest import png_bytes, write

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def lone(tmp_path: Path) -> Iterator[PhotoDecoder]:
    """A decoder of its own, whose worker may be ill-treated."""
    decoder = PhotoDecoder(
        max_pixels=200_000_000, timeout=60, memory_bytes=3 << 30, workers=1, temp_dir=tmp_path / "pixels"
    )
    yield decoder
    decoder.close()


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of some kilobytes that takes a decoder about a second."""
    side = 9000
    rows = (b"\0" + bytes(side * 6)) * side
    return write(tmp_path_factory.mktemp("slow") / "slow.png", png_bytes(side, side, 16, 2, rows))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    Image.new("RGB", (20, 10), "olive").save(tmp_path / "small.png")
    return tmp_path / "small.png"


def worker() -> psutil.Process:
    """The one worker that this test started last."""
    mine = [child for child in psutil.Process().children() if "hub.media.worker" in child.cmdline()]
    return max(mine, key=lambda child: child.create_time())


def worker_ids() -> set[int]:
    """The processes of all decoders there are now."""
    return {child.pid for child in psutil.Process().children() if "hub.media.worker" in child.cmdline()}


def test_a_file_that_takes_too_long_is_given_up_and_the_next_one_is_read(
    slow: Path, small: Path, tmp_path: Path
) -> None:
    decoder = PhotoDecoder(
        max_pixels=200_000_000, timeout=0.2, memory_bytes=3 << 30, workers=1, temp_dir=tmp_path / "pixels"
    )
    try:
        decoder.decode(small)
        first = worker()
        started = time.monotonic()
        with pytest.raises(InvalidInput, match=r"within 0\.2 seconds") as caught:
            decoder.decode(slow)
        assert caught.value.code == "decode_timeout"
        assert time.monotonic() - started < 5
        assert not first.is_running()
    finally:
        decoder.close()


@pytest.mark.parametrize("kills", [1, 2])
def test_a_file_whose_worker_is_killed_from_outside_gets_another_one(
    kills: int, lone: PhotoDecoder, slow: Path, small: Path
) -> None:
    def kill() -> None:
        killed: set[Worker] = set()
        for _ in range(kills):
            while not (running := lone._running - killed):
                time.sleep(0.01)
            time.sleep(0.3)
            killed |= running
            os.kill(running.pop()._process.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    if kills == 1:
        assert lone.preview(slow).info.width == 800
    else:
        with pytest.raises(Busy, match="killed twice") as caught:
            lone.preview(slow)
        assert caught.value.code == "decoder_lost"
    killer.join()
    assert lone.preview(small).info.height == 10


def test_a_crashed_worker_is_replaced(lone: PhotoDecoder, slow: Path, small: Path) -> None:
    lone.decode(small)
    victim = worker()
    timer = threading.Timer(0.3, victim.send_signal, [signal.SIGSEGV])
    timer.start()
    with pytest.raises(InvalidInput, match="crash"):
        lone.decode(slow)
    timer.join()
    assert lone.decode(small).pixels.shape == (10, 20, 3)
    worker().kill()
    time.sleep(0.2)
    assert lone.decode(small).info.width == 20


def test_memory_is_bounded(slow: Path, small: Path, tmp_path: Path) -> None:
    decoder = PhotoDecoder(
        max_pixels=200_000_000, timeout=60, memory_bytes=600 << 20, workers=1, temp_dir=tmp_path / "pixels"
    )
    try:
        with pytest.raises(HubError) as caught:
            decoder.preview(slow)
        assert isinstance(caught.value, TooLarge)
        assert caught.value.code == "too_much_memory"
        assert decoder.probe(small).height == 10
    finally:
        decoder.close()


def test_new_photos_are_looked_at_while_every_decoder_is_busy(lone: PhotoDecoder, small: Path) -> None:
    lone.decode(small)
    busy = worker()
    busy.suspend()
    found: list[int] = []
    job = threading.Thread(target=lambda: found.append(lone.decode(small).info.width))
    job.start()
    try:
        assert lone.probe(small).width == 20
        assert lone.preview(small).pixels.shape == (10, 20, 3)
        assert job.is_alive()
    finally:
        busy.resume()
        job.join()
    assert found == [20]


def test_a_slow_preview_holds_up_no_header(lone: PhotoDecoder, small: Path) -> None:
    lone.preview(small)
    busy = worker()
    busy.suspend()
    page = threading.Thread(target=lone.preview, args=(small,))
    page.start()
    try:
        assert lone.probe(small).width == 20
        assert page.is_alive()
    finally:
        busy.resume()
        page.join()


@pytest.mark.parametrize("name", ["probe", "preview", "decode"])
def test_nobody_waits_for_a_worker_without_end(name: str, small: Path, tmp_path: Path) -> None:
    decoder = PhotoDecoder(
        max_pixels=1_000_000,
        timeout=60,
        memory_bytes=3 << 30,
        workers=1,
        temp_dir=tmp_path / "pixels",
        max_wait=0.3,
    )
    call = getattr(decoder, name)
    try:
        call(small)
        busy = worker()
        busy.suspend()
        first = threading.Thread(target=call, args=(small,))
        first.start()
        time.sleep(0.1)
        with pytest.raises(Busy, match=r"waited 0\.3 seconds") as caught:
            call(small)
        assert caught.value.code == "decoder_busy"
        assert caught.value.retry_after == 1
        busy.resume()
        first.join()
        call(small)
    finally:
        decoder.close()


def test_a_worker_imports_no_torch_and_starts_quickly(lone: PhotoDecoder, small: Path) -> None:
    lone.warm()
    started = time.monotonic()
    lone.probe(small)
    assert time.monotonic() - started < 20
    maps = Path(f"/proc/{worker().pid}/maps").read_text()
    assert "torch" not in maps


def test_the_worker_sees_none_of_the_hub_s_secrets(
    lone: PhotoDecoder, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_API_KEYS", "secret")
    lone.probe(small)
    assert "HUB_API_KEYS" not in worker().environ()


def test_nothing_stays_in_the_temporary_folder(lone: PhotoDecoder, small: Path, tmp_path: Path) -> None:
    photo = lone.decode(small)
    assert list((tmp_path / "pixels").iterdir()) == []
    assert photo.pixels[0, 0].tolist() == [128, 128, 0]


def test_many_threads_share_few_workers(lone: PhotoDecoder, tmp_path: Path) -> None:
    for shade in range(12):
        Image.new("L", (30, 30), shade).save(tmp_path / f"{shade}.png")
    others = worker_ids()
    found: dict[int, int] = {}

    def read(shade: int) -> None:
        found[shade] = int(lone.decode(tmp_path / f"{shade}.png").pixels.max())

    threads = [threading.Thread(target=read, args=(shade,)) for shade in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {shade: shade for shade in range(12)}
    assert len(worker_ids() - others) == 1


def test_close_ends_workers_and_calls(lone: PhotoDecoder, slow: Path, small: Path) -> None:
    lone.decode(small)
    process = worker()
    threading.Timer(0.3, lone.close).start()
    with pytest.raises(Busy, match="shutting down"):
        lone.decode(slow)
    assert not process.is_running()
    with pytest.raises(Busy):
        lone.probe(small)


@pytest.mark.parametrize("busy", [False, True])
def test_workers_do_not_outlive_a_killed_hub(busy: bool, slow: Path, small: Path, tmp_path: Path) -> None:
    script = f"""
import sys, threading, time
from pathlib import Path
import psutil
from hub.media.image import PhotoDecoder
decoder = PhotoDecoder(max_pixels=10**9, timeout=60, memory_bytes=3 << 30, workers=1, temp_dir=Path({str(tmp_path)!r}))
decoder.decode(Path({str(small)!r}))
if {busy}:
    threading.Thread(target=decoder.decode, args=(Path({str(slow)!r}),), daemon=True).start()
    time.sleep(0.1)
print(psutil.Process().children()[0].pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True) as hub:
        assert hub.stdout is not None
        pid = int(hub.stdout.readline())
        os.kill(hub.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the worker outlives the hub"
        time.sleep(0.05)


def test_a_large_photo_costs_little_more_than_its_pixels(lone: PhotoDecoder, tmp_path: Path) -> None:
    rows = np.arange(4000, dtype=np.uint16)[:, None, None] * np.ones((1, 3000, 3), np.uint16)
    pixels = (rows % 251).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=90)
    Image.new("RGB", (10, 10)).save(tmp_path / "small.jpg")
    lone.decode(tmp_path / "small.jpg")
    before = worker().memory_info().rss
    photo = lone.decode(tmp_path / "a.jpg")
    with Path(f"/proc/{worker().pid}/status").open() as status:
        peak = next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))
    # Pillow holds RGB in four bytes per pixel, beside the array of three.
    assert peak - before < 1.2 * (4 + 3) * 12e6
    del pixels, rows
    usage = psutil.Process().memory_info().rss
    encode(photo, tmp_path / "b.png")
    assert psutil.Process().memory_info().rss - usage < 3 * 36e6
