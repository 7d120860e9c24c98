"""What every test may use: a small photo drawn in code, its noisy version, and settings of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import httpx
import numpy as np
import pytest
from hypothesis import settings as hypothesis_settings
from numpy.typing import NDArray
from PIL import Image

from hub.settings import Settings

CHECKOUT = Path(__file__).resolve().parent.parent
# Where all tests of a run, in whatever process, keep compiled graphs, so that each is made once.
SHARED = "HUB_GRAPHS_DIR"
if "PYTEST_XDIST_WORKER" not in os.environ:
    # Programs that share two cores wait for their threads asleep: spinning, two of them took up to seven times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ[SHARED] = tempfile.mkdtemp(prefix="graphs-")

LONG_TEST_SECONDS = 7200
hypothesis_settings.register_profile("long", max_examples=400, deadline=None)


# Files that take longest. Begun last, one of them would keep a core busy while the other is idle.
LONG = (
    "test_fuzz.py",
    "test_readme.py",
    "test_browser.py",
    "test_video_browser.py",
    "test_proxy.py",
    "test_tour_browser.py",
    "test_memory.py",
    "test_faults.py",
    "test_kill_clip.py",
    "test_backends.py",
    "test_app.py",
    "test_stop.py",
    "test_kill.py",
    "test_full_disk.py",
    "test_load.py",
    "test_guide.py",
    "test_handler.py",
    "test_real.py",
    "test_hostile_files.py",
    "test_live_latency.py",
)


# Of tests that have a long form: the option, its kind, its value in the short form and in the long one, what it means.
FORMS = (
    ("--kills", int, 2, 20, "how often a server dies in the middle of its work"),
    ("--fuzz", int, 0, 100, "examples of every call to the API; 0: a few, always the same"),
    ("--clients", int, 30, 200, "how many clients use the server at once"),
    ("--seconds", float, 8.0, 60.0, "how long they keep posting photos"),
    ("--video-minutes", int, 1, 10, "length of a clip whose restoration must not take more and more memory"),
    # Other programs on the machine must not make the short form fail.
    ("--poll-bound", float, 0.5, 0.1, "seconds in which 99 of 100 polls are answered"),
    ("--live-bound", float, 0.0, 0.4, "seconds in which 95 of 100 live frames are back; 0: what any machine manages"),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """--long makes every test that has a long form take it; the others choose for one."""
    parser.addoption("--screenshots", metavar="FOLDER", help="where pictures of the page are kept (default: nowhere)")
    parser.addoption("--long", action="store_true", help="the long form of load, faults, fuzz, kills and lives of jobs")
    for option, kind, short, long, meaning in FORMS:
        parser.addoption(option, type=kind, help=f"{meaning} (default: {short}, with --long {long})")


def pytest_configure(config: pytest.Config) -> None:
    for option, _, short, long, _ in FORMS:
        name = option.removeprefix("--").replace("-", "_")
        if getattr(config.option, name) is None:
            setattr(config.option, name, long if config.option.long else short)
    if config.option.long:
        hypothesis_settings.load_profile("long")


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # Not in those that xdist starts.
        shutil.rmtree(os.environ[SHARED], ignore_errors=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest files first; where tests are dealt out file by file, they are dealt in this order."""
    order = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.name, len(LONG)))
    if config.option.long:
        for item in items:
            item.add_marker(pytest.mark.timeout(LONG_TEST_SECONDS), append=False)


@pytest.fixture(autouse=True)
def _default_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the developer's own HUB_ settings away: tests see the defaults, but for the graphs that they share."""
    for name in [name for name in os.environ if name.startswith("HUB_") and name != SHARED]:
        monkeypatch.delenv(name)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Defaults, but everything is written below the test's own folder and nothing is downloaded."""
    return Settings(data_dir=tmp_path / "data", port=0, auto_fetch=False)


@pytest.fixture(scope="session")
def clean_photo() -> NDArray[np.uint8]:
    """(120, 168, 3) uint8 RGB: sky and sun over hills, smooth areas and sharp edges, no multiple of 128 anywhere."""
    rows, columns = np.mgrid[0:120, 0:168].astype(np.float32)
    photo = np.stack([90 + rows * 0.9, 140 + rows * 0.5, np.full_like(rows, 220)], axis=-1)
    photo[(rows - 32) ** 2 + (columns - 120) ** 2 < 18**2] = (250, 225, 120)
    for base, height, colour in ((70, 14, (60, 110, 90)), (90, 9, (40, 80, 50)), (104, 5, (90, 70, 45))):
        photo[rows > base + height * np.sin(columns / (height + 6))] = colour
    return photo.clip(0, 255).round().astype(np.uint8)


@pytest.fixture(scope="session")
def noisy_photo(clean_photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`clean_photo` with Gaussian noise of sigma 25, always the same."""
    noise = np.random.default_rng(0).normal(0, 25, clean_photo.shape)
    return (clean_photo + noise).clip(0, 255).round().astype(np.uint8)


@pytest.fixture
def noisy_png(noisy_photo: NDArray[np.uint8], tmp_path: Path) -> Path:
    """`noisy_photo` as a PNG file."""
    path = tmp_path / "noisy.png"
    Image.fromarray(noisy_photo).save(path)
    return path


class Server:
    """The program as users start it, `python app.py`, in a process of its own."""

    def __init__(self, folder: Path, **settings: str) -> None:
        """folder: where everything is written. settings: fields of Settings, as text."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.data_dir = folder / "data"
        self.results_dir = self.data_dir / "static_results"
        self.address = f"http://127.0.0.1:{self.port}"
        self._log = folder / "server.log"
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith("HUB_") or name == SHARED
        }
        for name, value in {
            "data_dir": str(self.data_dir),
            "port": str(self.port),
            "auto_fetch": "0",
            **settings,
        }.items():
            self._environment[f"HUB_{name.upper()}"] = value
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process started last."""
        assert self._process is not None
        return self._process

    @property
    def log(self) -> str:
        """All that the server has said."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def start(self, seconds: float = 120) -> float:
        """Start it and wait until it answers; returns how many seconds that took."""
        began = time.monotonic()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "app.py"],
                cwd=CHECKOUT,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        while time.monotonic() - began < seconds:
            assert self._process.poll() is None, f"The server ended by itself:\n{self.log}"
            try:
                if httpx.get(f"{self.address}/health", timeout=5).status_code == 200:
                    return time.monotonic() - began
            except httpx.TransportError:
                time.sleep(0.05)
        raise TimeoutError(f"The server did not answer within {seconds} seconds:\n{self.log}")

    def kill(self) -> None:
        """SIGKILL to the server alone, as when memory runs out; its helpers must notice by themselves."""
        self.process.kill()
        self.process.wait()

    def stop(self, seconds: float = 30) -> int:
        """SIGTERM; returns the exit status."""
        self.process.terminate()
        return self.process.wait(seconds)

    def clear(self) -> None:
        """Leave no process behind."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Makes servers that write below the test's own folder: `server = make_server(queue_limit="5")`."""
    servers: list[Server] = []

    def make(**settings: str) -> Server:
        servers.append(Server(tmp_path, **settings))
        return servers[-1]

    yield make
    for server in servers:
        server.clear()


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The program as it is by default, at work for all tests of a module."""
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.clear()


@pytest.fixture
def make_clip(noisy_photo: NDArray[np.uint8], tmp_path: Path) -> Callable[..., Path]:
    """Makes clips of the noisy photo panning, fresh noise on every frame: `make_clip("a.mp4", frames=20, sound=True)`.

    `size` is (width, height), H.264 in MP4 or whatever the suffix says; `times` are in ms, by default 25 per second.
    """

    def make(
        name: str = "clip.mp4",
        *,
        frames: int = 20,
        times: Sequence[int] = (),
        sound: bool = False,
        size: tuple[int, int] = (128, 96),
    ) -> Path:
        path = tmp_path / name
        noise = np.random.default_rng(1)
        with av.open(path, "w") as container:
            picture = container.add_stream("libx264", rate=25, options={"crf": "5", "preset": "ultrafast"})
            picture.width, picture.height, picture.pix_fmt = *size, "yuv420p"
            picture.time_base = picture.codec_context.time_base = Fraction(1, 1000)
            voice = container.add_stream("aac", rate=48_000, layout="mono") if sound else None
            for index, time in enumerate(times or range(0, 40 * frames, 40)):
                moved = np.tile(np.roll(noisy_photo, -index, axis=1), (3, 2, 1))[: size[1], : size[0]]
                pixels = (moved + noise.normal(0, 10, moved.shape)).clip(0, 255).astype(np.uint8)
                frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
                frame.pts, frame.time_base = time, Fraction(1, 1000)
                container.mux(picture.encode(frame))
            container.mux(picture.encode(None))
            if voice is not None:
                wave = np.sin(np.arange(48_000 * frames // 25) / 20).astype(np.float32)[None]
                heard = av.AudioFrame.from_ndarray(wave, "fltp", "mono")
                heard.sample_rate = 48_000
                container.mux([*voice.encode(heard), *voice.encode(None)])
        return path

    return make
