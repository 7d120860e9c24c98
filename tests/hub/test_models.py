from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hub.catalog import Catalog
from hub.engine import Priority
from hub.errors import Busy, Conflict, InvalidInput
from hub.fetch import Fetcher
from hub.installation import InstallHandler
from hub.jobs.executor import LocalExecutor
from hub.jobs.manager import JobManager
from hub.jobs.model import Kind, Status
from hub.jobs.store import JobStore
from hub.models import Models
from hub.networks import Networks
from hub.results import FileStore
from hub.settings import CHECKOUT, Settings
from uformer.architecture import VARIANTS
from uformer.checkpoint import Weights
from uformer.model import Uformer
from uformer.modelfile import save_model

MODEL = Uformer(VARIANTS["uformer_t"])
MODEL_BYTES = sum(parameter.nbytes for parameter in MODEL.parameters())
SECONDS = 60


class Hub:
    """The parts of a hub that handle models, over three installed ones, `a_mine`, `b_mine` and `c_mine`."""

    def __init__(self, settings: Settings) -> None:
        fetched = settings.data_dir / "weights"
        self.catalog = Catalog(settings.weights_dir, fetched)
        self.networks = Networks(settings, self.catalog)
        files = FileStore(
            settings.data_dir, settings.resolved_results_dir, max_upload_bytes=1_000_000, min_free_bytes=0
        )
        self.store = JobStore(settings.resolved_database_url)
        install = InstallHandler(self.catalog, Fetcher(self.catalog, fetched, settings.fetch_urls))
        self.manager = JobManager(
            self.store, files, {Kind.INSTALL: install}, {Kind.INSTALL: LocalExecutor(1)}, queue_limit=5
        )
        self.models = Models(settings, self.catalog, self.networks, self.manager)

    def entry(self, name: str) -> dict[str, Any]:
        """What the status says of one model."""
        return next(model for model in self.models.status()["models"] if model["name"] == name)

    def loaded(self) -> list[str]:
        return [model["name"] for model in self.models.status()["models"] if model["loaded"]]


@pytest.fixture
def make_hub(tmp_path: Path) -> Iterator[Callable[..., Hub]]:
    """Makes hubs of three small models; `fits` of them may be in memory at once."""
    hubs: list[Hub] = []
    weights = tmp_path / "weights"
    weights.mkdir()
    for name in ("a_mine", "b_mine", "c_mine"):
        save_model(MODEL, weights / f"{name}.safetensors")
    manifest = json.loads((CHECKOUT / "weights" / "manifest.json").read_text(encoding="utf-8"))
    known = [model for model in manifest["models"] if model["name"] == "denoise_b"]
    (weights / "manifest.json").write_text(json.dumps({"models": known}), encoding="utf-8")

    def make(fits: float = 10, **changes: Any) -> Hub:
        settings = Settings(
            data_dir=tmp_path / "data",
            weights_dir=weights,
            cpu_backend="torch",
            precision="float32",
            fetch_urls=["http://127.0.0.1:9/"],
            **changes,
        )
        # Below what the environment may ask for: these models are small.
        hubs.append(Hub(settings.model_copy(update={"model_memory_mb": fits * MODEL_BYTES / 1e6})))
        hubs[-1].manager.start()
        return hubs[-1]

    yield make
    for hub in hubs:
        hub.manager.stop()
        hub.networks.stop()
        hub.store.close()


def test_before_anything_is_loaded_the_status_starts_nothing(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub(device="cpu")

    status = hub.models.status()

    assert [model["name"] for model in status["models"]] == ["denoise_b", "a_mine", "b_mine", "c_mine"]
    assert hub.entry("denoise_b")["installed"] is False
    assert hub.entry("a_mine") == {
        "name": "a_mine",
        "task": "denoise",
        "installed": True,
        "loaded": False,
        "loading": False,
        "in_use": 0,
        "bytes": 0,
        "backend": None,
    }
    device = status["device"]
    assert (device["kind"], device["model_memory_used"]) == ("cpu", 0)
    assert device["model_memory_budget"] == 10 * MODEL_BYTES
    assert hub.networks.status() is None
    assert hub.models.unload([]) == ([], [])
    assert hub.networks.status() is None


def test_the_status_brings_no_torch_in(tmp_path: Path) -> None:
    """In a process of its own, as this one has imported it."""
    program = (
        "import sys; from pathlib import Path; from hub.settings import Settings; from hub.catalog import Catalog; "
        "from hub.networks import Networks; from hub.models import Models; "
        f"settings = Settings(data_dir=Path({str(tmp_path)!r})); "
        "catalog = Catalog(settings.weights_dir, settings.data_dir); "
        "models = Models(settings, catalog, Networks(settings, catalog), None); "
        "assert models.status()['models'] and models.unload([]) == ([], []); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, timeout=SECONDS).returncode == 0


def test_loaded_models_are_told_and_unloaded(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub()

    assert hub.models.load(["b_mine", "a_mine", "b_mine"]) == ["b_mine", "a_mine"]

    assert hub.loaded() == ["a_mine", "b_mine"]
    assert (hub.entry("a_mine")["bytes"], hub.entry("a_mine")["in_use"]) == (MODEL_BYTES, 0)
    assert hub.entry("a_mine")["backend"].startswith("torch-cpu-")
    device = hub.models.status()["device"]
    assert device["model_memory_used"] == 2 * MODEL_BYTES
    assert device["precision"] in ("bfloat16", "float32")
    assert hub.models.unload(["c_mine", "a_mine"]) == (["a_mine"], [])
    assert hub.models.load([]) == ["a_mine", "b_mine", "c_mine"]
    assert sorted(hub.models.unload([])[0]) == ["a_mine", "b_mine", "c_mine"]
    assert hub.loaded() == []


def test_a_model_in_use_is_not_pulled_away(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub()
    hub.models.load(["a_mine", "b_mine"])

    with hub.networks.session("a_mine", Priority.IMAGE):
        assert hub.entry("a_mine")["in_use"] == 1
        assert hub.models.unload([]) == (["b_mine"], ["a_mine"])
        assert hub.loaded() == ["a_mine"]
    assert hub.models.unload(["a_mine"]) == (["a_mine"], [])


@pytest.mark.parametrize("call", ["load", "unload", "install"])
def test_unknown_names_are_told_with_the_valid_ones(call: str, make_hub: Callable[..., Hub]) -> None:
    hub = make_hub()

    with pytest.raises(InvalidInput, match="no model 'nothing', '\\\\x00'; valid are: denoise_b, a_mine") as caught:
        getattr(hub.models, call)(["a_mine", "nothing", "\0"])

    assert caught.value.code == "unknown_model"
    assert caught.value.data["valid"] == ["denoise_b", "a_mine", "b_mine", "c_mine"]
    assert hub.networks.status() is None


def test_a_model_that_is_not_installed_is_not_loaded(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub()

    with pytest.raises(Conflict, match="python -m hub fetch denoise_b") as caught:
        hub.models.load(["a_mine", "denoise_b"])

    assert caught.value.code == "weights_not_installed"
    assert hub.loaded() == []


def test_models_that_never_fit_together_are_refused_in_words(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub(fits=2.5)

    with pytest.raises(Conflict, match=r"a_mine, b_mine, c_mine do not fit together.*Loaded now: a_mine, b_mine"):
        hub.models.load([])

    assert hub.loaded() == ["a_mine", "b_mine"]
    assert hub.models.load(["c_mine"]) == ["c_mine"]
    assert "c_mine" in hub.loaded()
    assert len(hub.loaded()) == 2


def test_no_room_beside_models_in_use_is_a_matter_of_time(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub(fits=1.5)

    with (
        hub.networks.session("a_mine", Priority.IMAGE),
        pytest.raises(Busy, match="Jobs use a_mine, which leaves no room for b_mine") as caught,
    ):
        hub.models.load(["b_mine"])
    assert caught.value.retry_after > 0
    assert hub.models.load(["b_mine"]) == ["b_mine"]


def test_while_a_model_loads_everything_else_answers(
    make_hub: Callable[..., Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = make_hub()
    begun, go_on = threading.Event(), threading.Event()
    load = hub.catalog.load

    def slowly(name: str) -> Uformer:
        begun.set()
        assert go_on.wait(SECONDS)
        return load(name)

    monkeypatch.setattr(hub.catalog, "load", slowly)
    thread = threading.Thread(target=hub.models.load, args=(["a_mine"],))
    thread.start()
    try:
        assert begun.wait(SECONDS)
        since = time.monotonic()
        entry = hub.entry("a_mine")
        assert (entry["loaded"], entry["loading"], entry["bytes"]) == (False, True, 0)
        assert hub.models.unload([]) == ([], ["a_mine"])
        with pytest.raises(Busy) as caught:
            hub.models.load(["b_mine"])
        assert caught.value.code == "models_loading"
        assert time.monotonic() - since < 1
    finally:
        go_on.set()
        thread.join()
    assert hub.loaded() == ["a_mine"]


def test_at_the_start_is_loaded_what_fits(make_hub: Callable[..., Hub], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    hub = make_hub(fits=2.5)

    hub.models.load_all()

    assert hub.loaded() == ["a_mine", "b_mine"]
    assert "Not loaded at the start: c_mine" in caplog.text
    assert "Loaded at the start: a_mine, b_mine." in caplog.text


def test_a_damaged_file_does_not_keep_the_others_from_being_loaded(
    make_hub: Callable[..., Hub], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hub = make_hub()
    load = hub.catalog.load

    def broken(name: str) -> Weights:
        if name == "b_mine":
            raise MemoryError
        return load(name)

    monkeypatch.setattr(hub.catalog, "load", broken)
    hub.models.load_all()

    assert hub.loaded() == ["a_mine", "c_mine"]
    assert "Too little memory is free to load b_mine" in caplog.text
    hub.networks.cease_warming()
    hub.models.unload([])
    hub.models.load_all()
    assert hub.loaded() == []


def test_an_installation_is_a_job(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub()

    job = hub.models.install(["a_mine"], owner="key:1", idempotency_key="once")
    view = hub.manager.wait(job.id, SECONDS)

    assert (view.job.status, view.job.owner, view.job.kind) == (Status.COMPLETED, "key:1", Kind.INSTALL)
    assert view.job.result is not None
    assert view.job.result["already_installed"] == ["a_mine"]
    assert hub.models.install(["a_mine"], owner="key:1", idempotency_key="once").id == job.id
    with pytest.raises(InvalidInput) as caught:
        hub.models.install(["b_mine"], owner="key:1", idempotency_key="once")
    assert caught.value.code == "idempotency_key_reused"


def test_an_installation_that_fails_says_why(make_hub: Callable[..., Hub], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.download.PAUSE_SECONDS", 0.01)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    hub = make_hub()

    view = hub.manager.wait(hub.models.install([]).id, SECONDS)

    assert (view.job.status, view.job.error_code) == (Status.FAILED, "fetch_failed")
    assert view.job.filename == "denoise_b"
    assert "cannot be reached" in (view.job.error or "")


def test_the_strategy_is_the_settings(make_hub: Callable[..., Hub]) -> None:
    assert make_hub().models.strategy() == {"load_all_on_startup": False}
