"""What the machine and its owner allow a clip."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from hub.errors import Busy


@dataclass(frozen=True)
class ClipTerms:
    """From the settings.

    max_tile_pixels, tile, overlap: how frames are cut up. segment_seconds: the length of a segment.
    memory_bytes: of a process that encodes. silence: seconds after which a silent one is given up.
    min_free_bytes: stays free on the disk. hardware: whether graphics hardware that works is to encode.
    """

    max_tile_pixels: int
    tile: int | None
    overlap: int
    segment_seconds: float
    memory_bytes: int
    silence: float
    min_free_bytes: int
    hardware: bool = False

    def check_free(self, folder: Path, needed: int = 0) -> None:
        """Raise Busy (`disk_full`) unless `needed` bytes fit there beside what stays free."""
        free = shutil.disk_usage(folder).free
        needed += self.min_free_bytes
        if free < needed:
            raise Busy(
                "disk_full",
                f"The clip needs about {needed / 1e6:.0f} MB of free disk space and there are {free / 1e6:.0f} MB. "
                "Free some, then send the clip again or resume its task.",
                retry_after=60,
            )
