"""What the restorers raise, in the hub's own errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hub.errors import Cancelled, HubError, InvalidInput
from uformer.backends import OutOfMemory
from uformer.restore import RestoreCancelled


@contextmanager
def restoring(what: str) -> Iterator[None]:
    """Tell people what went wrong while `what` ("this photo") was restored.

    Raises Cancelled, InvalidInput (`not_restorable`) for an overlap that is too large for any allowed tile, HubError
    (`out_of_memory`) when even the smallest tile does not fit; other errors pass.
    """
    try:
        yield
    except RestoreCancelled as error:
        raise Cancelled from error
    except ValueError as error:  # From the planner of tiles; the message says what would be right.
        raise InvalidInput("not_restorable", str(error)) from error
    except (OutOfMemory, MemoryError) as error:
        raise HubError(
            "out_of_memory",
            f"The machine has too little free memory for {what} with this model; "
            "try a smaller model, or again when less is running.",
        ) from error
