from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from hub import device
from hub.device import describe


def test_a_processor_is_known_before_any_model_is_loaded() -> None:
    found = describe("cpu", None)

    assert (found.kind, found.precision) == ("cpu", None)
    assert found.name
    assert found.memory_total is not None
    assert found.memory_free is not None
    assert 0 < found.memory_free <= found.memory_total <= psutil.virtual_memory().total


def test_a_loaded_backend_tells_the_precision() -> None:
    assert describe("auto", "openvino-cpu-bfloat16").precision == "bfloat16"


@pytest.mark.parametrize(("asked", "kind"), [("auto", None), ("cuda", "cuda"), ("cuda:1", "cuda")])
def test_nothing_is_guessed_of_an_accelerator(
    asked: str, kind: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = tmp_path / "driver"
    driver.touch()
    monkeypatch.setattr("uformer.devices.DRIVERS", (str(driver),))

    found = describe(asked, None)

    assert (found.name, found.kind, found.memory_total) == (None, kind, None)


@pytest.mark.parametrize(
    ("allowed", "total", "free"),
    [("3000000000", 3_000_000_000, 2_999_000_000), ("max", None, None), ("9" * 18, None, None)],
)
def test_a_container_has_what_it_is_allowed(
    allowed: str, total: int | None, free: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "memory.max").write_text(f"{allowed}\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    monkeypatch.setattr(device, "CONTAINER", tmp_path)

    found = describe("cpu", None)

    machine = psutil.virtual_memory()
    assert found.memory_total == (total or machine.total)
    assert found.memory_free is not None
    assert found.memory_free <= min(free or machine.total, machine.total)
