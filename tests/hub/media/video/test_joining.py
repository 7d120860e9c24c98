from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition
from numpy.typing import NDArray
from PIL import Image

from hub.errors import InvalidInput
from hub.media.video.clip import Frame
from hub.media.video.codecs import plan_encoding
from hub.media.video.decoder import ClipDecoder
from hub.media.video.writing import ClipWriter, Joined, SegmentInfo, join_clip

MEMORY = 8 << 30
RATE = 48_000
FONT = bytes(range(256)) * 8
Result = tuple[Path, Joined]


@pytest.fixture
def restore(clip_decoder: ClipDecoder, tmp_path: Path) -> Callable[..., Result]:
    """Reads a clip, writes it in segments of `per` frames, and joins them; without a network in between."""

    def run(source: Path, codec: str = "h264", *, per: int = 5, **bounds: float | None) -> Result:
        info = clip_decoder.probe(source)
        plan = plan_encoding(info, codec, 24)
        segments: list[tuple[Path, SegmentInfo]] = []
        start, end = bounds.get("start"), bounds.get("end")
        since = None if start is None else -int(-Fraction(start) // info.time_base)
        until = None if end is None else -int(-Fraction(end) // info.time_base)
        with (
            clip_decoder.read(source, info, since=since, until=until) as frames,
            ClipWriter(plan, memory_bytes=MEMORY, silence=60) as writer,
        ):
            for index, frame in enumerate(frames):
                if index % per == 0:
                    if index:
                        writer.end()
                    path = tmp_path / f"{codec}-{index}.{plan.segment_container}"
                    writer.begin(path, lambda segment, path=path: segments.append((path, segment)))
                writer.write(frame)
            writer.end()
        output = tmp_path / f"result-{codec}{plan.suffix}"
        joined = join_clip(source, info, plan, segments, output, start=start, end=end, memory_bytes=MEMORY, silence=60)
        return output, joined

    return run


def tone(start: int, count: int) -> NDArray[np.float32]:
    """A rising tone: no two moments of it are alike."""
    moment = np.arange(start, start + count) / RATE
    return (0.4 * np.sin(2 * np.pi * (200 + 300 * moment) * moment)).astype(np.float32)


def make_rich(
    path: Path,
    *,
    sound: Sequence[str] = ("aac",),
    subtitles: bool = False,
    font: bool = False,
    chapters: bool = False,
    cover: bool = False,
    timecode: str | None = None,
    tags: dict[str, str] | None = None,
    first: Fraction = Fraction(0),
    seconds: int = 1,
) -> Path:
    """A clip of 25 frames per second with everything that travels along."""
    with av.open(str(path), "w") as output:
        output.metadata.update(tags or {})
        video = output.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 128, 96, "yuv420p"
        if timecode:
            video.metadata["timecode"] = timecode
        voices = []
        for codec in sound:
            voice = output.add_stream(codec, rate=RATE, layout="mono", options={"strict": "-2"})
            voice.codec_context.bit_rate = 128_000
            voice.metadata.update({"language": "deu", "title": codec})
            voices.append(voice)
        lines = []
        if subtitles:
            for codec in ("subrip", "ass"):
                line = output.add_mux_stream(codec)
                line.metadata["language"] = "fra"
                lines.append((codec, line))
        art = None
        if cover:
            art = output.add_mux_stream("mjpeg", width=16, height=16)
            art.disposition = Disposition.attached_pic
        if font:
            output.add_attachment("font.ttf", "application/x-truetype-font", FONT)
        if chapters:
            millisecond = Fraction(1, 1000)
            spans = ((0, 400), (400, 1000))
            output.set_chapters(
                [
                    {"id": i, "start": a, "end": b, "time_base": millisecond, "metadata": {"title": f"part {i}"}}
                    for i, (a, b) in enumerate(spans)
                ]
            )
        packets = []
        rows, columns = np.mgrid[0:96, 0:128]
        for index in range(25 * seconds):
            picture = np.stack([(columns * 2 + index * 3) % 256, rows * 2, (rows + columns + index) % 256], -1)
            frame = av.VideoFrame.from_ndarray(picture.astype(np.uint8)).reformat(format="yuv420p")
            frame.pts, frame.time_base = index + round(first * 25), Fraction(1, 25)
            packets += video.encode(frame)
        packets += video.encode(None)
        for voice in voices:
            packets += _voiced(voice, first, seconds)
        for number, (begin, text) in enumerate(((100, "Hello <i>you</i>"), (500, "Second"))):
            for codec, line in lines:
                body = f"{number},0,Default,,0,0,0,,{text}" if codec == "ass" else text
                packet = av.Packet(body.encode())
                packet.stream, packet.time_base = line, Fraction(1, 1000)
                packet.pts = packet.dts = begin
                packet.duration = 300
                packets.append(packet)
        if art is not None:
            jpeg = io.BytesIO()
            Image.new("RGB", (16, 16), (200, 30, 40)).save(jpeg, "JPEG")
            packet = av.Packet(jpeg.getvalue())
            packet.stream, packet.time_base = art, Fraction(1, 1000)
            packet.pts = packet.dts = 0
            packets.append(packet)
        for packet in sorted(packets, key=lambda packet: (packet.dts or 0) * packet.time_base):
            output.mux(packet)
    return path


def _voiced(voice: Any, first: Fraction, seconds: int) -> list[Any]:
    packets = []
    converter = av.AudioResampler(voice.codec_context.format.name, "mono", RATE, voice.codec_context.frame_size or None)
    for start in range(0, RATE * seconds, 1000):
        frame = av.AudioFrame.from_ndarray(tone(start, 1000)[None], format="fltp", layout="mono")
        frame.sample_rate, frame.time_base = RATE, Fraction(1, RATE)
        frame.pts = start + round(first * RATE)
        for part in converter.resample(frame):
            packets += voice.encode(part)
    for part in converter.resample(None):
        packets += voice.encode(part)
    return packets + voice.encode(None)


def payloads(path: Path, kind: str = "audio", number: int = 0) -> list[tuple[float, bytes]]:
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[number]
        return [
            (float(packet.pts * packet.time_base), bytes(packet)) for packet in container.demux(stream) if packet.size
        ]


def heard(path: Path, number: int = 0) -> tuple[float, NDArray[np.float64]]:
    """When the decoded sound begins, and its samples, from -1 to 1."""
    with av.open(str(path)) as container:
        frames = list(container.decode(container.streams.audio[number]))
    start = float(frames[0].pts * frames[0].time_base)
    samples = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    scale = np.iinfo(samples.dtype).max if np.issubdtype(samples.dtype, np.integer) else 1
    return start, samples.astype(float) / scale


def lateness(path: Path, moment: float, number: int = 0) -> float:
    """By how many milliseconds the sound at 0.3 s of a result comes later than the tone at `moment`."""
    start, samples = heard(path, number)
    begin = round((0.3 - start) * RATE)
    window = samples[begin : begin + 8000]
    wanted = tone(round((moment + 0.3) * RATE) - 480, len(window) + 960)
    scores = [np.dot(window, wanted[shift : shift + len(window)]) for shift in range(961)]
    return (480 - int(np.argmax(scores))) * 1000 / RATE


def shown(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


@pytest.mark.parametrize("codec", ["h264", "h265", "av1", "prores"])
def test_frames_and_sound_keep_their_times(codec: str, tmp_path: Path, restore: Callable[..., Result]) -> None:
    source = make_rich(tmp_path / "clip.mp4", first=Fraction(2), tags={"title": "A clip", "artist": "me"})
    output, joined = restore(source, codec)
    assert shown(output) == shown(source)
    assert payloads(output) == payloads(source)
    assert heard(output)[0] == heard(source)[0]
    np.testing.assert_array_equal(heard(output)[1], heard(source)[1])
    assert (joined.frames, joined.seconds, joined.audio, joined.bytes) == (25, 1.0, 1, output.stat().st_size)
    assert joined.notes == ()
    with av.open(str(output)) as container:
        assert container.metadata["title"] == "A clip"
        assert container.metadata["artist"] == "me"
        assert container.streams.audio[0].language in ("deu", "ger")


def test_mp4_can_be_played_while_it_loads(tmp_path: Path, restore: Callable[..., Result]) -> None:
    output, _ = restore(make_rich(tmp_path / "clip.mp4"))
    data = output.read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat")


def test_packets_of_segments_are_the_result(tmp_path: Path, restore: Callable[..., Result]) -> None:
    output, _ = restore(make_rich(tmp_path / "clip.mp4"), per=4)
    segments = sorted(tmp_path.glob("h264-*.mp4"), key=lambda path: int(path.stem.split("-")[1]))
    assert len(segments) == 7
    coded = [data for path in segments for _, data in payloads(path, "video")]
    assert [data for _, data in payloads(output, "video")] == coded


def test_variable_rate_survives_the_joins(
    make_clip: Callable[..., Path], read_clip: Callable[..., Any], restore: Callable[..., Result]
) -> None:
    times = [0, 3000, 3001, 9000, 900_000, 903_000, 909_000, 2_000_000, 2_003_000, 2_003_500, 2_100_000]
    source = make_clip("clip.mp4", times=times, time_base=Fraction(1, 90000))
    output, joined = restore(source, per=2)
    result = read_clip(output)
    assert [time * result.info.time_base for time in result.times] == [Fraction(time, 90000) for time in times]
    assert joined.frames == len(times)


def test_odd_time_bases_are_exact(make_clip: Callable[..., Path], restore: Callable[..., Result]) -> None:
    source = make_clip("clip.mp4", time_base=Fraction(1001, 30000), rate=Fraction(30000, 1001), times=range(100, 112))
    output, _ = restore(source)
    assert shown(output) == shown(source)
    assert shown(output)[1] - shown(output)[0] == Fraction(1001, 30000)


def test_matroska_into_mp4(tmp_path: Path, restore: Callable[..., Result]) -> None:
    source = make_rich(
        tmp_path / "clip.mkv",
        sound=("aac", "libopus", "pcm_s16le"),
        subtitles=True,
        font=True,
        chapters=True,
    )
    output, joined = restore(source)
    assert (joined.audio, joined.subtitles, joined.attachments, joined.chapters) == (3, 2, 0, 2)
    for number in (0, 1):
        assert [data for _, data in payloads(output, "audio", number)] == [
            data for _, data in payloads(source, "audio", number)
        ]
        ours, theirs = heard(output, number)[1], heard(source, number)[1]
        np.testing.assert_array_equal(ours[: len(theirs)], theirs[: len(ours)])
    np.testing.assert_array_equal(heard(output, 2)[1], heard(source, 2)[1])
    said = " ".join(joined.notes)
    assert "pcm_s16le, deu) does not fit into MP4 and was encoded anew as FLAC, without loss" in said
    assert "font.ttf" in said
    assert said.count("converted to mov_text") == 2
    texts = [data[2:] for _, data in payloads(output, "subtitles") if len(data) > 2]
    assert [text[:9] for text in texts] == [b"Hello you", b"Second"]
    with av.open(str(output)) as container:
        assert [chapter["metadata"]["title"] for chapter in container.chapters()] == ["part 0", "part 1"]
        assert container.streams.subtitles[0].language == "fra"


def test_matroska_into_matroska_keeps_everything(tmp_path: Path, restore: Callable[..., Result]) -> None:
    source = make_rich(
        tmp_path / "clip.mkv", sound=("aac", "libopus", "pcm_s16le"), subtitles=True, font=True, chapters=True
    )
    output, joined = restore(source, "lossless")
    assert output.suffix == ".mkv"
    assert (joined.audio, joined.subtitles, joined.attachments, joined.chapters) == (3, 2, 1, 2)
    assert joined.notes == ()
    for kind, count in (("audio", 3), ("subtitles", 2)):
        for number in range(count):
            assert payloads(output, kind, number) == payloads(source, kind, number)
    with av.open(str(output)) as container:
        (font,) = container.streams.attachments
        assert font.data == FONT


def test_sound_that_mp4_cannot_hold_is_encoded_anew_in_sync(tmp_path: Path, restore: Callable[..., Result]) -> None:
    source = make_rich(tmp_path / "clip.asf", sound=("wmav2",))
    output, joined = restore(source)
    (note,) = joined.notes
    assert "(wmav2" in note
    assert note.endswith("does not fit into MP4 and was encoded anew as AAC.")
    # The input's encoder is some milliseconds late itself.
    assert abs(lateness(output, 0) - lateness(source, 0)) < 1


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_cut_begins_at_0_in_sync(suffix: str, tmp_path: Path, restore: Callable[..., Result]) -> None:
    source = make_rich(
        tmp_path / f"clip.{suffix}", seconds=3, chapters=True, subtitles=suffix == "mkv", timecode="01:00:00:00"
    )
    output, joined = restore(source, start=0.5, end=2.0)
    times = shown(output)
    # The first frame at or after 0.5 s is the one at 0.52 s.
    assert (times[0], len(times)) == (0, 37)
    assert joined.seconds == pytest.approx(1.48)
    assert abs(lateness(output, 0.52)) < 1
    assert heard(output)[0] == pytest.approx(0, abs=1e-3)
    assert 1.45 < len(heard(output)[1]) / RATE < 1.55
    with av.open(str(output)) as container:
        (chapter,) = container.chapters()
        assert chapter["start"] == 0
        assert "timecode" not in container.streams.video[0].metadata
    if suffix == "mkv":
        begin, text = payloads(output, "subtitles")[0]
        assert (begin, text[2:8]) == (0, b"Second")


def test_an_end_alone_keeps_the_sound_before_the_picture(
    clip_decoder: ClipDecoder, draw: Any, make_clip: Callable[..., Path], tmp_path: Path
) -> None:
    source = make_clip("clip.mkv", times=range(25, 50), sound=True)
    info = clip_decoder.probe(source)
    plan = plan_encoding(info, "h264", 24)
    segments: list[tuple[Path, SegmentInfo]] = []
    until = round(Fraction(9, 5) / info.time_base)
    with (
        clip_decoder.read(source, info, until=until) as frames,
        ClipWriter(plan, memory_bytes=MEMORY, silence=60) as writer,
    ):
        path = tmp_path / "segment.mp4"
        writer.begin(path, lambda segment: segments.append((path, segment)))
        for frame in frames:
            writer.write(frame)
        writer.end()
    output = tmp_path / "result.mp4"
    join_clip(source, info, plan, segments, output, end=1.8, memory_bytes=MEMORY, silence=60)
    assert shown(output) == [Fraction(index, 25) for index in range(25, 45)]
    begin, sound = heard(output)
    assert begin == pytest.approx(heard(source)[0], abs=1e-3)
    assert len(sound) / RATE == pytest.approx(1.8, abs=0.05)


def test_timecode_and_cover_travel_along(tmp_path: Path, restore: Callable[..., Result]) -> None:
    output, joined = restore(make_rich(tmp_path / "clip.mp4", cover=True, timecode="01:02:03:04"))
    assert joined.attachments == 1
    with av.open(str(output)) as container:
        assert container.streams.video[0].metadata["timecode"] == "01:02:03:04"
        assert container.streams.video[1].disposition & Disposition.attached_pic


def test_tags_of_cameras_survive(tmp_path: Path, restore: Callable[..., Result]) -> None:
    output, _ = restore(make_rich(tmp_path / "clip.mkv", tags={"com.apple.quicktime.make": "Acme", "title": "t"}))
    with av.open(str(output)) as container:
        assert container.metadata["com.apple.quicktime.make"] == "Acme"
        assert container.metadata["title"] == "t"


def test_a_late_mpeg_clock_begins_at_0(tmp_path: Path, restore: Callable[..., Result]) -> None:
    source = make_rich(tmp_path / "clip.ts", first=Fraction(3600))
    output, joined = restore(source)
    (note,) = joined.notes
    assert "clock begins at 3599.979 s" in note
    before, after = shown(source), shown(output)
    assert [time - after[0] for time in after] == [time - before[0] for time in before]
    assert float(before[0]) - heard(source)[0] == pytest.approx(float(after[0]) - heard(output)[0], abs=1e-3)
    assert min(float(after[0]), heard(output)[0]) == pytest.approx(0, abs=0.03)


def test_frames_before_0_move_everything(
    make_clip: Callable[..., Path], clip_decoder: ClipDecoder, draw: Any, tmp_path: Path
) -> None:
    source = make_clip("clip.mp4", times=range(12), sound=True)
    info = clip_decoder.probe(source)
    plan = plan_encoding(info, "h264", 24)
    tick = round(Fraction(1, 25) / info.time_base)
    segments: list[tuple[Path, SegmentInfo]] = []
    with ClipWriter(plan, memory_bytes=MEMORY, silence=60) as writer:
        path = tmp_path / "segment.mp4"
        writer.begin(path, lambda segment: segments.append((path, segment)))
        for index in range(12):
            writer.write(Frame(draw(index, 128, 96), (index - 5) * tick, tick))
        writer.end()
    output = tmp_path / "result.mp4"
    joined = join_clip(source, info, plan, segments, output, memory_bytes=MEMORY, silence=60)
    assert "0.200 s before time 0" in joined.notes[0]
    assert shown(output) == [Fraction(index, 25) for index in range(12)]
    # The encoder's lead-in, hidden in the input, is now silence before the sound.
    assert heard(output)[0] == pytest.approx(heard(source)[0] + 0.2 - 1024 / RATE, abs=1e-3)


def test_damaged_sound_does_not_cost_the_picture(tmp_path: Path, restore: Callable[..., Result]) -> None:
    source = make_rich(tmp_path / "clip.mkv", seconds=2)
    data = bytearray(source.read_bytes())
    random = np.random.default_rng(5)
    for place in random.integers(len(data) // 2, len(data), 200):
        data[place] ^= 0xFF
    source.write_bytes(data[: len(data) * 3 // 4])
    output, joined = restore(source)
    assert joined.frames == len(shown(output)) > 5


def test_segments_that_do_not_fit_together_are_refused(
    make_clip: Callable[..., Path], clip_decoder: ClipDecoder, draw: Any, tmp_path: Path
) -> None:
    source = make_clip("clip.mp4")
    info = clip_decoder.probe(source)
    segments: list[tuple[Path, SegmentInfo]] = []
    for number, colour in enumerate((1, 9)):
        plan = plan_encoding(info, "h264", 24)
        plan = type(plan)(**{**vars(plan), "colour": type(plan.colour)(colour, 1, 1, 1)})
        with ClipWriter(plan, memory_bytes=MEMORY, silence=60) as writer:
            path = tmp_path / f"{number}.mp4"
            writer.begin(path, lambda segment, path=path: segments.append((path, segment)))
            writer.write(Frame(draw(0, 128, 96), number * 1000, 1000))
            writer.end()
    with pytest.raises(InvalidInput, match="another version") as caught:
        join_clip(source, info, plan, segments, tmp_path / "result.mp4", memory_bytes=MEMORY, silence=60)
    assert caught.value.code == "segments_differ"


def test_segments_of_one_frame_join(make_clip: Callable[..., Path], restore: Callable[..., Result]) -> None:
    output, joined = restore(make_clip("clip.mp4", times=range(40)), per=1)
    assert joined.frames == 40
    assert shown(output) == [Fraction(index, 25) for index in range(40)]
