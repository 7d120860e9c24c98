"""One batch of tiles: what runs it, what became of it, and how its tiles are told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextvars import Context
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hub.engine.queue import Lane, Tile
from hub.engine.shares import Priority
from hub.errors import Cancelled
from uformer.backends import Backend, OutOfMemory


@dataclass(frozen=True)
class Counters:
    """What the batch loop has done since it was made.

    fill: sum over batches of tiles / capacity.
    busy_seconds: time spent in backends, failed batches included; no second counts twice.
    """

    batches: int = 0
    tiles: int = 0
    fill: float = 0.0
    busy_seconds: float = 0.0
    failed_batches: int = 0
    out_of_memory: int = 0

    def after(self, outcome: NDArray[Any] | Exception, tiles: int, room: int, seconds: float) -> Self:
        """The counters after one more batch of `tiles`, where `room` would have fitted."""
        now = replace(self, busy_seconds=self.busy_seconds + seconds)
        if not isinstance(outcome, Exception):
            return replace(
                now, batches=now.batches + 1, tiles=now.tiles + tiles, fill=now.fill + min(1.0, tiles / room)
            )
        out_of_memory = now.out_of_memory + isinstance(outcome, OutOfMemory)
        return replace(now, failed_batches=now.failed_batches + 1, out_of_memory=out_of_memory)


@dataclass(eq=False)
class Running:
    """A batch that has begun; seconds: spent on it until `since`, not counting batches that interrupted it."""

    tiles: list[Tile]
    since: float
    seconds: float = 0.0

    @property
    def priority(self) -> Priority:
        """That of whoever leads it."""
        return self.tiles[0].lane.priority


def context_of(batch: Sequence[Tile]) -> Context:
    """The context of the session whose tiles these are; an empty one for those of several."""
    lanes = {tile.lane for tile in batch}
    return lanes.pop().context.copy() if len(lanes) == 1 else Context()


def attempt(
    backend: Backend, pixels: Sequence[NDArray[Any]], between: Callable[[], None], *, likely: bool
) -> NDArray[np.float32] | Exception:
    """Run tiles of one shape and type as a batch; returns the results, or what went wrong.

    between, likely: see Backend.run.

    A function of its own so that a returned exception's traceback holds neither itself nor the tiles' futures.
    """
    try:
        batch = pixels[0][np.newaxis] if len(pixels) == 1 else np.stack(pixels)
        outputs = backend.run(batch, between, likely=likely)
        sound = outputs.shape == batch.shape
    except (OutOfMemory, MemoryError) as error:
        # A fresh exception: the caught one's traceback would keep the tensors that did not fit alive.
        return OutOfMemory(str(error) or "Out of memory.")
    except Exception as error:  # noqa: BLE001 - goes to the session whose tile is at fault
        return error
    except BaseException as error:  # noqa: BLE001 - as above; some native libraries have errors that are no Exception
        return RuntimeError(f"{type(error).__name__}: {error}")
    if not sound:
        return RuntimeError(f"Backend {backend.name} returned shape {outputs.shape} for a batch of {batch.shape}.")
    return outputs


def fail(tiles: Iterable[Tile], error: Callable[[], Exception]) -> None:
    """Settle tiles with an error each."""
    for tile in tiles:
        settle(tile, error())


def settle(tile: Tile, outcome: NDArray[Any] | Exception) -> None:
    """Give a tile's owner its result or its error, unless he has one already or awaits none any more."""
    if tile.future.done() or not tile.future.set_running_or_notify_cancel():
        return
    if isinstance(outcome, Exception):
        tile.future.set_exception(outcome)
    else:
        tile.future.set_result(outcome)


def reason_to_drop(lane: Lane) -> Exception | None:
    """Why the lane's waiting tiles should go; None if they should not. Runs the job's own code."""
    try:
        return Cancelled() if lane.cancelled is not None and lane.cancelled() else None
    except Exception as error:  # noqa: BLE001 - goes to the session whose callback failed
        return error


def closed() -> Cancelled:
    """What tiles of a closed lane end with."""
    return Cancelled("The session was closed.")
