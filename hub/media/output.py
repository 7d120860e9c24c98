"""Decides what file a restored photo becomes: format, suffix, bit depth, and what the user should know about it."""

from __future__ import annotations

from dataclasses import dataclass

from hub.errors import InvalidInput
from hub.media.photo import Metadata, Photo

# What one segment of a JPEG holds beside its own header.
JPEG_BLOCK_BYTES = 65_500
FORMATS = ("same", "png", "jpeg", "webp", "tiff", "avif")


@dataclass(frozen=True)
class _Container:
    """What a file format can hold. depths: bits per sample that its encoder takes, 16 where it keeps 10 of them."""

    suffix: str
    max_side: int
    depths: tuple[int, ...]
    alpha: bool = True
    icc: bool = True
    grey: bool = True
    iptc: bool = False


_CONTAINERS = {
    "png": _Container(".png", 1_000_000, (8, 16), iptc=True),
    "jpeg": _Container(".jpg", 65_500, (8,), alpha=False, iptc=True),
    "webp": _Container(".webp", 16_383, (8,), grey=False),
    "tiff": _Container(".tiff", 2**31 - 1, (8, 16, 32), iptc=True),
    "avif": _Container(".avif", 65_536, (8, 16), grey=False),
    # HEIC could hold transparency, but only in one piece, and libheif cannot read large pictures in one piece.
    "heic": _Container(".heic", 65_536, (8, 16), alpha=False),
    "bmp": _Container(".bmp", 2**31 - 1, (8,), alpha=False, icc=False),
}


@dataclass(frozen=True)
class OutputPlan:
    """How a photo will be written.

    bit_depth: 8, 16 or 32; AVIF and HEIC keep 10 of 16.
    drop_alpha: the picture is composited over white.
    to_srgb: a grey picture becomes 8-bit sRGB by its profile, for a format that holds no grey.
    """

    format: str
    suffix: str
    bit_depth: int
    drop_alpha: bool
    to_srgb: bool
    lossless: bool
    notes: tuple[str, ...]


def plan_output(photo: Photo, format_name: str = "same") -> OutputPlan:
    """The plan for a photo and one of FORMATS.

    `same` follows the input where that format can hold the photo without loss of depth, alpha or colour profile,
    else it is PNG. Raises InvalidInput for an unknown format or a picture too large for the one asked for.
    """
    if format_name not in FORMATS:
        raise InvalidInput(
            "unknown_format",
            f"There is no output format {format_name!r}. Choose one of {', '.join(FORMATS)}.",
            {"formats": list(FORMATS)},
        )
    notes: list[str] = []
    if format_name == "same":
        chosen, reason = _same(photo)
        if reason:
            notes.append(reason)
    else:
        chosen = format_name
    container = _CONTAINERS[chosen]
    height, width = photo.pixels.shape[:2]
    if max(height, width) > container.max_side:
        raise InvalidInput(
            "too_long_for_format",
            f"{chosen.upper()} holds at most {container.max_side} pixels on a side; the picture is {width} by {height}."
            " Choose png or tiff.",
        )
    depth = photo.info.bit_depth
    to_srgb = photo.icc is not None and photo.info.mode == "grey" and not container.grey
    bit_depth = 8 if to_srgb else max(bits for bits in container.depths if bits <= depth)
    if to_srgb:
        notes.append(f"Converted from its grey profile to sRGB, since {chosen.upper()} holds no grey pictures.")
    if chosen in ("avif", "heic") and bit_depth == 16:
        notes.append(f"Rounded to the 10 bits per sample that {chosen.upper()} holds.")
    elif bit_depth < depth:
        notes.append(f"Rounded from {depth} to the {bit_depth} bits per sample that {chosen.upper()} holds.")
    drop_alpha = photo.info.alpha and not container.alpha
    if drop_alpha:
        notes.append(f"{chosen.upper()} has no transparency: the picture was put on white.")
    if photo.iptc and not container.iptc:
        notes.append(f"Its IPTC block was left out, since {chosen.upper()} holds none.")
    if chosen == "jpeg":
        notes.extend(
            f"Its {name.upper()} block is too long for a JPEG and was left out." for name in jpeg_leaves_out(photo)
        )
    lossless = chosen in ("png", "tiff", "bmp") or (chosen == photo.info.format == "webp" and photo.info.lossless)
    return OutputPlan(chosen, container.suffix, bit_depth, drop_alpha, to_srgb, lossless, tuple(notes))


def jpeg_leaves_out(metadata: Metadata) -> list[str]:
    """The names of blocks (exif, xmp, iptc) that are too long for a JPEG."""
    return [name for name in ("exif", "xmp", "iptc") if len(getattr(metadata, name) or b"") > JPEG_BLOCK_BYTES]


def output_suffix(photo: Photo, format_name: str = "same") -> str:
    """The file name ending, with its dot, that `encode` will use."""
    return plan_output(photo, format_name).suffix


def _same(photo: Photo) -> tuple[str, str | None]:
    """The format that follows the input, and why if it is another."""
    name = photo.info.format
    if name == "png":
        return name, None
    container = _CONTAINERS.get(name)
    title = {"raw": "camera raw", "jpeg2000": "JPEG 2000"}.get(name, name.upper())
    if container is None:
        return "png", f"Written as PNG, since {title} files are not written."
    if max(photo.pixels.shape[:2]) > container.max_side:
        return "png", f"Written as PNG, since {title} cannot hold a picture of this size."
    if photo.info.bit_depth > max(container.depths):
        return "png", f"Written as PNG, since {title} would not hold {photo.info.bit_depth} bits per sample."
    if photo.info.alpha and not container.alpha:
        return "png", f"Written as PNG, since {title} would not hold its transparency."
    if photo.icc is not None and not container.icc:
        return "png", f"Written as PNG, since {title} would not hold its colour profile."
    return name, None
