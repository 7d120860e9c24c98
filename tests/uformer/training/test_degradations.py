"""Noise, JPEG and blur are what they say they are."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from uformer.metrics import psnr
from uformer.training import blur, jpeg, noise
from uformer.training.config import load_config
from uformer.training.dice import Dice
from uformer.training.light import to_light, to_srgb
from uformer.training.procedural import dead_leaves
from uformer.training.scenes import Scenes

CPU = torch.device("cpu")


def test_light_and_back() -> None:
    values = torch.linspace(0, 1, 1001)

    assert torch.allclose(to_srgb(to_light(values)), values, atol=1e-5)
    assert to_light(torch.tensor(0.5)).item() == pytest.approx(0.21404, abs=1e-5)


def test_white_noise_has_the_sigma_that_was_thrown(dice: Dice) -> None:
    grey = torch.full((200, 3, 32, 32), 0.5)

    sigmas = (noise.gaussian(grey, dice, 55) - grey).std((1, 2, 3)) * 255

    assert sigmas.min() < 3
    assert 48 < sigmas.max() < 56
    assert sigmas.mean() == pytest.approx(27, abs=3)


def test_camera_noise_grows_with_the_light_and_keeps_the_mean(dice: Dice) -> None:
    grey = torch.full((64, 3, 64, 64), 0.5)
    noisy = noise.camera(grey, dice)

    assert (noisy.mean() - 0.5).abs() < 0.02
    strengths = (noisy - grey).std((1, 2, 3)) * 255
    assert strengths.min() < 4
    assert strengths.max() > 15
    light = noise._sensor_noise(torch.tensor([0.01, 0.9]).view(1, 1, 2, 1).expand(1, 3, 2, 4000), dice)
    assert light[:, :, 1].std() > light[:, :, 0].std()


def test_demosaicing_spreads_noise_over_neighbours(dice: Dice) -> None:
    spread = noise._demosaiced(dice.normal((4, 3, 64, 64)), dice)

    for channel in range(3):
        plane = spread[:, channel]
        neighbours = (plane[..., 1:] * plane[..., :-1]).mean() / plane.square().mean()
        assert neighbours > 0.15


def test_contrast_and_back() -> None:
    values = torch.linspace(0, 1, 101)

    assert torch.allclose(noise._raise_contrast(noise._flatten_contrast(values)), values, atol=1e-6)


@pytest.mark.parametrize("quality", [15, 50, 75, 95])
@pytest.mark.parametrize("halved", [False, True])
def test_jpeg_as_a_real_encoder_does_it(quality: int, halved: bool) -> None:
    """The two differ from one another by far less than either does from the picture."""
    picture = dead_leaves(1, 128, Dice(1, 12, CPU))
    pixels = (picture[0].permute(1, 2, 0) * 255).round().byte().numpy()
    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420 if halved else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    encoded = cv2.imencode(".jpg", np.ascontiguousarray(pixels[..., ::-1]), options)[1]
    real = torch.from_numpy(cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1].copy()).permute(2, 0, 1)[None] / 255

    ours = jpeg.compress(picture, torch.tensor([float(quality)]), torch.tensor([halved]))

    assert psnr(ours, real).item() > psnr(real, picture).item() + 4


def test_kernels_keep_light_and_stay_in_place(dice: Dice) -> None:
    kernels = blur._kernels(blur._paths(50, 96, 40, dice))

    assert kernels.min() >= 0
    assert torch.allclose(kernels.sum((1, 2)), torch.ones(50), atol=1e-5)
    place = torch.arange(-blur.MARGIN, blur.MARGIN + 1, dtype=torch.float32)
    centres = torch.stack([(kernels.sum(2) * place).sum(1), (kernels.sum(1) * place).sum(1)])
    assert centres.abs().max() < 1e-3, "What is blurred does not move on the whole."


def test_convolution_is_that_of_opencv(dice: Dice) -> None:
    picture = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    kernel = blur._kernels(blur._paths(1, 96, 30, dice))
    light = to_light(picture)[0].permute(1, 2, 0).numpy()
    expected = cv2.filter2D(light, -1, np.flip(kernel[0].numpy()).copy(), borderType=cv2.BORDER_REFLECT)

    ours = to_light(blur._convolve(picture, kernel))[0].permute(1, 2, 0).numpy()

    inner = slice(blur.MARGIN, -blur.MARGIN)
    assert np.abs(ours - expected)[inner, inner].max() < 1e-3


def test_a_scene_that_hardly_moves_stays_as_it_is(scenes: Scenes) -> None:
    whole, other = scenes.crops(2, 176, Dice(1, 1, CPU)), scenes.crops(2, 176, Dice(1, 2, CPU))

    still, sharp = blur.moving_frames(whole, other, Dice(1, 3, CPU), 0.51)
    blurred, again = blur.moving_frames(whole, other, Dice(1, 3, CPU), 24)

    inner = (..., slice(24, -24), slice(24, -24))
    assert torch.equal(sharp, again)
    assert psnr(still[inner], sharp[inner]).min() > psnr(blurred[inner], sharp[inner]).max()


@pytest.mark.parametrize("name", ["denoise_16", "deblur_16"])
def test_pairs_of_the_shipped_configurations(scenes: Scenes, name: str) -> None:
    degradation = load_config(name).degradation

    degraded, clean = degradation.pairs(scenes, 24, 128, Dice(1, 3, CPU))

    assert degraded.shape == clean.shape == (24, 3, 128, 128)
    assert torch.allclose(degraded * 255, (degraded * 255).round(), atol=1e-3)
    quality = psnr(degraded, clean)
    assert quality.isfinite().any()
    assert quality.max() > 38, "Some are left almost as they are."
    assert quality.min() < 24, "Some are spoilt badly."
    # Each degraded picture stands beside its own clean one.
    far = torch.stack([(degraded[i] - clean).square().mean((1, 2, 3)).argmin() for i in range(24)])
    assert torch.equal(far, torch.arange(24))
