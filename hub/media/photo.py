"""What a photo is once it is decoded: pixels, what they mean, and the metadata that travels with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

DTYPES = {8: "uint8", 16: "uint16", 32: "float32"}


@dataclass(frozen=True)
class PhotoInfo:
    """What a file's header says about its picture.

    format: jpeg, png, webp, tiff, bmp, gif, avif, heic, raw, jpeg2000, ...
    width, height: upright, that is after EXIF orientation.
    bit_depth: of a decoded sample: 8 (uint8), 16 (uint16, full scale; 10 and 12 bits are scaled up) or 32 (float32).
    lossless: the file held its pixels exactly, so a file of the same format should do so again.
    notes: sentences for the user, such as "First of 12 frames."
    """

    format: str
    width: int
    height: int
    bit_depth: int
    mode: Literal["grey", "rgb"]
    alpha: bool
    lossless: bool = True
    notes: tuple[str, ...] = ()

    @property
    def channels(self) -> int:
        """Samples per pixel: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA."""
        return (1 if self.mode == "grey" else 3) + self.alpha

    @property
    def dtype(self) -> str:
        """The numpy name of a sample's type."""
        return DTYPES[self.bit_depth]


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What a file says beside its pixels.

    icc: profile of the pixels, checked to fit them; None means sRGB (or its grey).
    exif: TIFF-structured block without the "Exif" prefix; it has no orientation and links no thumbnail.
    xmp: UTF-8 packet.
    iptc: IIM records.
    dpi: horizontal and vertical resolution of the upright picture.
    text: keyword and text pairs (PNG text chunks, JPEG and GIF comments).
    scale: what the value 1.0 stands for in the file; only float files differ from 1.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    dpi: tuple[float, float] | None = None
    text: tuple[tuple[str, str], ...] = ()
    scale: float = 1.0


@dataclass(frozen=True)
class Photo(Metadata):
    """A decoded photo.

    pixels: (H, W, 1|2|3|4) uint8, uint16 or float32 (nominal [0, 1]); upright; grey or RGB order, straight alpha last.
    """

    pixels: NDArray[Any]
    info: PhotoInfo
