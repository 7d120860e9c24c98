"""The engine's own error."""

from __future__ import annotations

from hub.errors import Busy


class EngineStopped(Busy):
    """The engine is not running, or stopped before the work was done; the work may be tried again later."""

    def __init__(self) -> None:
        super().__init__("engine_stopped", "The engine is not running; try again once the hub is up.")
