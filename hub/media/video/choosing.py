"""Which streams of the input travel along, in what form, and what is to be said of the rest."""

from __future__ import annotations

from collections.abc import Sequence

import av
from av.audio.stream import AudioStream
from av.container.input import InputContainer
from av.container.output import OutputContainer
from av.stream import AttachmentStream, Discard, Disposition, Stream
from av.subtitles.stream import SubtitleStream

from hub.media.video.captions import ConvertedSubtitles
from hub.media.video.carrying import Carried, Copied, CoverArt
from hub.media.video.sound import TranscodedSound, choose_sound
from hub.media.video.timing import Window

# FFmpeg's names of what may be copied. FFmpeg would put Vorbis and PCM into MP4 too, and Opus into MOV, but hardly a
# player takes them.
_SOUND = {
    "mp4": ("aac", "mp3", "mp2", "ac3", "eac3", "dts", "truehd", "alac", "opus", "flac"),
    "mov": ("aac", "mp3", "mp2", "ac3", "eac3", "alac", "amr_nb", "amr_wb", "pcm_", "adpcm_ima_qt"),
    "matroska": ("",),
}
_MP4_SUBTITLES = frozenset({"mov_text", "dvd_subtitle"})
_SUBTITLE_ENCODERS = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip"}
_NAMES = {"mp4": "MP4", "mov": "MOV", "matroska": "Matroska"}
_KINDS = {"audio": "sound", "subtitle": "subtitle", "video": "video", "data": "data", "attachment": "attachment"}


class Choice:
    """The streams that travel along with the picture, made in the output as they are chosen.

    carried: those that have packets. counts: by FFmpeg's kinds. notes: on what is left out or changed.
    """

    def __init__(
        self, source: InputContainer, restored: int, kinds: Sequence[str], output: OutputContainer, window: Window
    ) -> None:
        """restored: index of the stream that is not carried. kinds: which may be, as FFmpeg calls them."""
        self._output = output
        self._container = output.format.name
        self._window = window
        self.carried: list[Carried] = []
        self.counts: dict[str, int] = {}
        self.notes: list[str] = []
        for stream in source.streams:
            # Streams that a demuxer discards itself hold its chapters.
            if stream.index == restored or stream.discard == Discard.all or stream.type not in kinds:
                continue
            try:
                found = self._choose(stream)
            except MemoryError:
                raise
            except (av.FFmpegError, ValueError):
                found = self._leave(stream)
            if found:
                self.counts[stream.type] = self.counts.get(stream.type, 0) + 1

    def _choose(self, stream: Stream) -> bool:
        if isinstance(stream, AttachmentStream):
            return self._attach(stream)
        if stream.type == "data":
            # Timecode is a tag of the picture, from which the muxer makes such a stream again.
            return False if "timecode" in stream.metadata else self._leave(stream)
        if not _decodable(stream):
            return self._leave(stream)
        if isinstance(stream, AudioStream):
            return self._choose_sound(stream)
        if isinstance(stream, SubtitleStream):
            return self._choose_subtitles(stream)
        if stream.disposition & Disposition.attached_pic:
            if self._container == "mov":
                return self._leave(stream)
            self.carried.append(CoverArt(stream, self._output))
            return True
        if self._window.cuts:
            return self._leave(stream, "only one video stream can be cut")
        return self._copy(stream)

    def _choose_sound(self, stream: AudioStream) -> bool:
        context = stream.codec_context
        if not context.sample_rate or not context.layout.nb_channels:
            return self._leave(stream, "it is empty or damaged")
        if context.codec.canonical_name.startswith(_SOUND[self._container]):
            try:
                return self._copy(stream)
            except MemoryError:
                raise
            except (av.FFmpegError, ValueError):
                pass
        sound = choose_sound(stream, self._container)
        if sound is None:
            return self._leave(stream)
        self.carried.append(TranscodedSound(stream, self._output, sound, self._window))
        how = f"encoded anew as {sound.encoder.upper()}"
        if sound.lossless and context.codec.canonical_name.startswith("pcm_"):
            how += ", without loss"
        self.notes.append(f"{_capital(name_of(stream))} does not fit into {_NAMES[self._container]} and was {how}.")
        return True

    def _choose_subtitles(self, stream: SubtitleStream) -> bool:
        codec = stream.codec_context.codec
        matroska = self._container == "matroska"
        if codec.canonical_name in _MP4_SUBTITLES or matroska:
            try:
                return self._copy(stream)
            except MemoryError:
                raise
            except (av.FFmpegError, ValueError):
                pass
        if not codec.text_sub:
            return self._leave(stream)
        encoder = _SUBTITLE_ENCODERS[self._container]
        self.carried.append(ConvertedSubtitles(stream, self._output, encoder, self._window))
        self.notes.append(f"{_capital(name_of(stream))} was converted to {encoder}, which knows less formatting.")
        return True

    def _attach(self, stream: AttachmentStream) -> bool:
        if self._container != "matroska":
            return self._leave(stream)
        self._output.add_stream_from_template(stream)
        return True

    def _copy(self, stream: Stream) -> bool:
        self.carried.append(Copied(stream, self._output, self._window))
        return True

    def _leave(self, stream: Stream, reason: str | None = None) -> bool:
        reason = reason or f"{_NAMES[self._container]} cannot hold it"
        self.notes.append(f"{_capital(name_of(stream))} was left out: {reason}.")
        return False


def name_of(stream: Stream) -> str:
    """What to call a stream towards a person."""
    codec = stream.codec_context.codec.canonical_name if _decodable(stream) else stream.name
    details = ", ".join(word for word in (codec, stream.language) if word)
    return f"the {_KINDS.get(stream.type, 'unknown')} stream {stream.index}" + (f" ({details})" if details else "")


def _decodable(stream: Stream) -> bool:
    """Whether FFmpeg knows the stream's codec; PyAV gives no context of others."""
    return getattr(stream, "codec_context", None) is not None


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
