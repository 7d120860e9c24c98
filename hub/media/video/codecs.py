"""How a clip is encoded: decided once per job, from what the clip is and what was asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import Any

from hub.errors import InvalidInput
from hub.media.video.clip import ClipInfo, Colour
from hub.media.video.colours import MATRIX_CODES, UNSPECIFIED, matrix_for, range_for
from hub.media.video.recipes import RECIPES, Recipe, Wanted, is_rgb

_RATIONALS = ("time_base", "rate", "aspect")
_UNKNOWN_RATE = Fraction(25)
# SVT-AV1 refuses more; the rate only guides rate control and levels, times are the frames' own.
_GREATEST_RATE = Fraction(240)
# Code points of ITU-T H.273.
_RGB = 0
_BT2020_CONSTANT = 10
_LIMITED, _FULL = 1, 2
# A frame's share of headers, and the least that a file takes.
_FRAME_OVERHEAD = 512
_FILE_OVERHEAD = 1 << 16


@dataclass(frozen=True)
class EncodePlan:
    """How the frames of one clip become a file; kept over resumes, so that all segments fit together.

    encoder: FFmpeg's name. options: its options. pixel_format: FFmpeg's name of what it is fed with.
    container, segment_container: FFmpeg's name of the format of the result and of its segments. suffix: of the result.
    width, height: coded; up to one row or column more than the picture, or padded to the encoder's least size.
    colour: the tags to be written. matrix, picture_range: for RGB → YUV, in the words of FFmpeg's scale filter.
    bit_depth, channels: of the arrays that come in. bytes_per_pixel: at the most, for `needed_bytes`.
    reorder: by how many places frames may be coded later than they are shown. codec_tag: for the container.
    hardware: what encodes instead of the processor, such as `nvenc`.
    notes: what a person should know.
    """

    codec: str
    encoder: str
    pixel_format: str
    options: Mapping[str, str]
    container: str
    segment_container: str
    suffix: str
    width: int
    height: int
    time_base: Fraction
    rate: Fraction
    aspect: Fraction
    colour: Colour
    matrix: str
    picture_range: str
    bit_depth: int
    channels: int
    bytes_per_pixel: float
    reorder: int = 0
    codec_tag: str | None = None
    hardware: str | None = None
    notes: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """The plan in JSON types."""
        packed = asdict(self)
        return {**packed, "notes": list(self.notes), **{name: str(packed[name]) for name in _RATIONALS}}

    @classmethod
    def from_json(cls, packed: Mapping[str, Any]) -> EncodePlan:
        """The plan that `to_json` packed."""
        fields = {**packed, **{name: Fraction(packed[name]) for name in _RATIONALS}}
        fields["colour"] = Colour(**fields["colour"])
        fields["notes"] = tuple(fields["notes"])
        return cls(**fields)


def plan_encoding(info: ClipInfo, codec: str, quality: int, *, hardware: str | None = None) -> EncodePlan:
    """Decide how a clip's frames are encoded.

    codec: h264, h265, av1, vp9, prores or lossless. quality: as x264 counts its constant rate factor, 0 to 63; from 51
    on nothing gets worse. AV1 and VP9 count to 63 and get the same place on their own scale, so that a number looks
    much the same whatever the codec; ProRes and lossless have no such choice.
    hardware: what `find_hardware` found to work (`nvenc`, ...), or None.
    Raises InvalidInput where the codec cannot hold so large a picture.
    """
    recipe = RECIPES[codec]
    wanted = Wanted(info, quality, threads())
    _check_size(info, codec, recipe)
    pixel_format, given_up = recipe.pixel_format(info)
    notes = list(given_up)
    encoder, options = recipe.encoder, recipe.options(wanted)
    if hardware is not None:
        encoder = f"{recipe.family}_{hardware}"
        pixel_format = "p010le" if recipe.deep and info.bit_depth > 8 else "nv12"
        options = recipe.hardware_options(hardware, quality)
        notes.append(f"Encoded by the graphics hardware ({encoder}).")
    width, height = recipe.coded_size(info.width, info.height)
    if (width, height) != (info.width, info.height):
        sides = f"sides of at least {recipe.least} pixels" if recipe.least > 2 else "sides"
        notes.append(
            f"{recipe.name} needs {'even ' if recipe.even else ''}{sides}, so the edge was repeated: the picture has"
            f" {width} x {height} pixels, not {info.width} x {info.height}. vp9, prores and lossless keep the size."
        )
    container, suffix = recipe.container, recipe.suffix
    if codec == "lossless":
        # Matroska counts milliseconds, and PyAV has no way to tell its muxer the shape of pixels.
        fits = (info.time_base * 1000).denominator == 1 and info.aspect == 1
        container, suffix = ("matroska", ".mkv") if fits else ("mp4", ".mp4")
    colour, matrix, picture_range = _colours(info, recipe)
    return EncodePlan(
        codec=codec,
        encoder=encoder,
        pixel_format=pixel_format,
        options=options,
        container=container,
        segment_container="mov" if container == "mov" else "mp4",
        suffix=suffix,
        width=width,
        height=height,
        time_base=info.time_base,
        rate=min(info.rate or _UNKNOWN_RATE, _GREATEST_RATE),
        aspect=info.aspect,
        colour=colour,
        matrix=matrix,
        picture_range=picture_range,
        bit_depth=info.bit_depth,
        channels=info.channels,
        bytes_per_pixel=recipe.bytes_per_pixel(wanted),
        reorder=recipe.reorder,
        codec_tag=recipe.codec_tag,
        hardware=hardware,
        notes=tuple(notes),
    )


def needed_bytes(plan: EncodePlan, frames: int) -> int:
    """How much room one encoded copy of so many frames may take, however noisy they are; see `bytes_per_pixel`."""
    return _FILE_OVERHEAD + round(frames * (_FRAME_OVERHEAD + plan.width * plan.height * plan.bytes_per_pixel))


def frame_ticks(plan: EncodePlan) -> int:
    """How long a frame lasts on the average, in ticks."""
    return max(1, round(1 / (plan.rate * plan.time_base)))


def threads() -> int:
    """How many threads encoders use; a plan keeps the number, because results may depend on it."""
    return min(16, os.cpu_count() or 1)


def _check_size(info: ClipInfo, codec: str, recipe: Recipe) -> None:
    if info.width > recipe.greatest_width or info.height > recipe.greatest_height:
        raise InvalidInput(
            "picture_too_large",
            f"{recipe.name} holds pictures of up to {recipe.greatest_width} x {recipe.greatest_height} pixels; this"
            f" clip has {info.width} x {info.height}. Choose the codec vp9, prores or lossless.",
            {"codec": codec},
        )


def _colours(info: ClipInfo, recipe: Recipe) -> tuple[Colour, str, str]:
    """The tags to write, and matrix and range of the conversion; what the clip leaves open stays open."""
    said = info.colour
    if recipe.exact:
        # RGB and grey as they were computed, at full range.
        code = UNSPECIFIED if info.channels < 3 else _RGB
        return Colour(said.primaries, said.transfer, code, _FULL), "bt709", "pc"
    matrix = matrix_for(info)
    if is_rgb(info):
        return Colour(said.primaries, said.transfer, MATRIX_CODES[matrix], _LIMITED), matrix, "tv"
    code = said.matrix if said.matrix in (UNSPECIFIED, _BT2020_CONSTANT) else MATRIX_CODES[matrix]
    picture_range = range_for(info) if recipe.full_range else "tv"
    tag = _FULL if picture_range == "pc" else min(said.range, _LIMITED)
    return Colour(said.primaries, said.transfer, code, tag), matrix, picture_range
