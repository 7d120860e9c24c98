"""How a clip's YUV numbers relate to RGB, in the words of FFmpeg's scale filter; reading and writing share it."""

from __future__ import annotations

from collections.abc import Mapping

from hub.media.video.clip import ClipInfo

# Code points of ITU-T H.273.
UNSPECIFIED = 2
_BT2020_PRIMARIES = 9
_HDR_TRANSFERS = (16, 18)
_MATRICES: Mapping[int, str] = {
    1: "bt709",
    4: "fcc",
    5: "bt470",
    6: "smpte170m",
    7: "smpte240m",
    9: "bt2020",
    10: "bt2020",
}
KNOWN_MATRICES = tuple(_MATRICES)
# The code point that says what a default stands for.
MATRIX_CODES: Mapping[str, int] = {"bt709": 1, "fcc": 4, "bt470": 5, "smpte170m": 6, "smpte240m": 7, "bt2020": 9}
_RANGES: Mapping[int, str] = {1: "tv", 2: "pc"}


def matrix_for(info: ClipInfo) -> str:
    """The YUV matrix of a clip; for RGB and grey the one that a YUV copy of it should have.

    Where the clip does not say: BT.2020 for HDR, BT.709 from 1280 x 720 on, else SMPTE 170M, as players assume.
    """
    colour = info.colour
    if colour.matrix in _MATRICES:
        return _MATRICES[colour.matrix]
    if colour.primaries == _BT2020_PRIMARIES or colour.transfer in _HDR_TRANSFERS:
        return "bt2020"
    return "bt709" if max(info.width, info.height) >= 1280 or min(info.width, info.height) >= 720 else "smpte170m"


def range_for(info: ClipInfo) -> str:
    """The range of a clip's YUV or grey: `pc` (full) or `tv` (limited, also where the clip does not say).

    For RGB, whose range is not of this kind, the one that a YUV copy of it should have. Grey that does not say is full,
    and `ClipInfo.colour` of such a clip says so.
    """
    return _RANGES.get(info.colour.range, "tv")
