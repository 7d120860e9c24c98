"""The measures, against scikit-image's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from uformer.metrics import psnr, ssim


def test_as_scikit_image_has_them() -> None:
    random = np.random.default_rng(1)
    true = random.random((2, 3, 40, 56)).cumsum(3) % 1
    restored = np.clip(true + random.normal(0, 0.05, true.shape), 0, 1)

    ours = (
        psnr(torch.from_numpy(restored), torch.from_numpy(true)),
        ssim(torch.from_numpy(restored), torch.from_numpy(true)),
    )

    for index in range(2):
        assert ours[0][index].item() == pytest.approx(
            peak_signal_noise_ratio(true[index], restored[index], data_range=1)
        )
        expected = structural_similarity(
            true[index],
            restored[index],
            data_range=1,
            channel_axis=0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        assert ours[1][index].item() == pytest.approx(expected, abs=1e-9)


def test_equal_pictures() -> None:
    picture = torch.rand(1, 3, 16, 16)

    assert psnr(picture, picture).item() == float("inf")
    assert ssim(picture, picture).item() == pytest.approx(1)
