"""The child that tells how large frames are when they are coded: frames come in, sizes go out."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import av

from hub.media.video.channel import Channel
from hub.media.video.codecs import EncodePlan, frame_ticks
from hub.media.video.converting import Converter
from hub.media.video.encoding import add_video_stream


def serve(request: Mapping[str, Any], channel: Channel) -> None:
    """Answer `{"run": count}` and as many frames with `{"sizes": [...]}`, run after run, until the hub wants no more.

    Sizes are bytes of coded frames, in the order of coding: the first is the key frame.
    """
    plan = EncodePlan.from_json(request["plan"])
    while True:
        message, _ = channel.receive()
        channel.send({"sizes": _sizes(plan, int(message["run"]), channel)})


def _sizes(plan: EncodePlan, count: int, channel: Channel) -> list[int]:
    converter = Converter(plan)
    with av.open(io.BytesIO(), "w", format="matroska") as container:
        stream = add_video_stream(container, plan)
        packets = []
        for place in range(count):
            _, pixels = channel.receive()
            if pixels is None:
                raise ValueError("a message without a frame")
            frame = converter.convert(pixels)
            frame.pts, frame.time_base = place * frame_ticks(plan), plan.time_base
            packets += stream.encode(frame)
        packets += stream.encode(None)
        return [packet.size for packet in packets]
