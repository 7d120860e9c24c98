"""The catalog: the manifest's models, files that users drop, and what a request may name."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from hub.catalog import Catalog, ModelEntry
from hub.errors import Conflict, HubError, InvalidInput
from hub.settings import CHECKOUT
from uformer.architecture import VARIANTS
from uformer.checkpoint import inspect
from uformer.model import Uformer
from uformer.modelfile import build_model, save_model


@pytest.fixture(scope="module")
def network() -> Uformer:
    return Uformer(VARIANTS["uformer_16"])


@pytest.fixture(scope="module")
def sample(network: Uformer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of Uformer-16 weights without metadata about its task."""
    path = tmp_path_factory.mktemp("sample") / "sample.safetensors"
    save_model(network, path, dtype=torch.float16)
    return path


class Folders:
    """A weights folder with a manifest, a folder of fetched weights, and their catalog."""

    def __init__(self, root: Path) -> None:
        self.weights, self.fetched = root / "weights", root / "fetched"
        self.weights.mkdir()
        self.catalog = Catalog(self.weights, self.fetched)

    def describe(self, *models: dict[str, Any]) -> None:
        (self.weights / "manifest.json").write_text(json.dumps({"models": models}), encoding="utf-8")

    def states(self) -> dict[str, bool]:
        return {entry.name: entry.installed for entry in self.catalog.models()}


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


def known(name: str, **changes: Any) -> dict[str, Any]:
    """An entry of a manifest: an official model."""
    return {
        "name": name,
        "task": "denoise",
        "text": name,
        "description": "",
        "variant": "uformer_16",
        "train_size": 128,
        "file": f"{name}.safetensors",
        "official_file": f"{name}.pth",
        "sha256": None,
        "licence": "MIT",
        "source": "",
        "training_data": "",
        **changes,
    }


def own(catalog: Catalog) -> list[ModelEntry]:
    return [entry for entry in catalog.models() if entry.licence == "unknown"]


def test_the_project_ships_a_denoiser_that_loads(tmp_path: Path) -> None:
    catalog = Catalog(CHECKOUT / "weights", tmp_path)
    entry = catalog.get("denoise_16")
    assert entry.installed
    assert (entry.task, entry.variant, entry.train_size) == ("denoise", "uformer_16", 128)
    weights = catalog.load("denoise_16")
    assert weights.config == VARIANTS["uformer_16"]
    network = build_model(weights)
    with torch.inference_mode():
        assert network(torch.full((1, 3, 128, 128), 0.5)).sub(0.5).abs().max() < 0.1


def test_the_project_knows_the_official_models(tmp_path: Path) -> None:
    catalog = Catalog(CHECKOUT / "weights", tmp_path)
    official = {entry.name: (entry.task, entry.source) for entry in catalog.models() if entry.source}
    assert official == {
        "denoise_b": ("denoise", "Uformer_B_SIDD.pth"),
        "denoise_16_sidd": ("denoise", "uformer16_denoising_sidd.pth"),
        "deblur_b": ("deblur", "Uformer_B_GoPro.pth"),
    }
    assert catalog.default_model("denoise").name == "denoise_16"
    assert catalog.default_model("deblur").name == "deblur_b"
    with pytest.raises(Conflict, match="python -m hub fetch deblur_b") as caught:
        catalog.load("deblur_b")
    assert caught.value.code == "weights_not_installed"


def test_best_installed_model_is_the_default(folders: Folders, sample: Path) -> None:
    folders.describe(known("best"), known("second"), known("third"))
    assert folders.catalog.default_model("denoise").name == "best"
    folders.fetched.mkdir()
    shutil.copy(sample, folders.fetched / "third.safetensors")
    assert folders.catalog.default_model("denoise").name == "third"
    shutil.copy(sample, folders.fetched / "second.safetensors")
    assert folders.catalog.default_model("denoise").name == "second"
    with pytest.raises(Conflict, match="no model for 'deblur'"):
        folders.catalog.default_model("deblur")


def test_shipped_file_must_be_the_one_that_the_manifest_means(folders: Folders, sample: Path) -> None:
    digest = hashlib.sha256(sample.read_bytes()).hexdigest()
    folders.describe(known("shipped", official_file=None, sha256=digest))
    assert folders.states() == {"shipped": False}
    with pytest.raises(Conflict, match=r"put shipped\.safetensors back") as caught:
        folders.catalog.load("shipped")
    assert caught.value.code == "weights_not_installed"
    path = folders.weights / "shipped.safetensors"
    shutil.copy(sample, path)
    assert folders.states() == {"shipped": True}
    path.write_bytes(sample.read_bytes()[:-2] + b"\1\1")
    assert folders.states() == {"shipped": False}
    with pytest.raises(Conflict, match="damaged") as caught:
        folders.catalog.load("shipped")
    assert caught.value.code == "weights_unusable"


def test_official_file_put_there_by_hand_counts_as_installed(folders: Folders, network: Uformer) -> None:
    folders.describe(known("given", train_size=256), known("other", variant="uformer_b"))
    torch.save({"state_dict": network.state_dict(), "epoch": 1}, folders.weights / "given.pth")
    shutil.copy(folders.weights / "given.pth", folders.weights / "other.pth")
    assert folders.states() == {"given": True, "other": False}
    assert folders.catalog.load("given").config.train_size == 256
    assert folders.catalog.get("other").problem == "other.pth: holds uformer_16, not uformer_b."


def test_dropped_file_appears_and_goes_again(folders: Folders, sample: Path) -> None:
    assert folders.catalog.models() == []
    path = folders.weights / "My film grain.safetensors"
    shutil.copy(sample, path)
    (entry,) = folders.catalog.models()
    assert (entry.name, entry.text, entry.task) == ("My_film_grain", "My film grain", "denoise")
    assert (entry.variant, entry.train_size, entry.installed) == ("uformer_16", 128, True)
    assert folders.catalog.load(entry.name).config.embed_dim == 16
    path.unlink()
    assert folders.catalog.models() == []


def test_task_of_a_dropped_file_comes_from_metadata_then_from_its_name(folders: Folders, network: Uformer) -> None:
    save_model(network, folders.weights / "deblur_told.safetensors", {"task": "denoise"})
    save_model(network, folders.weights / "motion_blur.safetensors", {"task": "something"})
    save_model(network, folders.weights / "nothing.safetensors")
    tasks = {entry.name: entry.task for entry in folders.catalog.models()}
    assert tasks == {"deblur_told": "denoise", "motion_blur": "deblur", "nothing": "denoise"}
    assert [entry.name for entry in folders.catalog.models("deblur")] == ["motion_blur"]


def test_broken_file_is_listed_with_its_problem(folders: Folders, sample: Path) -> None:
    (folders.weights / "cut.safetensors").write_bytes(sample.read_bytes()[:-9])
    save_file({"conv.weight": torch.ones(3)}, folders.weights / "foreign.safetensors")
    (folders.weights / "empty.pth").touch()
    for entry, word in zip(own(folders.catalog), ("truncated", "empty", "another architecture"), strict=True):
        assert not entry.installed
        assert entry.problem is not None
        assert word in entry.problem
    with pytest.raises(Conflict, match=r"'cut' cannot be used: cut\.safetensors: truncated") as caught:
        folders.catalog.load("cut")
    assert caught.value.code == "weights_unusable"


def test_file_that_grows_is_looked_at_again(folders: Folders, sample: Path) -> None:
    path, content = folders.weights / "copying.safetensors", sample.read_bytes()
    path.write_bytes(content[:5000])
    assert folders.states() == {"copying": False}
    path.write_bytes(content)
    assert folders.states() == {"copying": True}


def test_bad_values_are_found_when_a_model_is_loaded(folders: Folders, network: Uformer) -> None:
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state["output_proj.proj.0.bias"][0] = float("nan")
    save_file(state, folders.weights / "nan.safetensors")
    with pytest.raises(Conflict, match="NaN"):
        folders.catalog.load("nan")


def test_names_are_plain_and_never_taken_twice(folders: Folders, sample: Path) -> None:
    folders.describe(known("denoise_x"))
    for name in ("a.safetensors", "a.pth", "a!.pth", "denoise_x.pt", ".hidden.pth", "../weights/é $(id).pt", "x.txt"):
        shutil.copy(sample, folders.weights / name)
    names = [entry.name for entry in own(folders.catalog)]
    assert sorted(names) == sorted(["a_safetensors", "a_pth", "a", "denoise_x_pt", "é_id"])
    assert names == [entry.name for entry in own(Catalog(folders.weights, folders.fetched))]


def test_request_is_resolved_against_task_and_model(folders: Folders) -> None:
    folders.describe(known("soft"), known("sharp", task="deblur"))
    resolve = folders.catalog.resolve
    assert resolve(None, None).name == "soft"
    assert resolve("deblur", None).name == "sharp"
    assert resolve("deblur", "sharp").name == "sharp"
    assert resolve(None, "sharp").task == "deblur"


@pytest.mark.parametrize(
    ("task", "model", "code", "valid"),
    [
        ("colourise", None, "unknown_task", ["denoise", "deblur"]),
        ("colourise", "soft", "unknown_task", ["denoise", "deblur"]),
        ("denoise", "../soft", "unknown_model", ["soft", "sharp"]),
        (None, "", "unknown_model", ["soft", "sharp"]),
        ("denoise", "sharp", "wrong_task", ["soft"]),
    ],
)
def test_wrong_request_is_answered_with_the_valid_choices(
    folders: Folders, task: str | None, model: str | None, code: str, valid: list[str]
) -> None:
    folders.describe(known("soft"), known("sharp", task="deblur"))
    with pytest.raises(InvalidInput) as caught:
        folders.catalog.resolve(task, model)
    assert caught.value.code == code
    assert caught.value.data["valid"] == valid
    assert all(name in caught.value.message for name in valid)


@pytest.mark.parametrize(
    ("models", "place"),
    [
        ([known("a"), known("a", file="b.safetensors")], "'a' is there twice"),
        ([known("a", file="../a.safetensors")], "models.0.file"),
        ([known("a", task="paint")], "models.0.task"),
        ([known("a", official_file=None)], "needs its sha256"),
        ([known("a", colour="red")], "models.0.colour"),
        ([{"name": "a"}], "Field required"),
    ],
)
def test_wrong_manifest_is_refused_in_one_line(folders: Folders, models: list[dict[str, Any]], place: str) -> None:
    folders.describe(*models)
    with pytest.raises(HubError) as caught:
        folders.catalog.models()
    assert caught.value.code == "bad_manifest"
    assert place in caught.value.message
    assert "\n" not in caught.value.message


def test_asking_again_reads_no_file_again(folders: Folders, sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        shutil.copy(sample, folders.weights / f"own{number}.safetensors")
    looked: list[Path] = []
    monkeypatch.setattr("hub.catalog.inspect", lambda path: looked.append(path) or inspect(path))
    before = folders.catalog.models()
    assert len(looked) == 3
    assert folders.catalog.models() == before
    shutil.copy(sample, folders.weights / "own3.safetensors")
    assert len(folders.catalog.models()) == 4
    assert looked[3:] == [folders.weights / "own3.safetensors"]
