"""The only way a stranger's clip is opened, and only in a child process: nothing but the one file can be reached."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import av
from av.codec.context import CodecContext
from av.container.input import InputContainer
from av.error import InvalidDataError
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from hub.errors import Busy, HubError, InvalidInput, UnsupportedMedia
from hub.media.sniffing import HEAD_BYTES, describe, identify

# FFmpeg's demuxers that read one file and nothing else. Play lists, scripts, image sequences, devices and network
# formats are left out; the formats of sound are in, so that such files can be called what they are.
_VIDEO_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,mxf,gxf,dv,nut,wtv,rm,nsv,nuv,ivf,obu,gif,"
    "h261,h263,h264,hevc,vvc,evc,m4v,mpegvideo,mjpeg,cavsvideo,dirac,vc1,yuv4mpegpipe"
)
_SOUND_FORMATS = "mp3,wav,flac,aac,ac3,eac3,aiff,amr,caf,w64,au,ape,dts,truehd,tta,wv,mpc,mpc8,dsf,amrnb,amrwb"
_OPTIONS = {
    "format_whitelist": f"{_VIDEO_FORMATS},{_SOUND_FORMATS}",
    "protocol_whitelist": "file",
    "probesize": "20000000",
    "analyzeduration": "10000000",
}
READABLE = "MP4, MOV, MKV, WebM, AVI, MPEG-TS, MPEG, FLV, WMV, OGG, MXF or GIF"
_PHOTO_FORMATS = ("avif", "heic", "raw")
# Decoders that know the transparency of VP8 and VP9, which FFmpeg's own do not.
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
_PICTURES = Disposition.attached_pic | Disposition.still_image
_CLOCK = re.compile(r"(\d+):(\d+):(\d+(?:\.\d*)?)")
_THREADS = min(8, os.cpu_count() or 1)
_MICROSECOND = 1e-6


class SourceFile:
    """A file as FFmpeg reads it, without a name whose ending FFmpeg would go by.

    Demuxers take whatever fails for the end of the file, and call their own trouble EIO. Here it is certain what the
    system said, and whichever call of PyAV made FFmpeg read raises it: Busy (`read_failed`).
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        """At most `size` bytes, none at the end."""
        try:
            return self._file.read(size)
        except OSError as error:
            raise _unreadable(error) from error

    def seek(self, offset: int, whence: int) -> int:
        """The new position, or minus the error number for one that a damaged file made up."""
        try:
            return self._file.seek(offset, whence)
        except OSError as error:
            return -(error.errno or errno.EINVAL)

    def tell(self) -> int:
        """The position."""
        return self._file.tell()


@contextmanager
def open_clip(path: Path, max_pixels: int | None = None) -> Iterator[InputContainer]:
    """Open a file by its content, whatever it is called.

    max_pixels: FFmpeg, which decodes pictures to learn of a stream, leaves larger ones alone.

    Raises UnsupportedMedia (`not_a_video`), InvalidInput (`empty_file`, `damaged_video`). Whoever reads from it may get
    Busy (`read_failed`) or MemoryError; any FFmpegError but av.error.MemoryError means that the content is damaged.
    """
    with _opened(path) as file:
        source = SourceFile(file)
        head = source.read(HEAD_BYTES)
        if not head:
            raise InvalidInput("empty_file", "The file is empty. Send a whole clip.")
        source.seek(0, os.SEEK_SET)
        try:
            container = av.open(source, "r", options=_OPTIONS | _bound(max_pixels), metadata_errors="replace")
        except MemoryError:
            raise
        except (av.FFmpegError, ValueError) as error:
            raise _refusal(head, error) from error
        with container:
            if container.format.name.startswith("mov") and _photo(head) in _PHOTO_FORMATS:
                raise _photo_refusal()
            yield container


def video_stream(container: InputContainer) -> VideoStream:
    """The stream to restore: the best one by FFmpeg's choice, never cover art.

    Raises UnsupportedMedia (`no_video_stream`, `unknown_video_codec`).
    """
    best = container.streams.best("video")
    moving = [stream for stream in container.streams.video if not stream.disposition & _PICTURES]
    if not moving:
        raise UnsupportedMedia("no_video_stream", "The file has no video, only sound or pictures. Send a clip.")
    stream = best if isinstance(best, VideoStream) and best in moving else moving[0]
    if getattr(stream, "codec_context", None) is None:
        raise UnsupportedMedia(
            "unknown_video_codec", "The video is coded in a way that the hub cannot decode. Send it as H.264 or H.265."
        )
    return stream


def decoder_for(stream: VideoStream, max_pixels: int) -> VideoCodecContext:
    """A decoder whose result depends on the stream alone: slices may run side by side, frames may not.

    max_pixels: of a picture, above which decoding fails before memory is taken for it.

    With frames decoded side by side the concealment of damage depends on timing, and an error while the decoder is
    drained loses the frames behind it.
    """
    context: CodecContext = stream.codec_context
    name = _ALPHA_DECODERS.get(context.name)
    if name is not None and stream.metadata.get("alpha_mode") == "1":
        context = CodecContext.create(name, "r")
    context.options = _bound(max_pixels)
    context.thread_type = "SLICE"
    context.thread_count = _THREADS
    return cast(VideoCodecContext, context)


def stream_seconds(container: InputContainer, stream: VideoStream) -> tuple[float | None, bool]:
    """How long the video lasts, and whether the header says so of the video itself."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base), container.format.name not in ("mpegts", "mpeg")
    # Matroska's tag is the time at which the stream ends.
    tag = _CLOCK.fullmatch(stream.metadata.get("DURATION", ""))
    if tag and stream.time_base is not None:
        hours, minutes, seconds = tag.groups()
        start = float((stream.start_time or 0) * stream.time_base)
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds) - start, True
    return (None if container.duration is None else container.duration * _MICROSECOND), False


def _bound(max_pixels: int | None) -> dict[str, str]:
    return {} if max_pixels is None else {"max_pixels": str(max_pixels)}


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb", buffering=0)
    except OSError as error:
        raise _unreadable(error) from error


def _unreadable(error: OSError) -> HubError:
    return Busy(
        "read_failed",
        f"The clip's file could not be read ({error.strerror}). Make sure that its disk can be reached, then try again"
        " or resume the task.",
    )


def _photo(head: bytes) -> str | None:
    """The format of a photo, or None."""
    try:
        return identify(head, "")
    except UnsupportedMedia:
        return None


def _photo_refusal() -> HubError:
    return UnsupportedMedia("not_a_video", "The file is a photo, not a clip. Send it to process_image.")


def _refusal(head: bytes, error: Exception) -> HubError:
    """What to say of a file that FFmpeg does not open."""
    if _photo(head) is not None:
        return _photo_refusal()
    # A file of a known kind that breaks off or is garbled; any other kind is refused by the white list (EINVAL).
    if isinstance(error, InvalidDataError) and head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide"):
        return InvalidInput(
            "damaged_video",
            "The clip is damaged: its table of contents is missing, most likely because its end is."
            " Send a complete copy.",
        )
    if head.startswith(b"\x1aE\xdf\xa3") or head[8:12] == b"AVI ":
        return InvalidInput("damaged_video", "The clip is damaged: its header cannot be read. Send an undamaged copy.")
    return UnsupportedMedia("not_a_video", f"The file is {describe(head)}, not a clip. Send {READABLE}.")
