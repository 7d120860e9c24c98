"""What a decoded frame carries beside its picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame


def side_data(frame: VideoFrame, kind: Type) -> bytes | None:
    """The bytes of one kind of side data, a C structure of FFmpeg in this machine's byte order."""
    carried = cast(Mapping[Type, Any], frame.side_data)
    return bytes(carried[kind]) if kind in carried else None
