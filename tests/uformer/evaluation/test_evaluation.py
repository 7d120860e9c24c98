from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from uformer.evaluation.__main__ import main
from uformer.evaluation.report import CROP, Strip, table
from uformer.evaluation.samples import Sample, degraded, non_local_means, pairs
from uformer.evaluation.scores import Score, score

WEIGHTS = Path(__file__).resolve().parents[3] / "weights" / "denoise_16.safetensors"


def save(path: Path, rgb: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.ascontiguousarray(rgb[..., ::-1]))


@pytest.fixture
def folder(clean_photo: NDArray[np.uint8], tmp_path: Path) -> Path:
    """Two photos, one of odd sides."""
    save(tmp_path / "photos" / "a.png", clean_photo)
    save(tmp_path / "photos" / "b.png", clean_photo[:117, 10:-1])
    return tmp_path / "photos"


def psnr(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float(-10 * np.log10(np.mean((one / 255.0 - other / 255.0) ** 2)))


def test_photos_are_degraded_as_told_and_always_alike(folder: Path) -> None:
    for task, names in {
        "denoise": ["sigma 15", "sigma 25", "sigma 50", "camera"],
        "deblur": ["shake 8", "shake 16", "shake 24", "sharp"],
    }.items():
        series = degraded(folder, task)
        assert [each.name for each in series] == names
        for each in series:
            first, again = list(each), list(each)
            assert [sample.name for sample in first] == ["a", "b"]
            for one, other in zip(first, again, strict=True):
                np.testing.assert_array_equal(one.given, other.given)
                assert one.given.shape == one.true.shape
                assert one.given.dtype == np.uint8

    noisy = next(iter(degraded(folder, "denoise")[1]))
    # 20 * log10(255 / 25) = 20.2 dB; clipping at black and white takes some of the noise away.
    assert 20.1 < psnr(noisy.given, noisy.true) < 20.9
    assert noisy.sigma == 25
    sharp = next(iter(degraded(folder, "deblur")[3]))
    np.testing.assert_array_equal(sharp.given, sharp.true)
    lengths = [psnr(sample.given, sample.true) for sample in (next(iter(s)) for s in degraded(folder, "deblur")[:3])]
    assert max(lengths) < 40


@pytest.mark.parametrize("layout", [("blur", "sharp"), ("input", "groundtruth"), ("test/x/noisy", "test/x/clean")])
def test_pairs_are_found_in_the_usual_layouts(
    layout: tuple[str, str], clean_photo: NDArray[np.uint8], noisy_photo: NDArray[np.uint8], tmp_path: Path
) -> None:
    given, true = layout
    for name in ("1.png", "2.png"):
        save(tmp_path / given / name, noisy_photo)
        save(tmp_path / true / name, clean_photo)
    save(tmp_path / given / "without a partner.png", noisy_photo)

    samples = list(pairs(tmp_path))

    assert [sample.name for sample in samples] == ["1", "2"]
    np.testing.assert_array_equal(samples[0].given, noisy_photo)
    np.testing.assert_array_equal(samples[1].true, clean_photo)
    assert samples[0].sigma is None


def test_folders_without_what_is_wanted_are_told_of(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="blur/ and sharp/"):
        pairs(tmp_path)
    with pytest.raises(ValueError, match="holds no photos"):
        degraded(tmp_path, "denoise")


def test_non_local_means_helps(clean_photo: NDArray[np.uint8], noisy_photo: NDArray[np.uint8]) -> None:
    sample = Sample("a", clean_photo, noisy_photo, 25.0)

    assert psnr(non_local_means(sample), clean_photo) > psnr(noisy_photo, clean_photo) + 4


def test_scores_are_scikit_images(clean_photo: NDArray[np.uint8], noisy_photo: NDArray[np.uint8]) -> None:
    score = Score()
    score.add(noisy_photo, clean_photo)
    score.add(clean_photo, clean_photo)

    # skimage 0.26: peak_signal_noise_ratio and structural_similarity(gaussian_weights=True, sigma=1.5,
    # use_sample_covariance=False, channel_axis=2, data_range=255) of the same arrays; perfect ones count as 100 dB.
    assert score.psnr[0] == pytest.approx(psnr(noisy_photo, clean_photo))
    assert score.psnr[1] == 100
    assert score.ssim[1] == pytest.approx(1)
    assert score.means == (pytest.approx((score.psnr[0] + 100) / 2), pytest.approx((score.ssim[0] + 1) / 2))


def test_every_method_is_measured_on_every_sample(folder: Path) -> None:
    seen: list[tuple[str, list[str]]] = []
    series = degraded(folder, "denoise")[1]
    methods = {"input": lambda sample: sample.given, "oracle": lambda sample: sample.true}

    scores = {series.name: score(series, methods, lambda sample, made: seen.append((sample.name, list(made))))}

    assert seen == [("a", ["input", "oracle"]), ("b", ["input", "oracle"])]
    lines = table(scores).splitlines()
    assert lines[0] == "| | photos | input | oracle |"
    assert lines[2].startswith("| sigma 25 | 2 | 20.")
    assert lines[2].endswith(" | 100.00 / 1.0000 |")


def test_the_strip_shows_the_first_sample_where_it_has_most_detail(tmp_path: Path) -> None:
    flat = np.full((400, 500, 3), 90, np.uint8)
    detailed = flat.copy()
    detailed[150:342, 250:442] = np.random.default_rng(0).integers(0, 256, (CROP, CROP, 3))
    strip = Strip()
    for name, picture in (("one", detailed), ("two", flat)):
        strip.first_of("series")(Sample(name, picture, flat), {"input": flat})
    strip.write(tmp_path / "strip.png")

    shown = cv2.imread(str(tmp_path / "strip.png"))[..., ::-1]
    assert shown.shape[0] < 2 * CROP, "One row only."
    np.testing.assert_array_equal(shown[-CROP - 4 : -4, -CROP - 4 : -4], detailed[150:342, 250:442])


def test_the_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table_path, strip_path = tmp_path / "table.md", tmp_path / "strip.png"
    status = main(
        [str(WEIGHTS), str(folder), "--device", "cpu", "--table", str(table_path), "--strip", str(strip_path)]
    )

    assert status == 0
    lines = table_path.read_text("utf-8").splitlines()
    assert lines[0] == "| | photos | input | non-local means | denoise_16 |"
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| sigma 15", "| sigma 25", "| sigma 50", "| camera"]
    for line in lines[2:]:
        given, _, restored = (float(cell.split(" / ")[0]) for cell in line.strip("| ").split(" | ")[2:])
        assert restored > given + 2, line
    assert table_path.read_text("utf-8") in capsys.readouterr().out
    assert cv2.imread(str(strip_path)).shape[0] > 3 * 120


def test_errors_of_the_command_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(WEIGHTS), str(tmp_path), "--pairs"]) == 1
    assert main([str(tmp_path / "none.pth"), str(tmp_path)]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert all(error.startswith("error: ") for error in errors)
