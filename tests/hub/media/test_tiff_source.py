from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from .conftest import read_traced

# Two strips and a bit.
SHAPE = (1100, 2000, 3)


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint32"])
def test_large_pictures_are_converted_in_strips(dtype: str, tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    top = 5.0 if dtype.startswith("float") else 2**32 - 1
    values = (random.uniform(0, 1, SHAPE) * top).astype(dtype)
    values[-1, -1] = top
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb")
    source, stored, peak = read_traced(tmp_path / "a.tif")
    # What the file holds, and a strip of about a megapixel in a few forms.
    assert peak < values.nbytes + 2.5 * 8 * 3 * (1 << 20)
    full = 1 if source.info.bit_depth == 32 else 65535
    np.testing.assert_allclose(stored, values / top * full, rtol=1e-6, atol=0.6 if full > 1 else 1e-7)
    if full == 1:
        assert source.metadata.scale == 5
        assert source.info.notes == ("Values up to 5 were scaled to 1.",)


def test_what_is_no_number_becomes_black(tmp_path: Path) -> None:
    values = np.array([[[np.nan, np.inf, 0.5], [-np.inf, 0.25, 2.0]]], np.float32)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb")
    _, stored, _ = read_traced(tmp_path / "a.tif")
    assert stored.tolist() == [[[0, 0, 0.25], [0, 0.125, 1]]]
