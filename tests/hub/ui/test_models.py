from __future__ import annotations

from pathlib import Path

import pytest

from hub.catalog import Catalog
from hub.settings import CHECKOUT
from hub.ui import models


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """What ships, with nothing fetched."""
    return Catalog(CHECKOUT / "weights", tmp_path)


def test_models_without_weights_are_marked(catalog: Catalog) -> None:
    choices = {name: label for label, name in models.model_choices(catalog, "denoise")}

    assert "not installed" not in choices["denoise_16"]
    assert choices["denoise_b"].endswith("· not installed")
    assert [task for _, task in models.task_choices(catalog)] == ["denoise", "deblur"]


def test_a_choice_stays_unless_it_is_of_another_task(catalog: Catalog) -> None:
    assert models.preferred_model(catalog, "denoise", "denoise_b") == "denoise_b"
    assert models.preferred_model(catalog, "denoise", "deblur_b") == "denoise_16"
    assert models.preferred_model(catalog, "deblur") in {name for _, name in models.model_choices(catalog, "deblur")}


def test_the_note_tells_what_choosing_a_model_means(catalog: Catalog) -> None:
    installed = models.model_note(catalog, "denoise_16", auto_fetch=True)
    online = models.model_note(catalog, "denoise_b", auto_fetch=True)
    offline = models.model_note(catalog, "denoise_b", auto_fetch=False)

    assert "hub-note-warn" not in installed
    assert "Licence" in installed
    assert "downloads them once" in online
    assert "python -m hub fetch denoise_b" in offline
    assert "hub-note-warn" in models.model_note(catalog, None, auto_fetch=True)
    assert "hub-note-warn" in models.model_note(catalog, "gone", auto_fetch=True)


def test_an_unusable_file_says_why(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "manifest.json").write_bytes((CHECKOUT / "weights" / "manifest.json").read_bytes())
    (weights / "mine_denoise.safetensors").write_bytes(b"not a model <at all>")
    catalog = Catalog(weights, tmp_path / "fetched")
    [mine] = [entry for entry in catalog.models() if entry.file == "mine_denoise.safetensors"]

    choices = {name: label for label, name in models.model_choices(catalog, mine.task)}
    assert choices[mine.name].endswith("· cannot be used")
    note = models.model_note(catalog, mine.name, auto_fetch=True)
    assert "This file cannot be used:" in note
    assert "<at" not in note
    assert models.model_names(catalog)[mine.name] == mine.text
