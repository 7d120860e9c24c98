"""HDR metadata of a frame: the display that the clip was graded on, and how bright it gets."""

from __future__ import annotations

import struct

from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame

from hub.media.video.sidedata import side_data

# x265 counts chromaticities in steps of 0.00002 and luminances in steps of 0.0001 cd/m².
_CHROMATICITY = 50_000
_LUMINANCE = 10_000


def mastering_of(frame: VideoFrame) -> dict[str, str] | None:
    """`master-display` and `max-cll` in the words and integers of x265; None where the frame has neither."""
    words: dict[str, str] = {}
    if (data := side_data(frame, Type.MASTERING_DISPLAY_METADATA)) is not None:
        # AVMasteringDisplayMetadata: primaries R, G, B and white as x, y; lowest, highest luminance; two flags.
        numbers = struct.unpack("=22i", data[:88])
        values = [top / bottom if bottom else 0.0 for top, bottom in zip(numbers[:20:2], numbers[1:20:2], strict=True)]
        if numbers[20] and numbers[21]:
            red, green, blue, white = (
                f"({round(x * _CHROMATICITY)},{round(y * _CHROMATICITY)})"
                for x, y in zip(values[:8:2], values[1:8:2], strict=True)
            )
            lowest, highest = (round(value * _LUMINANCE) for value in values[8:])
            words["master-display"] = f"G{green}B{blue}R{red}WP{white}L({highest},{lowest})"
    if (data := side_data(frame, Type.CONTENT_LIGHT_LEVEL)) is not None:
        brightest, average = struct.unpack("=2I", data[:8])
        if brightest or average:
            words["max-cll"] = f"{brightest},{average}"
    return words or None
