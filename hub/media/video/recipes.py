"""What is particular to each codec: its encoder, pixel formats, options and limits."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from hub.media.video.clip import ClipInfo

# Where x264's scale of quality ends, and that of AV1 and VP9.
_WORST_X264 = 51
_WORST_AV1 = 63
# The size of noise that is coded finely, in bytes per pixel, and the quality at which none of it would be left.
_FINEST_SIZE = 1.15
_NOTHING_LEFT = 60
# At the finest qualities, AV1 takes so much more for 10 bits than for 8.
_DEEPER = 1.4
# What FFV1 takes of noise compared with the pixels as they are; the most in 16 bits.
_FFV1_EXCESS = 1.2


@dataclass(frozen=True)
class Wanted:
    """A clip, the quality it is to have (as x264 counts), and how many threads there are."""

    info: ClipInfo
    quality: int
    threads: int


class Recipe(ABC):
    """One codec.

    name: as people know it. encoder: FFmpeg's name. family: what FFmpeg's hardware encoders of it begin with.
    deep: takes more than 8 bits. full_range: players honour full range. exact: stores the very numbers it is given.
    even: sides must be even. least, greatest_width, greatest_height: sides that the encoder takes.
    reorder: by how many places frames may be coded later than they are shown.
    """

    name: ClassVar[str]
    encoder: ClassVar[str]
    family: ClassVar[str] = ""
    container: ClassVar[str] = "mp4"
    suffix: ClassVar[str] = ".mp4"
    codec_tag: ClassVar[str | None] = None
    deep: ClassVar[bool] = False
    full_range: ClassVar[bool] = True
    exact: ClassVar[bool] = False
    even: ClassVar[bool] = False
    least: ClassVar[int] = 1
    reorder: ClassVar[int] = 0
    greatest_width: ClassVar[int] = 65534
    greatest_height: ClassVar[int] = 65534

    def pixel_format(self, info: ClipInfo) -> tuple[str, tuple[str, ...]]:
        """FFmpeg's name of the pixel format, and notes on what it gives up. 4:2:0, for all but editing formats."""
        notes = []
        deeper = self.deep and info.bit_depth > 8
        depth = 10 if deeper else 8
        if info.bit_depth > depth:
            keepers = "prores and lossless keep more" if self.deep else "h265, av1, prores and lossless keep more"
            what = f"{info.bit_depth} bits" + (" (HDR)" if info.colour.transfer in (16, 18) else "")
            notes.append(f"{self.name} stores {depth} of the clip's {what} per channel; {keepers}.")
        if info.channels in (2, 4):
            notes.append(f"{self.name} cannot hold the clip's transparency; prores and lossless keep it.")
        if _full_chroma(info):
            notes.append(f"{self.name} stores colour at half the resolution (4:2:0); prores and lossless keep it.")
        elif "422" in info.pixel_format:
            notes.append(f"{self.name} stores colour at half the height (4:2:0); prores keeps it.")
        return ("yuv420p10le" if deeper else "yuv420p"), tuple(notes)

    @abstractmethod
    def options(self, wanted: Wanted) -> dict[str, str]:
        """The encoder's options."""

    def hardware_options(self, hardware: str, quality: int) -> dict[str, str]:
        """The options of a hardware encoder, at the nearest to constant quality that it knows."""
        level = str(_clamp(quality))
        if hardware == "nvenc":
            return {"preset": "p5", "tune": "hq", "rc": "vbr", "cq": level, "b": "0"}
        if hardware == "qsv":
            return {"global_quality": level, "preset": "medium"}
        return {"rc": "cqp", "qp_i": level, "qp_p": level}

    def coded_size(self, width: int, height: int) -> tuple[int, int]:
        """The size that is coded for a picture."""
        odd_width, odd_height = (width % 2, height % 2) if self.even else (0, 0)
        return max(self.least, width + odd_width), max(self.least, height + odd_height)

    def bytes_per_pixel(self, wanted: Wanted) -> float:
        """How many bytes a frame may take per pixel, with noise all over it.

        An upper bound of what was measured on 6 to 10 frames of 320 x 240 pixels and 3 of 1280 x 720, in 8 and 10 bits,
        with Gaussian noise of standard deviation 25 (of 255): at the qualities 0 to 28 the greediest of the four codecs
        takes 0.6 to 0.95 of it. Coarser, and without noise, files are far smaller.
        """
        deeper = _DEEPER if self.deep and wanted.info.bit_depth > 8 else 1.0
        return deeper * _FINEST_SIZE * (1 - _clamp(wanted.quality) / _NOTHING_LEFT) ** 2


class H264(Recipe):
    """What every browser plays: 8 bits, 4:2:0, High profile."""

    name = "H.264"
    encoder = "libx264"
    family = "h264"
    reorder = 4
    even = True
    least = 2
    greatest_width = greatest_height = 16384

    def options(self, wanted: Wanted) -> dict[str, str]:
        return {
            "preset": "medium",
            "profile": "high",
            "crf": str(_clamp(wanted.quality)),
            "threads": str(wanted.threads),
        }


class H265(Recipe):
    """Smaller than H.264, 8 or 10 bits; Safari and recent Chrome play it."""

    name = "H.265"
    encoder = "libx265"
    family = "hevc"
    reorder = 4
    codec_tag = "hvc1"
    deep = True
    even = True
    least = 16
    greatest_width = greatest_height = 16384

    def options(self, wanted: Wanted) -> dict[str, str]:
        parameters = {
            "log-level": "error",
            "info": "0",
            "open-gop": "0",
            "pools": str(wanted.threads),
            # The result depends on it.
            "frame-threads": str(max(1, min(4, wanted.threads // 4))),
        }
        parameters |= wanted.info.mastering or {}
        # Colons part the parameters; none of these values holds one.
        joined = ":".join(f"{name}={value}" for name, value in parameters.items())
        return {"preset": "medium", "crf": str(_clamp(wanted.quality)), "x265-params": joined}


class Av1(Recipe):
    """The smallest files, 8 or 10 bits; all recent browsers play it."""

    name = "AV1"
    encoder = "libsvtav1"
    family = "av1"
    deep = True
    least = 4
    greatest_width = 16384
    greatest_height = 8704

    def options(self, wanted: Wanted) -> dict[str, str]:
        parameters = {"lp": str(min(6, wanted.threads))}
        mastering = wanted.info.mastering or {}
        if "master-display" in mastering:
            parameters["mastering-display"] = _in_units(mastering["master-display"])
        if "max-cll" in mastering:
            parameters["content-light"] = mastering["max-cll"]
        joined = ":".join(f"{name}={value}" for name, value in parameters.items())
        return {"preset": "8", "crf": str(_stretched(wanted.quality)), "svtav1-params": joined}


class Vp9(Recipe):
    """For players without AV1; the encoder at hand has 8 bits only, and MP4 no place for its transparency."""

    name = "VP9"
    encoder = "libvpx-vp9"
    family = "vp9"

    def options(self, wanted: Wanted) -> dict[str, str]:
        return {
            "crf": str(_stretched(wanted.quality)),
            "b": "0",
            "deadline": "good",
            "cpu-used": "4",
            "row-mt": "1",
            "threads": str(wanted.threads),
        }


class ProRes(Recipe):
    """For editing: every frame a key frame, 10 bits, 4:2:2 HQ, or 4:4:4 with transparency."""

    name = "ProRes"
    encoder = "prores_ks"
    container = "mov"
    suffix = ".mov"
    deep = True
    full_range = False

    def pixel_format(self, info: ClipInfo) -> tuple[str, tuple[str, ...]]:
        notes = () if info.bit_depth <= 10 else (f"ProRes stores 10 of the clip's {info.bit_depth} bits per channel.",)
        if info.channels in (2, 4):
            return "yuva444p10le", notes
        return ("yuv444p10le" if _full_chroma(info) else "yuv422p10le"), notes

    def options(self, wanted: Wanted) -> dict[str, str]:
        if self.pixel_format(wanted.info)[0] == "yuv422p10le":
            return {"profile": "hq", "vendor": "apl0", "threads": str(wanted.threads)}
        alpha_bits = "16" if wanted.info.channels in (2, 4) else "0"
        return {"profile": "4444", "vendor": "apl0", "alpha_bits": alpha_bits, "threads": str(wanted.threads)}

    def bytes_per_pixel(self, wanted: Wanted) -> float:
        # Noise takes 0.78, 1.15 and 3.9 where it is opaque; noisy transparency 6.2, being stored without loss.
        return {"yuv422p10le": 0.8, "yuv444p10le": 1.2}.get(self.pixel_format(wanted.info)[0], 6.5)


class Lossless(Recipe):
    """FFV1: the restored picture, as RGB or grey, to the last bit of the clip's depth."""

    name = "FFV1"
    encoder = "ffv1"
    deep = True
    exact = True

    def pixel_format(self, info: ClipInfo) -> tuple[str, tuple[str, ...]]:
        note = (
            "Lossless means that nothing is lost after the restoration: its pixels are stored as"
            f" {'grey' if info.channels < 3 else 'RGB'}, {info.bit_depth} bits per channel."
        )
        # Grey with alpha exists with 8 bits only.
        colour = {1: "gray", 2: "gbrap", 3: "gbrp", 4: "gbrap"}[info.channels]
        if info.bit_depth == 8:
            return {1: "gray", 2: "ya8", 3: "bgr0", 4: "bgra"}[info.channels], (note,)
        depths = {"gray": (9, 10, 12, 14, 16), "gbrp": (9, 10, 12, 14, 16), "gbrap": (10, 12, 14, 16)}[colour]
        depth = next(depth for depth in depths if depth >= min(16, info.bit_depth))
        return f"{colour}{depth}le", (note,)

    def options(self, wanted: Wanted) -> dict[str, str]:
        options = {"level": "3", "g": "1", "slicecrc": "1", "threads": str(wanted.threads)}
        return {**options, "slices": "16"} if min(wanted.info.width, wanted.info.height) >= 64 else options

    def bytes_per_pixel(self, wanted: Wanted) -> float:
        return wanted.info.channels * (wanted.info.bit_depth / 8) * _FFV1_EXCESS


RECIPES: Mapping[str, Recipe] = {
    "h264": H264(),
    "h265": H265(),
    "av1": Av1(),
    "vp9": Vp9(),
    "prores": ProRes(),
    "lossless": Lossless(),
}


def _clamp(quality: int) -> int:
    """Quality as x264 and x265 count it. 0 would switch x264 to a lossless mode that no browser plays."""
    return min(_WORST_X264, max(1, quality))


def _stretched(quality: int) -> int:
    """Quality as AV1 and VP9 count it."""
    return max(1, round(_clamp(quality) * _WORST_AV1 / _WORST_X264))


def _in_units(display: str) -> str:
    """x265's `G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min)`, in steps of 0.00002 and 0.0001 cd/m², as plain numbers."""
    colours, _, luminance = display.partition("L")
    scaled = re.sub(r"\d+", lambda number: f"{int(number.group()) / 50_000:.5f}", colours)
    return f"{scaled}L" + re.sub(r"\d+", lambda number: f"{int(number.group()) / 10_000:.4f}", luminance)


def is_rgb(info: ClipInfo) -> bool:
    """Whether the clip is coded as RGB."""
    return info.pixel_format.startswith(("gbr", "rgb", "bgr", "argb", "abgr", "0rgb", "0bgr", "x2rgb", "x2bgr", "pal8"))


def _full_chroma(info: ClipInfo) -> bool:
    """Whether each pixel of the clip has colour of its own."""
    return info.channels >= 3 and ("444" in info.pixel_format or is_rgb(info))
