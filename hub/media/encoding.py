"""Writes photos: pixels converted once, metadata put back where the format can hold it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hub.errors import InvalidInput
from hub.media.colour import to_srgb8
from hub.media.iptc import jpeg_segment
from hub.media.output import JPEG_BLOCK_BYTES, OutputPlan, jpeg_leaves_out, plan_output
from hub.media.photo import Metadata, Photo
from hub.media.pixels import on_white, to_depth
from hub.media.png import write_png
from hub.media.tiff import write_tiff

_FULL_CHROMA_QUALITY = 90
_AVIF_SPEED = 9
_WEBP_METHOD = 2
_HEIC_TILE = 1024
_PILLOW_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def encode(photo: Photo, path: Path, *, format: str = "same", quality: int = 95) -> str:  # noqa: A002 (public name)
    """Write the photo at `path`, whatever its name ends with, and return the suffix of what was written.

    format: one of `output.FORMATS`; `plan_output` tells beforehand what becomes of the photo.
    quality: 1 to 100, for lossy formats; chroma is kept at full resolution from 90 on.
    """
    if not 1 <= quality <= 100:
        raise InvalidInput("bad_quality", f"The quality must be from 1 to 100, not {quality}.")
    plan = plan_output(photo, format)
    if plan.to_srgb:
        photo = replace(photo, pixels=to_srgb8(photo.pixels, photo.icc), icc=None)
    pixels = on_white(photo.pixels) if plan.drop_alpha else photo.pixels
    pixels = to_depth(pixels, plan.bit_depth)
    match plan.format:
        case "png":
            write_png(path, pixels, photo)
        case "tiff":
            if plan.bit_depth == 32 and photo.scale != 1:
                pixels = pixels * np.float32(photo.scale)
            write_tiff(path, pixels, photo)
        case "heic":
            _write_heic(path, pixels, photo, quality)
        case "avif" if plan.bit_depth == 16:
            _write_deep_avif(path, pixels, photo, quality)
        case _:
            _write_with_pillow(path, pixels, photo, plan, quality)
    return plan.suffix


def write_display_png(photo: Photo | NDArray[Any], path: Path) -> None:
    """Write an 8-bit sRGB PNG of a photo, or of bare (H, W, C) sRGB pixels, for a browser; quickly."""
    pixels, icc = (photo.pixels, photo.icc) if isinstance(photo, Photo) else (photo, None)
    write_png(path, to_srgb8(pixels, icc), Metadata(), quick=True)


def _blocks(metadata: Metadata) -> dict[str, Any]:
    """Profile, EXIF and XMP as the options that Pillow and pillow-heif take."""
    blocks = {
        "icc_profile": metadata.icc,
        "exif": metadata.exif and b"Exif\0\0" + metadata.exif,
        "xmp": metadata.xmp,
    }
    return {name: block for name, block in blocks.items() if block}


def _write_with_pillow(path: Path, pixels: NDArray[Any], metadata: Metadata, plan: OutputPlan, quality: int) -> None:
    """JPEG, WebP, 8-bit AVIF and BMP."""
    options = _blocks(metadata)
    if metadata.dpi:
        options["dpi"] = metadata.dpi
    full_chroma = quality >= _FULL_CHROMA_QUALITY
    if plan.format == "jpeg":
        left_out = jpeg_leaves_out(metadata)
        for name in left_out:
            options.pop(name, None)
        if metadata.iptc and "iptc" not in left_out:
            options["extra"] = jpeg_segment(metadata.iptc)
        comment = dict(metadata.text).get("Comment", "").encode()
        if comment and len(comment) <= JPEG_BLOCK_BYTES:
            options["comment"] = comment
        options |= {"quality": quality, "subsampling": "4:4:4" if full_chroma else "4:2:0"}
    elif plan.format == "webp":
        # For lossless files `quality` is the encoder's effort.
        effort = 70 if plan.lossless else quality
        options |= {"lossless": plan.lossless, "exact": True, "quality": effort, "method": _WEBP_METHOD}
    elif plan.format == "avif":
        options |= {"quality": quality, "subsampling": "4:4:4" if full_chroma else "4:2:0", "speed": _AVIF_SPEED}
    samples = np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    with path.open("wb") as file:
        Image.fromarray(samples, _PILLOW_MODES[pixels.shape[2]]).save(file, plan.format, **options)


def _write_deep_avif(path: Path, pixels: NDArray[np.uint16], metadata: Metadata, quality: int) -> None:
    """AVIF of 10 bits per sample."""
    import cv2

    kinds, blobs = [], []
    for kind, blob in (
        (cv2.IMAGE_METADATA_EXIF, metadata.exif),
        (cv2.IMAGE_METADATA_XMP, metadata.xmp),
        (cv2.IMAGE_METADATA_ICCP, metadata.icc),
    ):
        if blob:
            kinds.append(kind)
            blobs.append(np.frombuffer(blob, np.uint8))
    settings = [cv2.IMWRITE_AVIF_DEPTH, 10, cv2.IMWRITE_AVIF_QUALITY, quality, cv2.IMWRITE_AVIF_SPEED, _AVIF_SPEED]
    ok, data = cv2.imencodeWithMetadata(".avif", _blue_first(_ten_bits(pixels)), kinds, blobs, settings)
    if not ok:
        raise RuntimeError("OpenCV could not write an AVIF file")
    path.write_bytes(data.tobytes())


def _write_heic(path: Path, pixels: NDArray[Any], metadata: Metadata, quality: int) -> None:
    """HEIC of 8 or 10 bits per sample."""
    import pillow_heif

    height, width, channels = pixels.shape
    mode = _PILLOW_MODES[channels]
    if pixels.dtype == np.uint16:
        # libheif takes the upper 10 of 16 bits, cutting the rest off.
        mode, pixels = mode + ";16", _ten_bits(pixels) << np.uint16(6)
    picture = pillow_heif.from_bytes(mode, (width, height), np.ascontiguousarray(pixels).tobytes())
    options = _blocks(metadata) | {
        "quality": quality,
        "chroma": 444 if quality >= _FULL_CHROMA_QUALITY else 420,
        # A third of the default preset's time, for files 4% larger at the same quality.
        "enc_params": {"preset": "ultrafast"},
        # Tiles, as cameras write them: a tenth of the memory, and libheif cannot read large pictures in one piece.
        "tile_size": _HEIC_TILE,
    }
    with path.open("wb") as file:
        picture.save(file, **options)


def _ten_bits(pixels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """uint16 samples rounded to 0 to 1023."""
    return ((pixels.astype(np.uint32) * 1023 + 32767) // 65535).astype(np.uint16)


def _blue_first(pixels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """(H, W, 1|2|3|4) as OpenCV wants it: grey, BGR or BGRA."""
    match pixels.shape[2]:
        case 2:
            return np.ascontiguousarray(pixels[..., [0, 0, 0, 1]])
        case 3:
            return np.ascontiguousarray(pixels[..., ::-1])
        case 4:
            return np.ascontiguousarray(pixels[..., [2, 1, 0, 3]])
        case _:
            return np.ascontiguousarray(pixels)
