"""Configurations are read strictly."""

from __future__ import annotations

from pathlib import Path

import pytest

from uformer.training.config import ConfigError, load_config

SHIPPED = Path(__file__).parents[3] / "uformer" / "training" / "denoise_16.toml"


def test_a_shipped_one_by_name_and_by_path() -> None:
    config = load_config("denoise_16")

    assert config == load_config(SHIPPED)
    assert (config.variant, config.task, config.crop) == ("uformer_16", "denoise", 128)
    assert config.noise is not None
    assert config.noise.jpeg.quality == (30, 98)
    assert isinstance(config.noise.max_sigma, float)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("crop = 128", "crop = 100", "crop: 100 is not a multiple of 128"),
        ("crop = 128", "crop = '128'", "crop: '128' is not int"),
        ("seed = 16", "", "seed: missing"),
        ("seed = 16", "seed = 16\ncolour = 1", "colour: unknown; there are name, task"),
        ("batch = 64", "batch = 1.5", "optimisation.batch: 1.5 is not int"),
        ("quality = [30, 98]", "quality = [30]", r"noise.jpeg.quality: \[30\] is not"),
        ('"uformer_16"', '"uformer_x"', "there is no 'uformer_x'; there are uformer_16"),
        ("[noise.jpeg]", "[blur.jpeg]", "noise.jpeg: missing|blur"),
        ("made = 0.2", "made = ", "is not TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = SHIPPED.read_text("utf-8")
    assert old in text
    path = tmp_path / "run.toml"
    path.write_text(text.replace(old, new), "utf-8")

    with pytest.raises(ConfigError, match=message):
        load_config(path)


def test_no_such_configuration() -> None:
    with pytest.raises(ConfigError, match="no configuration denoise_32"):
        load_config("denoise_32")
