from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

from hub import download as downloading
from hub.catalog import Catalog
from hub.errors import Cancelled, Conflict, HubError
from hub.fetch import Fetcher
from hub.installation import INSTALL_TASK, InstallHandler, InstallSpec
from hub.jobs.handler import JobContext, Outcome
from hub.jobs.model import Job, Kind
from hub.jobs.progress import Progress
from hub.results import FileStore
from hub.settings import CHECKOUT, Settings
from uformer.architecture import VARIANTS
from uformer.model import Uformer

SIDD = "uformer16_denoising_sidd.pth"


class Recorded(Progress):
    """Progress that remembers all it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[float, str, dict[str, Any]]] = []

    def report(self, fraction: float, message: str = "", details: Any = None) -> None:
        super().report(fraction, message, details)
        self.told.append((fraction, message, dict(details or {})))


@pytest.fixture
def official(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is served as the official address; its address stands in `url`."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(downloading, "PAUSE_SECONDS", 0.01)
    folder = tmp_path / "official"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    (tmp_path / "url").write_text(f"http://127.0.0.1:{server.server_port}")
    yield folder
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def weights(official: Path) -> Path:
    """The official file of denoise_16_sidd."""
    torch.manual_seed(0)
    torch.save({"state_dict": Uformer(VARIANTS["uformer_16"]).state_dict()}, official / SIDD)
    return official / SIDD


Install = Callable[..., Outcome]


@pytest.fixture
def progress() -> Recorded:
    return Recorded()


@pytest.fixture
def install(official: Path, settings: Settings, tmp_path: Path, progress: Recorded) -> Install:
    """Runs an install job of the named models."""
    catalog = Catalog(CHECKOUT / "weights", settings.data_dir / "weights")
    fetcher = Fetcher(catalog, settings.data_dir / "weights", [(tmp_path / "url").read_text()])
    files = FileStore(settings.data_dir, settings.resolved_results_dir, max_upload_bytes=1_000_000, min_free_bytes=0)
    handler = InstallHandler(catalog, fetcher)

    def run(*names: str, cancelled: Callable[[], bool] | None = None) -> Outcome:
        job = Job.new(Kind.INSTALL, INSTALL_TASK, InstallSpec(names).to_spec(), "")
        return handler(JobContext(job, files, progress=progress, cancelled=cancelled))

    return run


def test_weights_are_installed_and_what_was_there_is_simply_done(
    install: Install, weights: Path, progress: Recorded, settings: Settings
) -> None:
    outcome = install("denoise_16", "denoise_16_sidd")

    file = settings.data_dir / "weights" / "denoise_16_sidd.safetensors"
    (installed,) = outcome.result["installed"]
    assert (installed["name"], installed["bytes"]) == ("denoise_16_sidd", file.stat().st_size)
    assert 0 <= installed["seconds"] <= outcome.result["seconds"] + 0.1
    assert outcome.result["already_installed"] == ["denoise_16"]
    assert outcome.result_path is None

    total = weights.stat().st_size
    fraction, message, details = progress.told[-1]
    assert fraction == 1.0
    assert "(2 of 2)" in message
    assert message.endswith(f"{total / 1e6:.0f} of {total / 1e6:.0f} MB")
    assert details == {
        "model_name": "denoise_16_sidd",
        "bytes_done": total,
        "bytes_total": total,
        "models_done": 1,
        "models_total": 2,
    }
    assert [fraction for fraction, _, _ in progress.told] == sorted(fraction for fraction, _, _ in progress.told)

    again = install("denoise_16_sidd")
    assert (again.result["installed"], again.result["already_installed"]) == ([], ["denoise_16_sidd"])


def test_one_that_cannot_be_had_does_not_keep_the_others_out(
    install: Install, weights: Path, settings: Settings
) -> None:
    with pytest.raises(HubError) as caught:
        install("denoise_b", "denoise_16_sidd")

    assert caught.value.code == "fetch_failed"
    assert "'denoise_b'" in caught.value.message
    assert "404" in caught.value.message
    assert caught.value.message.endswith("Installed are: denoise_16_sidd.")
    assert (settings.data_dir / "weights" / "denoise_16_sidd.safetensors").is_file()


def test_all_that_went_wrong_is_told(install: Install, official: Path) -> None:
    with pytest.raises(HubError) as caught:
        install("denoise_b", "deblur_b")

    assert "'denoise_b'" in caught.value.message
    assert "'deblur_b'" in caught.value.message
    with pytest.raises(Conflict, match=r"'deblur_b' could not be downloaded: .*404"):
        install("deblur_b")


def test_a_cancelled_installation_stops(install: Install, weights: Path, settings: Settings) -> None:
    with pytest.raises(Cancelled):
        install("denoise_16_sidd", cancelled=lambda: True)

    assert not (settings.data_dir / "weights" / "denoise_16_sidd.safetensors").exists()
