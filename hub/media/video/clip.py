"""What a clip is, for the hub and for its child processes alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CLOCKED = ("mpegts", "mpeg")
_LATE_SECONDS = 10


@dataclass(frozen=True)
class Colour:
    """How a clip's numbers mean colours: the code points of ITU-T H.273, 2 where the clip does not say.

    range: 0 unknown, 1 limited ("tv"), 2 full ("pc"), as FFmpeg counts.
    """

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    range: int = 0


@dataclass(frozen=True)
class ClipInfo:
    """A clip's header, with what its first frame tells.

    container: FFmpeg's name of the format, such as `mov,mp4,m4a,3gp,3g2,mj2`.
    stream: index of the video stream that is restored. codec: FFmpeg's name of what it is coded with.
    width, height: of the upright picture, cropped, in pixels as they are stored. aspect: of one upright pixel.
    channels: of the arrays that `reading` delivers: grey, grey and alpha, RGB, RGBA. bit_depth: per channel.
    pixel_format: FFmpeg's name, of what is coded.
    time_base: seconds of one tick of the times of frames.
    start: time of the first frame, in seconds, as the header has it.
    seconds: how long the video stream lasts, and frames: how many it has, as far as the header tells; else estimates
    or None. rate: frames per second on the average.
    turned: whether the picture had to be rotated or mirrored to stand upright.
    mastering: HDR metadata for encoders that take it, in FFmpeg's words; empty where there is none.
    notes: what a person should know.
    """

    container: str
    stream: int
    codec: str
    width: int
    height: int
    channels: int
    bit_depth: int
    pixel_format: str
    time_base: Fraction
    start: Fraction
    seconds: float | None
    frames: int | None
    rate: Fraction | None
    aspect: Fraction = Fraction(1)
    colour: Colour = Colour()
    interlaced: bool = False
    turned: bool = False
    audio_streams: int = 0
    subtitle_streams: int = 0
    mastering: Mapping[str, str] | None = None
    notes: tuple[str, ...] = ()

    @property
    def origin(self) -> Fraction:
        """The time, in seconds of the clip's clock, that counts as 0 of its presentation.

        Broadcast streams begin at whatever their clock shows, which may be hours.
        """
        broadcast = self.container in _CLOCKED and self.start > _LATE_SECONDS
        return self.start if broadcast else Fraction(0)

    @property
    def dtype(self) -> str:
        """Type of the arrays: deeper than 8 bits spans the full scale of 16."""
        return "uint8" if self.bit_depth == 8 else "uint16"

    def to_json(self) -> dict[str, Any]:
        """The header in JSON types."""
        packed = asdict(self)
        for name in ("time_base", "start", "rate", "aspect"):
            packed[name] = None if packed[name] is None else str(packed[name])
        return {**packed, "notes": list(self.notes)}

    @classmethod
    def from_json(cls, packed: Mapping[str, Any]) -> ClipInfo:
        """The header that `to_json` packed."""
        fields = dict(packed)
        for name in ("time_base", "start", "rate", "aspect"):
            fields[name] = None if fields[name] is None else Fraction(fields[name])
        fields["colour"] = Colour(**fields["colour"])
        fields["notes"] = tuple(fields["notes"])
        return cls(**fields)


@dataclass(frozen=True)
class Frame:
    """One upright picture of a clip.

    pixels: (H, W, 1 to 4) uint8 or uint16 at full scale: grey or RGB, full range, then alpha if the number is even.
    pts: presentation time in ticks of the clip's time base. duration: the same, where the clip tells it.
    """

    pixels: NDArray[np.uint8] | NDArray[np.uint16]
    pts: int
    duration: int | None = None
