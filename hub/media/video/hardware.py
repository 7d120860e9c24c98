"""Encoders in graphics hardware: those that are listed are not those that work, so each is tried."""

from __future__ import annotations

import logging
import tempfile
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np

from hub.errors import HubError
from hub.media.video.clip import ClipInfo, Frame
from hub.media.video.codecs import plan_encoding
from hub.media.video.writing import ClipWriter

logger = logging.getLogger(__name__)

# NVIDIA, Intel, AMD; what FFmpeg's encoders of each end with.
_KINDS = ("nvenc", "qsv", "amf")
_CODECS = ("h264", "h265", "av1")
_SIDE = 256
_SECONDS = 20.0
_MEMORY_BYTES = 1 << 62


@cache
def find_hardware(codec: str) -> str | None:
    """The kind of hardware (`nvenc`, `qsv`, `amf`) that really encodes a frame with a codec here, or None.

    Takes up to some seconds, once per process and codec. H.264, H.265 and AV1 only.
    """
    if codec not in _CODECS:
        return None
    return next((kind for kind in _KINDS if _encodes(codec, kind)), None)


def _encodes(codec: str, kind: str) -> bool:
    tick = Fraction(1, 25)
    info = ClipInfo(
        container="mov",
        stream=0,
        codec="h264",
        width=_SIDE,
        height=_SIDE,
        channels=3,
        bit_depth=8,
        pixel_format="yuv420p",
        time_base=tick,
        start=Fraction(0),
        seconds=1.0,
        frames=1,
        rate=1 / tick,
    )
    plan = plan_encoding(info, codec, 18, hardware=kind)
    written: list[int] = []
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            ClipWriter(plan, memory_bytes=_MEMORY_BYTES, silence=_SECONDS) as writer,
        ):
            writer.begin(Path(folder) / "probe.mp4", lambda segment: written.append(segment.frames))
            writer.write(Frame(np.zeros((_SIDE, _SIDE, 3), np.uint8), 0, 1))
            writer.end()
            writer.close()
    except HubError:
        logger.info("The hardware encoder %s does not work here.", plan.encoder)
        return False
    return written == [1]
