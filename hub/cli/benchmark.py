"""`python -m hub benchmark`: what the hub costs on top of the network, in one run, by turns."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import httpx
import numpy as np
from PIL import Image

from hub.catalog import Catalog, unavailable
from hub.cli.models import open_catalog
from hub.cli.own_server import OwnServer
from hub.client import HubClient, HubClientError, Task, TaskStatus
from hub.engine import Engine, EngineSession, Priority
from hub.errors import HubError, InvalidInput
from hub.media.image import Photo
from hub.metrics import PREFIX
from hub.parts import make_backend, make_decoder, restore_limits
from hub.restoration import restore_photo
from hub.settings import Settings
from uformer.backends import Backend
from uformer.mosaic import cut
from uformer.restore import BackendRunner, RestoreOptions
from uformer.tiling import plan_tiles

IN_FLIGHT = 8


@dataclass
class Figures:
    """Seconds of each round.

    network: the photo's tiles through the backend, and nothing else. engine: the decoded photo through an engine, tiled
    and blended. api: from sending the file to having the result. in_flight: from sending IN_FLIGHT at once to having
    the last, divided by their number; fill: of the batches meanwhile, 0..1. beside_clip: as `api`, while a clip is
    restored.
    """

    photo: str
    model: str
    backend: str
    network: list[float] = field(default_factory=list)
    engine: list[float] = field(default_factory=list)
    api: list[float] = field(default_factory=list)
    in_flight: list[float] = field(default_factory=list)
    fill: float = 0.0
    beside_clip: list[float] = field(default_factory=list)

    def markdown(self) -> str:
        """A table for people; what is on top is said of the network's median."""
        network = median(self.network)
        rows = [
            ("the network alone", self.network),
            ("through the engine", self.engine),
            ("through the API", self.api),
            (f"through the API, each of {IN_FLIGHT} sent at once, on average", self.in_flight),
            ("through the API while a clip is restored", self.beside_clip),
        ]
        lines = [
            f"{self.photo}, `{self.model}` by {self.backend}; medians of {len(self.network)} rounds. With {IN_FLIGHT} "
            f"photos in flight batches were {100 * self.fill:.0f} % full; on a CPU one tile fills them.",
            "",
            "| a photo | ms | on top |",
            "|---|---|---|",
            *(
                f"| {name} | {1000 * median(seconds):.0f} | "
                f"{1000 * (median(seconds) - network):+.0f} ms, {100 * (median(seconds) / network - 1):+.0f} % |"
                for name, seconds in rows
                if seconds
            ),
        ]
        return "\n".join(lines) + "\n"


def benchmark(args: argparse.Namespace, settings: Settings) -> int:
    """Measure as the arguments say; returns the exit status. Raises HubError."""
    try:
        if args.json is not None and not args.json.parent.is_dir():
            raise InvalidInput(
                "no_such_folder", f"There is no folder {args.json.parent} to write {args.json.name} into."
            )
        figures = _measure(args, settings)
    except (HubClientError, httpx.HTTPError) as error:
        raise HubError("not_restored", f"The server did not restore what it was sent: {error}") from error
    sys.stdout.write(figures.markdown())
    if args.json is not None:
        args.json.write_text(json.dumps(asdict(figures), indent=2) + "\n", "utf-8")
    return 0


def _measure(args: argparse.Namespace, settings: Settings) -> Figures:
    catalog = open_catalog(settings)
    with ExitStack() as held:
        folder = Path(held.enter_context(TemporaryDirectory(prefix="hub-benchmark-")))
        path = args.photo or _noisy_photo(folder / "photo.jpg", *args.size)
        decoder = make_decoder(settings, folder)
        held.callback(decoder.close)
        photo = decoder.decode(path)
        model, backend = _open(catalog, settings, args.model)
        held.callback(backend.close)
        engine = Engine(lambda _: backend, batch_ms=settings.batch_ms)
        engine.start()
        held.callback(engine.stop)
        session = held.enter_context(engine.session(model, Priority.IMAGE))
        server = held.enter_context(OwnServer(settings))
        hub = held.enter_context(HubClient(server.address, transport=httpx.HTTPTransport()))
        height, width = photo.pixels.shape[:2]
        figures = Figures(f"{width} x {height} pixels", model, backend.name)
        ways = {
            "network": _network(photo, backend, settings),
            "engine": _engine(photo, session, settings),
            "api": lambda: hub.restore(path, catalog.get(model).task, model=model),
        }
        for turn in range(args.rounds + 1):
            _tell(f"round {turn} of {args.rounds}" if turn else "getting ready")
            for name, work in ways.items():
                seconds = _timed(work)
                if turn:
                    getattr(figures, name).append(seconds)
        _measure_load(figures, ways["api"], server.address, args.rounds)
        if args.clip is not None:
            clip = hub.submit_video(args.clip, catalog.get(model).task, model=model)
            while not running(clip).raw.get("frames_done"):
                time.sleep(0.2)
            for turn in range(args.rounds):
                _tell(f"beside a clip, round {turn + 1} of {args.rounds}")
                figures.beside_clip.append(_timed(ways["api"]))
            running(clip)
            clip.cancel()
    return figures


def _open(catalog: Catalog, settings: Settings, name: str | None) -> tuple[str, Backend]:
    entry = catalog.resolve(None, name) if name is None else catalog.get(name)
    if not entry.installed:
        raise unavailable(entry)
    return entry.name, make_backend(settings, catalog.load(entry.name), alone=True)


def _noisy_photo(path: Path, width: int, height: int) -> Path:
    """A picture of soft squares with noise, as a camera's JPEG."""
    random = np.random.default_rng(0)
    squares = random.uniform(40, 215, (height // 64 + 1, width // 64 + 1, 3)).repeat(64, 0).repeat(64, 1)
    pixels = squares[:height, :width] + random.normal(0, 20, (height, width, 3))
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=95)
    return path


def _network(photo: Photo, backend: Backend, settings: Settings) -> Callable[[], object]:
    limits = restore_limits(settings)
    height, width = photo.pixels.shape[:2]
    plan = plan_tiles(height, width, max_pixels=limits.max_tile_pixels, overlap=settings.overlap, tile=settings.tile)
    for shape in plan.shapes:
        backend.prepare(*shape)
    tiles = list(cut(photo.pixels, plan))
    return lambda: list(BackendRunner(backend).map(tiles))


def _engine(photo: Photo, session: EngineSession, settings: Settings) -> Callable[[], object]:
    options = RestoreOptions(tile=settings.tile, overlap=settings.overlap)
    return lambda: restore_photo(photo, session, options, limits=restore_limits(settings))


def _measure_load(figures: Figures, work: Callable[[], object], address: str, rounds: int) -> None:
    """Photos in flight, and how full their batches were."""
    batches, fill = _batches(address)
    with ThreadPoolExecutor(IN_FLIGHT) as threads:
        for turn in range(rounds):
            _tell(f"{IN_FLIGHT} at once, round {turn + 1} of {rounds}")

            def all_at_once() -> None:
                for done in [threads.submit(work) for _ in range(IN_FLIGHT)]:
                    done.result()

            figures.in_flight.append(_timed(all_at_once) / IN_FLIGHT)
    after, fill_after = _batches(address)
    figures.fill = (fill_after * after - fill * batches) / (after - batches)


def _batches(address: str) -> tuple[float, float]:
    """How many batches the server's engine has run, and how full they were in the mean."""
    lines = httpx.get(f"{address}/metrics", timeout=30, trust_env=False).text.splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return float(values[f"{PREFIX}batches_total"]), float(values[f"{PREFIX}batch_fill_ratio"])


def running(task: Task) -> TaskStatus:
    """How a clip stands. Raises HubError (`clip_ended`) if it has ended."""
    status = task.status()
    if status.finished:
        why = "is restored already: take a longer one" if status.status == "completed" else f"failed: {status.error}"
        raise HubError("clip_ended", f"The clip {why}.")
    return status


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _tell(step: str) -> None:
    sys.stderr.write(f"{step}\n")
