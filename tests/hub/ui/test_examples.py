from __future__ import annotations

import base64
from pathlib import Path

import cv2
import numpy as np
import pytest

from hub.ui import scenes
from hub.ui.examples import camera_noise, load_examples, to_srgb


@pytest.mark.parametrize("draw", [scenes.still_life, scenes.mountain_lake, scenes.night_street])
@pytest.mark.parametrize(("height", "width"), [(160, 240), (97, 131)])
def test_scenes_are_pictures(draw: object, height: int, width: int) -> None:
    assert callable(draw)
    scene = draw(height, width)

    assert scene.shape == (height, width, 3)
    assert scene.dtype == np.float32
    assert np.isfinite(scene).all()
    assert scene.min() >= 0
    assert 0.02 < scene.mean() < 0.6
    assert scene.std() > 0.02
    assert np.array_equal(scene, draw(height, width)), "Drawn anew it must be the same."


def test_noise_is_the_cameras() -> None:
    flat = np.full((200, 200, 3), 0.25, np.float32)
    noisy = camera_noise(flat, full_well=100, read_noise=0.01, seed=1)

    assert noisy.mean() == pytest.approx(0.25, abs=0.002)
    assert noisy.std() == pytest.approx(np.sqrt(0.25 / 100 + 0.01**2), rel=0.05)


def test_srgb_has_its_toe_and_its_ends() -> None:
    values = np.array([-1, 0, 0.002, 0.2140, 1, 2], np.float32)

    assert to_srgb(values).tolist() == [0, 0, 7, 127, 255, 255]


def test_examples_are_drawn_once_and_again_when_damaged(tmp_path: Path) -> None:
    first = load_examples(tmp_path)
    contents = {example.path: example.path.read_bytes() for example in first}

    assert len({example.key for example in first}) == len(first) == 3
    for example in first:
        pixels = cv2.imread(str(example.path))
        assert pixels is not None
        assert pixels.shape == (640, 960, 3)
        head, _, body = example.thumbnail.partition(",")
        assert head == "data:image/jpeg;base64"
        assert cv2.imdecode(np.frombuffer(base64.b64decode(body), np.uint8), cv2.IMREAD_COLOR) is not None

    moments = [example.path.stat().st_mtime_ns for example in first[1:]]
    first[0].path.write_bytes(b"")
    assert load_examples(tmp_path) == first
    assert {example.path: example.path.read_bytes() for example in first} == contents
    assert [example.path.stat().st_mtime_ns for example in first[1:]] == moments
    assert len(list(tmp_path.iterdir())) == 3
