"""Clips that mean harm, made in code: scripts that name other files, headers that lie, pictures larger than told."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np

from .hostile_photos import COMPLETED, HTML, SVG, TOO_MANY_PIXELS, patched, png, saved, zeros

WIDTH, HEIGHT = 64, 48


def clip(form: str = "mp4", codec: str = "libx264", seconds: Fraction = Fraction(1, 10)) -> bytes:
    """A small clip of five frames of noise, each shown for so many seconds."""
    chance = np.random.default_rng(0)
    file = io.BytesIO()
    with av.open(file, "w", format=form) as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(5):
            pixels = chance.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number, seconds
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def carrying(form: str, codec: str, packets: list[bytes]) -> bytes:
    """A clip whose header says 64x48 and whose packets are anything."""
    file = io.BytesIO()
    with av.open(file, "w", format=form) as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height = WIDTH, HEIGHT
        stream.pix_fmt = "rgb24" if codec == "png" else "yuvj420p"
        for number, data in enumerate(packets):
            packet = av.Packet(data)
            packet.stream, packet.time_base = stream, Fraction(1, 10)
            packet.pts = packet.dts = number
            packet.is_keyframe = True
            container.mux(packet)
    return file.getvalue()


def large_jpeg() -> bytes:
    """A whole JPEG of 25 megapixels."""
    return saved("JPEG", (5_000, 5_000))


def mp4_of_size(width: int, height: int) -> bytes:
    """An MP4 whose table of contents claims this size; its stream says otherwise."""
    data = clip("mp4", "mpeg4")
    return patched(data, data.index(b"mp4v", data.index(b"stsd")) + 28, struct.pack(">HH", width, height))


def mp4_of_ticks(name: bytes, at: int, value: int) -> bytes:
    """An MP4 with a number of one of its boxes replaced, `at` bytes behind the box's name."""
    data = clip()
    return patched(data, data.index(name) + at, struct.pack(">I", value))


def mp4_with_samples(count: int) -> bytes:
    """An MP4 whose table of sample sizes says that there are so many, all of one byte."""
    data = clip()
    at = data.index(b"stsz") + 8
    return patched(data, at, struct.pack(">II", 1, count))


def mp4_of_boxes(depth: int) -> bytes:
    """Boxes within boxes."""
    inner = b""
    for _ in range(depth):
        inner = struct.pack(">I", len(inner) + 8) + b"moov" + inner
    return struct.pack(">I", 16) + b"ftypisom\0\0\0\0" + inner


def raw_video(width: int, height: int, rate: str = "10:1") -> bytes:
    """The header of an uncompressed clip, and one frame's beginning."""
    return f"YUV4MPEG2 W{width} H{height} F{rate} Ip A1:1 C420jpeg\nFRAME\n".encode() + bytes(1000)


def gif_of_seconds() -> bytes:
    """A GIF of three frames, each shown for eleven minutes."""
    frame = b"!\xf9\x04\0\xff\xff\0\0,\0\0\0\0\x40\0\x30\0\0\2\2D\1\0"
    return b"GIF89a\x40\0\x30\0\x80\0\0\0\0\0\xff\xff\xff" + frame * 3 + b";"


def playlist(address: str) -> bytes:
    """An HLS play list that leads elsewhere."""
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{address}/a.ts\n#EXT-X-ENDLIST\n".encode()


def concat(address: str) -> bytes:
    """A script of FFmpeg's concat demuxer."""
    return f"ffconcat version 1.0\nfile '/etc/passwd'\nfile '{address}/b.mp4'\n".encode()


def session(address: str) -> bytes:
    """A session description, at which FFmpeg would listen or connect."""
    port = address.rpartition(":")[2]
    return f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n".encode()


def dash(address: str) -> bytes:
    """A DASH manifest."""
    return (
        f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><AdaptationSet><Representation '
        f'id="0"><BaseURL>{address}/c.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>'
    ).encode()


NO_CLIP = (415, "not_a_video")
DAMAGED = (422, "damaged_video")
TOO_LONG = (413, "too_long")
TOO_MANY_FRAMES = (413, "too_many_frames")

SCRIPTS: dict[str, tuple[Callable[[str], bytes], tuple[int, str]]] = {
    "list.m3u8": (playlist, NO_CLIP),
    "list.mp4": (playlist, NO_CLIP),
    "script.mp4": (concat, NO_CLIP),
    "session.sdp": (session, NO_CLIP),
    "manifest.mp4": (dash, NO_CLIP),
}
"""As CLIPS; the function takes an address at which nobody may call."""

CLIPS: dict[str, tuple[Callable[[], bytes], tuple[int, str]]] = {
    "drawing.mp4": (lambda: SVG, NO_CLIP),
    "page.webm": (lambda: HTML, NO_CLIP),
    "photo.mp4": (lambda: png(), NO_CLIP),
    "archive.mov": (lambda: b"PK\x03\x04" + bytes(1000), NO_CLIP),
    "claims.y4m": (lambda: raw_video(60_000, 60_000), NO_CLIP),
    "large.avi": (lambda: carrying("avi", "mjpeg", [saved("JPEG", (3_000, 2_000))] * 2), TOO_MANY_PIXELS),
    "claims.mp4": (lambda: mp4_of_size(60_000, 60_000), COMPLETED),
    "inside png.mov": (lambda: carrying("mov", "png", [png(16_000, 16_000, rows=zeros(50))] * 3), DAMAGED),
    "inside jpeg.avi": (lambda: carrying("avi", "mjpeg", [large_jpeg()] * 2), DAMAGED),
    "grows.avi": (lambda: carrying("avi", "mjpeg", [saved("JPEG", (WIDTH, HEIGHT)), large_jpeg()]), COMPLETED),
    "long.mkv": (lambda: clip("matroska", seconds=Fraction(1000)), TOO_LONG),
    "long.gif": (gif_of_seconds, TOO_LONG),
    "no time.mp4": (lambda: mp4_of_ticks(b"mdhd", 16, 0), COMPLETED),
    "fast.y4m": (lambda: raw_video(WIDTH, HEIGHT, "1000000000:1"), DAMAGED),
    "samples.mp4": (lambda: mp4_with_samples(0x7FFFFFFF), DAMAGED),
    "boxes.mp4": (lambda: mp4_of_boxes(20_000), DAMAGED),
    "cut.mp4": (lambda: clip()[:-600], (415, "no_video_stream")),
    "cut.mkv": (lambda: clip("matroska")[:200], DAMAGED),
    "cut.avi": (lambda: clip("avi", "mpeg4")[:300], DAMAGED),
    "cut.ts": (lambda: clip("mpegts")[:400], NO_CLIP),
    "garbled.mkv": (lambda: clip("matroska")[:600] + b"\xff" * 4000, DAMAGED),
    "sizes.mkv": (lambda: clip("matroska")[:60] + b"\x08\xff\xff\xff\xff\xff\xff\xfe" * 500, DAMAGED),
}
"""Name → how it is made, and what becomes of it: the answer's status, and its code or how the job ends."""
