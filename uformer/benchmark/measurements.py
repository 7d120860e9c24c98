"""One run of the benchmark: all ways side by side, so that what disturbs the machine disturbs each alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median

from uformer.benchmark.ceiling import Ceiling, operations
from uformer.benchmark.ways import Way
from uformer.benchmark.worker import Worker, WorkerFailed

VIDEO = (1080, 1920)


@dataclass(frozen=True)
class Plan:
    """What is measured. tile: side in pixels. rounds: how often each way runs a tile, and a frame of video.

    photo: height and width; restored once each way, for it takes long.
    """

    tile: int = 256
    rounds: int = 7
    photo: tuple[int, int] = (3000, 4000)
    frames: int = 3


@dataclass
class Row:
    """One way with one variant. Seconds: of each batch of tiles, divided by their number; of each frame; of the photo.

    problem: why it could not be measured, or not to the end.
    """

    variant: str
    way: Way
    tile_side: int
    tile_seconds: list[float] = field(default_factory=list)
    batch: int = 1
    frame_seconds: list[float] = field(default_factory=list)
    photo_seconds: float | None = None
    photo_pixels: int = 0
    peak_bytes: int = 0
    problem: str | None = None

    @property
    def tile_ms(self) -> float:
        """Median milliseconds of a tile."""
        return 1000 * median(self.tile_seconds)

    @property
    def frames_per_second(self) -> float | None:
        """Of video of 1920 x 1080 pixels, if it was measured."""
        return 1 / median(self.frame_seconds) if self.frame_seconds else None

    @property
    def megapixels_per_second(self) -> float:
        """Of output, on the photo."""
        return self.photo_pixels / 1e6 / self.photo_seconds if self.photo_seconds else 0.0

    def share(self, ceiling: Ceiling) -> float:
        """Of the machine's matrix products, at this way's precision, while it runs tiles."""
        rate = operations(self.variant, self.tile_side) / median(self.tile_seconds)
        return rate / ceiling.of(self.way.precision)


def measure(
    variant: str, ways: Sequence[Way], plan: Plan, threads: int | None, tell: Callable[[str], object]
) -> list[Row]:
    """Measure all ways with one variant. tell: told of each step, for it takes minutes."""
    rows = [Row(variant, way, plan.tile, photo_pixels=plan.photo[0] * plan.photo[1]) for way in ways]
    with ExitStack() as open_workers:
        workers = [open_workers.enter_context(Worker(row.way, variant, threads)) for row in rows]
        both = list(zip(rows, workers, strict=True))

        def each(what: str, step: Callable[[Row, Worker], None]) -> None:
            tell(f"{variant}: {what}")
            for row, worker in both:
                if row.problem is None:
                    try:
                        step(row, worker)
                    except WorkerFailed as error:
                        row.problem = str(error)

        each("opening", lambda row, worker: _tile(row, worker, plan, counts=False))
        for turn in range(plan.rounds):
            each(f"tiles, round {turn + 1} of {plan.rounds}", lambda row, worker: _tile(row, worker, plan))
        for turn in range(plan.frames):
            each(f"video, frame {turn + 1} of {plan.frames}", _frame)
        each("the photo", lambda row, worker: _photo(row, worker, plan))
        each("memory", _memory)
    return rows


def _tile(row: Row, worker: Worker, plan: Plan, *, counts: bool = True) -> None:
    seconds, row.batch = worker.tile(plan.tile)
    if counts:
        row.tile_seconds.append(seconds / row.batch)


def _frame(row: Row, worker: Worker) -> None:
    row.frame_seconds.append(worker.image(*VIDEO))


def _photo(row: Row, worker: Worker, plan: Plan) -> None:
    row.photo_seconds = worker.image(*plan.photo)


def _memory(row: Row, worker: Worker) -> None:
    row.peak_bytes = worker.peak_bytes()
