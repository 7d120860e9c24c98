"""Checkpoints of every kind, whole and broken."""

from __future__ import annotations

import os
import pickle
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from uformer.architecture import VARIANTS
from uformer.checkpoint import CheckpointError, inspect, variant_name
from uformer.model import Uformer
from uformer.modelfile import load_model, save_model

INDEX = "conv.blocks.0.attn.relative_position_index"
BIAS = "conv.blocks.0.norm1.bias"


@pytest.fixture(scope="module")
def model() -> Uformer:
    return Uformer(VARIANTS["uformer_16"]).eval()


@pytest.fixture
def weights(model: Uformer) -> dict[str, Tensor]:
    return dict(model.state_dict())


def same(left: Uformer, right: Uformer) -> bool:
    others = right.state_dict()
    return all(torch.equal(tensor, others[name]) for name, tensor in left.state_dict().items())


def complaint(path: Path) -> str:
    """What load_model says is wrong with a file: always one line that starts with the file's name."""
    with pytest.raises(CheckpointError) as caught:
        load_model(path)
    message = str(caught.value)
    assert message.startswith(f"{path.name}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path.name}: ")


@pytest.mark.parametrize("variant", ["uformer_t", "uformer_s_noshift", "uformer_b"])
def test_saved_model_comes_back_as_it_was(variant: str, tmp_path: Path) -> None:
    model = Uformer(VARIANTS[variant])
    path = tmp_path / "model.safetensors"
    save_model(model, path, {"task": "deblur"})
    loaded = load_model(path)
    assert same(model, loaded)
    assert loaded.config == model.config
    assert not loaded.training
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    info = inspect(path)
    assert (info.variant, info.train_size, info.task, info.dtype) == (variant, 128, "deblur", "float32")
    assert info.metadata["architecture"] == "uformer"
    assert list(tmp_path.iterdir()) == [path]


def test_official_training_file_loads(weights: dict[str, Tensor], model: Uformer, tmp_path: Path) -> None:
    optimizer = torch.optim.AdamW(model.parameters())
    path = tmp_path / "official.pth"
    state = {f"module.{name}": tensor for name, tensor in weights.items()}
    torch.save({"epoch": 250, "state_dict": state, "optimizer": optimizer.state_dict()}, path)
    assert same(load_model(path), model)
    assert inspect(path).metadata == {"epoch": "250"}


@pytest.mark.parametrize("zipped", [True, False])
def test_bare_state_dict_loads_from_both_formats_of_torch(
    weights: dict[str, Tensor], model: Uformer, tmp_path: Path, zipped: bool
) -> None:
    path = tmp_path / "bare.pt"
    torch.save(weights, path, _use_new_zipfile_serialization=zipped)
    assert same(load_model(path), model)


def test_content_decides_and_not_the_suffix(weights: dict[str, Tensor], model: Uformer, tmp_path: Path) -> None:
    save_model(model, tmp_path / "really_safetensors.pth")
    torch.save(weights, tmp_path / "really_torch.safetensors")
    assert same(load_model(tmp_path / "really_safetensors.pth"), model)
    assert same(load_model(tmp_path / "really_torch.safetensors"), model)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(weights: dict[str, Tensor], tmp_path: Path, dtype: torch.dtype) -> None:
    converted = {name: t.to(dtype) if t.is_floating_point() else t for name, t in weights.items()}
    path = tmp_path / "other.safetensors"
    save_file(converted, path)
    loaded = load_model(path)
    assert torch.equal(loaded.get_parameter(BIAS), converted[BIAS].float())
    assert loaded.get_parameter(BIAS).dtype == torch.float32
    assert f"torch.{inspect(path).dtype}" == str(dtype)


def test_position_index_may_be_absent_but_not_another(weights: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "index.pth"
    torch.save({name: tensor for name, tensor in weights.items() if not name.endswith("_index")}, path)
    assert torch.equal(load_model(path).get_buffer(INDEX), weights[INDEX])
    torch.save({**weights, INDEX: weights[INDEX].T.contiguous()}, path)
    assert INDEX in complaint(path)


def test_train_size_comes_from_argument_then_metadata_then_128(model: Uformer, tmp_path: Path) -> None:
    path = tmp_path / "sized.safetensors"
    save_file(state_of(model), path, {"train_size": "256"})
    assert load_model(path).config.train_size == 256
    assert load_model(path, train_size=128).config.train_size == 128
    save_file(state_of(model), path)
    assert load_model(path).config.train_size == 128
    with pytest.raises(ValueError, match="128 or 256, not 192"):
        load_model(path, train_size=192)
    save_file(state_of(model), path, {"train_size": "192"})
    assert "128 or 256" in complaint(path)


def state_of(model: Uformer) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_parameters_of_any_type_are_read(dtype: torch.dtype, tmp_path: Path) -> None:
    """With gradients, as a script keeps them that saves `dict(model.named_parameters())`."""
    model = Uformer(VARIANTS["uformer_16"]).to(dtype)
    torch.save(dict(model.named_parameters()), tmp_path / "network.pth")
    loaded = load_model(tmp_path / "network.pth")
    for name, parameter in model.named_parameters():
        assert torch.equal(loaded.get_parameter(name), parameter.float())


def test_argument_or_metadata_tells_the_variant_that_never_shifts(tmp_path: Path) -> None:
    model = Uformer(VARIANTS["uformer_s"])
    plain = tmp_path / "s.pth"
    torch.save(model.state_dict(), plain)
    assert load_model(plain).config == VARIANTS["uformer_s"]
    assert load_model(plain, variant="uformer_s_noshift").config == VARIANTS["uformer_s_noshift"]
    for spelling in ("Uformer_S_noshift", "uformer-s-noshift", "uformersnoshift"):
        torch.save({"state_dict": model.state_dict(), "variant": spelling}, plain)
        assert load_model(plain).config == VARIANTS["uformer_s_noshift"]
    with pytest.raises(CheckpointError, match=r"of uformer_s or uformer_s_noshift, not of uformer_b"):
        load_model(plain, variant="uformer_b")
    with pytest.raises(ValueError, match="no variant 'uformer_x'"):
        load_model(plain, variant="uformer_x")


def test_weights_outvote_wrong_metadata(model: Uformer, tmp_path: Path) -> None:
    path = tmp_path / "wrong.safetensors"
    save_file(state_of(model), path, {"variant": "uformer_b"})
    assert inspect(path).variant == "uformer_16"


class Runs:
    """Would create a file if its pickle were trusted."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return os.mkdir, (str(self.marker),)


def test_code_in_a_file_is_never_run(weights: dict[str, Tensor], tmp_path: Path) -> None:
    marker, path = tmp_path / "marker", tmp_path / "evil.pth"
    torch.save({"state_dict": weights, "optimizer": Runs(marker)}, path)
    assert "mkdir, which could run code" in complaint(path)
    path.write_bytes(pickle.dumps(Runs(marker)))
    complaint(path)
    assert not marker.exists()


def test_whole_pickled_network_is_refused(model: Uformer, tmp_path: Path) -> None:
    torch.save(model, tmp_path / "network.pth")
    assert "uformer.model.Uformer" in complaint(tmp_path / "network.pth")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html><body>Not here</body></html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
        (b"just some text that is long enough", "not a checkpoint"),
        (b"\x80\x02garbage", "truncated or damaged"),
        (struct.pack("<Q", 1000) + b"{}", "truncated or damaged"),
        (struct.pack("<Q", 2**60) + b"{}", "truncated or damaged"),
    ],
)
def test_other_files_are_named_for_what_they_are(content: bytes, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    path.write_bytes(content)
    assert expected in complaint(path)


def test_missing_file_and_folder_are_told_apart(tmp_path: Path) -> None:
    assert "no such file" in complaint(tmp_path / "nothing.pth")
    assert "directory" in complaint(tmp_path)


@pytest.mark.parametrize("kept", [0.0001, 0.3, 0.99999])
@pytest.mark.parametrize("kind", ["safetensors", "zip", "legacy"])
def test_truncated_file_is_refused(weights: dict[str, Tensor], tmp_path: Path, kind: str, kept: float) -> None:
    path = tmp_path / "cut"
    if kind == "safetensors":
        save_file(weights, path)
    else:
        torch.save(weights, path, _use_new_zipfile_serialization=kind == "zip")
    with path.open("r+b") as file:
        file.truncate(int(path.stat().st_size * kept))
    assert "truncated" in complaint(path)


def test_archives_of_something_else_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "archive.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("document/text.xml", "<text/>")
    assert "not a checkpoint" in complaint(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("program/constants.pkl", b"")
    assert "TorchScript" in complaint(path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([1, 2, 3], "holds a list"),
        ({}, "not named weights"),
        ({"state_dict": {"a": 1}}, "`a` is a int"),
        ({"conv_first.weight": torch.ones(3, 3)}, "another architecture"),
        ({"module.a": torch.ones(1), "a": torch.ones(1)}, "twice"),
    ],
)
def test_other_content_is_refused(content: object, expected: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "content.pth")
    assert expected in complaint(tmp_path / "content.pth")


@pytest.mark.parametrize("key", ["input_proj.proj.0.bias", BIAS, "conv.blocks.1.mlp.linear2.0.weight"])
def test_missing_surplus_and_misshapen_weights_are_named(weights: dict[str, Tensor], tmp_path: Path, key: str) -> None:
    path = tmp_path / "bad.pth"
    torch.save({name: tensor for name, tensor in weights.items() if name != key}, path)
    assert complaint(path) == f"does not fit uformer_16: missing `{key}`."
    torch.save({**weights, "extra.weight": torch.ones(1)}, path)
    assert complaint(path) == "does not fit uformer_16: surplus `extra.weight`."
    torch.save({**weights, key: torch.ones(7)}, path)
    assert f"`{key}` has shape (7,), not {tuple(weights[key].shape)}" in complaint(path)


def test_missing_block_is_told_against_the_nearest_variant(weights: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "block.pth"
    torch.save({name: tensor for name, tensor in weights.items() if not name.startswith("conv.blocks.1.")}, path)
    assert re.match(r"does not fit uformer_16: missing .* and \d+ more\.", complaint(path))


def test_network_of_another_width_is_refused(tmp_path: Path) -> None:
    model = Uformer(VARIANTS["uformer_16"].__class__(48, (1,) * 9, modulator=False))
    torch.save(model.state_dict(), tmp_path / "wide.pth")
    assert "Uformer of unknown size" in complaint(tmp_path / "wide.pth")
    with pytest.raises(ValueError, match="none of the variants"):
        save_model(model, tmp_path / "wide.safetensors")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(
    model: Uformer, weights: dict[str, Tensor], tmp_path: Path, value: float
) -> None:
    broken = weights[BIAS].clone()
    broken[3] = value
    torch.save({**weights, BIAS: broken}, tmp_path / "nan.pth")
    assert complaint(tmp_path / "nan.pth") == f"`{BIAS}` holds NaN or infinite values."


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_integer_and_sparse_weights_are_refused(weights: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "type.pth"
    torch.save({**weights, BIAS: weights[BIAS].int()}, path)
    assert "int32" in complaint(path)
    torch.save({**weights, BIAS: weights[BIAS].to_sparse()}, path)
    assert "no plain tensor" in complaint(path)


def test_save_keeps_the_old_file_when_the_new_one_would_be_bad(model: Uformer, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_model(model, path)
    before = path.read_bytes()
    broken = Uformer(VARIANTS["uformer_16"])
    broken.get_parameter(BIAS).data[0] = 70_000.0  # Beyond float16.
    with pytest.raises(ValueError, match=re.escape(BIAS)):
        save_model(broken, path, dtype=torch.float16)
    with pytest.raises(ValueError, match="float16 or float32"):
        save_model(model, path, dtype=torch.bfloat16)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_save_where_nothing_can_be_written_is_an_os_error(model: Uformer, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"model\.safetensors"):
        save_model(model, tmp_path / "nowhere" / "model.safetensors")


def test_saved_file_may_be_read_by_whoever_may_read_new_files(model: Uformer, tmp_path: Path) -> None:
    (tmp_path / "any").touch()
    save_model(model, tmp_path / "model.safetensors")
    assert (tmp_path / "model.safetensors").stat().st_mode == (tmp_path / "any").stat().st_mode


def test_saved_file_holds_the_official_names_alone_in_the_precision_asked_for(model: Uformer, tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    save_model(model, path, {"task": "denoise", "variant": "nonsense"}, torch.float16)
    stored = load_file(path)
    assert set(stored) == set(model.state_dict())
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16, torch.int64}
    with safe_open(path, framework="pt") as file:
        assert file.metadata()["variant"] == "uformer_16"


def test_variant_name_knows_every_variant_at_both_train_sizes() -> None:
    for name, config in VARIANTS.items():
        assert variant_name(config) == name
        assert variant_name(type(config)(**{**vars(config), "train_size": 256})) == name
