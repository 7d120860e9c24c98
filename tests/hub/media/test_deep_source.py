from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hub.errors import InvalidInput
from hub.media.image import Photo, PhotoDecoder, PhotoInfo, encode, output_suffix

from .conftest import read_traced, write


@pytest.mark.parametrize("form", ["avif", "heic"])
def test_ten_bits_are_stretched_in_strips(form: str, tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 2400).round().astype(np.uint16)[None, :, None]
    pixels = np.ascontiguousarray(np.broadcast_to(ramp, (1000, 2400, 3)))
    encode(Photo(pixels, PhotoInfo(form, 2400, 1000, 16, "rgb", False)), tmp_path / "a", quality=90)
    _, stored, peak = read_traced(tmp_path / "a")
    # The decoder's own 6 bytes per pixel, and a strip in a few forms.
    assert peak < pixels.nbytes + 3 * 12 * (1 << 20)
    assert np.abs(stored.astype(int) - pixels).mean() < 200


@pytest.mark.parametrize("kind", ["P2", "P3", "P5", "P6"])
@pytest.mark.parametrize("top", [1000, 65535])
def test_portable_maps_keep_their_depth(kind: str, top: int, decoder: PhotoDecoder, tmp_path: Path) -> None:
    channels = 3 if kind in ("P3", "P6") else 1
    values = np.random.default_rng(top).integers(0, top, (7, 9, channels), dtype=np.uint16, endpoint=True)
    body = (
        values.astype(">u2").tobytes()
        if kind in ("P5", "P6")
        else "\n".join(" ".join(str(value) for value in row.ravel()) for row in values).encode()
    )
    header = f"{kind}\n# drawn by a test\n9 7\n{top}\n".encode()
    photo = decoder.decode(write(tmp_path / "a.ppm", header + body))
    assert photo.info.bit_depth == 16
    assert photo.info.channels == channels
    assert photo.info.notes == (("10 bits per sample.",) if top == 1000 else ())
    np.testing.assert_array_equal(photo.pixels, np.rint(values / top * 65535))
    assert output_suffix(photo) == ".png"


def test_a_portable_map_that_is_cut_off(decoder: PhotoDecoder, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be decoded"):
        decoder.decode(write(tmp_path / "a.ppm", b"P6 9 7 65535\n" + bytes(100)))


def test_deep_sgi_says_that_it_is_reduced(decoder: PhotoDecoder, tmp_path: Path) -> None:
    image = Image.new("RGB", (4, 3), "teal")
    image.save(tmp_path / "a.sgi", bpc=2)
    image.save(tmp_path / "b.sgi", bpc=1)
    assert decoder.probe(tmp_path / "a.sgi").notes == ("Reduced from 16 to 8 bits per sample.",)
    photo = decoder.decode(tmp_path / "b.sgi")
    assert photo.info.notes == ()
    assert photo.pixels[0, 0].tolist() == [0, 128, 128]
