"""How large a clip may be: checked from its header, and again while it is decoded, since headers may lie."""

from __future__ import annotations

from dataclasses import dataclass

from hub.errors import TooLarge
from hub.media.video.channel import MAX_ARRAY_BYTES


@dataclass(frozen=True)
class Limits:
    """What a clip may be: pixels of one picture, seconds and frames of the whole clip."""

    max_pixels: int
    max_seconds: float
    max_frames: int

    @property
    def decoded_pixels(self) -> int:
        """Where FFmpeg itself gives up: the header may name a small picture, and a packet hold a huge one.

        Well above `max_pixels`, so that a picture somewhat too large is refused in words that tell its size.
        """
        return 4 * self.max_pixels

    def check_size(self, width: int, height: int) -> None:
        """Raise TooLarge (`too_many_pixels`)."""
        if width * height > self.max_pixels:
            raise TooLarge(
                "too_many_pixels",
                f"The picture has {width} x {height} = {width * height:,} pixels; at most {self.max_pixels:,} are"
                " allowed. Send a smaller one.",
                {"width": width, "height": height, "max_pixels": self.max_pixels},
            )

    def check_seconds(self, seconds: float | None) -> None:
        """Raise TooLarge (`too_long`)."""
        if seconds is not None and seconds > self.max_seconds:
            raise TooLarge(
                "too_long",
                f"The clip lasts {seconds:,.1f} seconds; at most {self.max_seconds:,g} are allowed."
                " Send a shorter one.",
                {"seconds": seconds, "max_seconds": self.max_seconds},
            )

    def check_frames(self, frames: int | None) -> None:
        """Raise TooLarge (`too_many_frames`)."""
        if frames is not None and frames > self.max_frames:
            raise TooLarge(
                "too_many_frames",
                f"The clip has {frames:,} frames or more; at most {self.max_frames:,} are allowed. Send a shorter one.",
                {"frames": frames, "max_frames": self.max_frames},
            )

    def check_bytes(self, size: int) -> None:
        """Raise TooLarge (`too_much_memory`) for a picture that would not pass from child to hub."""
        if size > MAX_ARRAY_BYTES:
            raise TooLarge(
                "too_much_memory",
                f"One picture of the clip takes {size >> 20:,} MB; at most {MAX_ARRAY_BYTES >> 20:,} MB can be handled."
                " Send a smaller one.",
                {"bytes": size, "max_bytes": MAX_ARRAY_BYTES},
            )
