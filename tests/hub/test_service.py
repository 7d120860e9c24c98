from __future__ import annotations

import io
import threading
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from hub.engine import Priority
from hub.errors import Conflict, InvalidInput, NotFound, TooLarge, UnsupportedMedia
from hub.jobs.model import Kind, Status
from hub.service import VERSION, Hub, PhotoOptions
from hub.settings import CHECKOUT, Settings
from uformer.architecture import VARIANTS
from uformer.model import Uformer
from uformer.modelfile import save_model

SECONDS = 120


@contextmanager
def running(settings: Settings) -> Iterator[Hub]:
    hub = Hub(settings)
    hub.start()
    try:
        yield hub
    finally:
        hub.stop()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("service") / "data", auto_fetch=False)
    with running(settings) as hub:
        yield hub


def submit(hub: Hub, photo: Path, **options: Any) -> str:
    with photo.open("rb") as stream:
        return hub.submit_photo(stream, photo.name, PhotoOptions(**options)).id


def pixels(path: Path) -> NDArray[Any]:
    return np.asarray(Image.open(path).convert("RGB"))


def leftovers(hub: Hub) -> set[Path]:
    return {path for folder in ("uploads", "jobs") for path in (hub.settings.data_dir / folder).rglob("*")}


def test_version_is_the_projects() -> None:
    assert tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"] == VERSION


def test_display_pictures_are_the_photo_and_the_result(
    hub: Hub, noisy_png: Path, noisy_photo: NDArray[np.uint8]
) -> None:
    job_id = submit(hub, noisy_png, display=True)

    view = hub.manager.wait(job_id, SECONDS)

    assert view.job.status is Status.COMPLETED, view.job.error
    assert view.job.result_path is not None
    with hub.display.pictures(job_id) as (before, after):
        assert np.array_equal(pixels(before), noisy_photo)
        assert np.array_equal(pixels(after), pixels(hub.result_file(view.job.result_path)))


def test_a_change_of_strength_gives_what_a_run_with_it_gives(
    hub: Hub, noisy_png: Path, noisy_photo: NDArray[np.uint8]
) -> None:
    changed = submit(hub, noisy_png, display=True)
    direct = submit(hub, noisy_png, display=True, strength=0.4)
    for job_id in (changed, direct):
        assert hub.manager.wait(job_id, SECONDS).job.status is Status.COMPLETED
    tiles = hub.engine.status().tiles

    view = hub.display.reblend(changed, 0.4)

    assert hub.engine.status().tiles == tiles, "The network ran again."
    assert view.job.result is not None
    assert view.job.result["strength"] == 0.4
    first, second = (hub.view(job_id).job.result_path or "" for job_id in (changed, direct))
    assert np.abs(pixels(hub.result_file(first)).astype(int) - pixels(hub.result_file(second))).max() <= 1
    with hub.display.pictures(changed) as (_, after):
        assert np.array_equal(pixels(after), pixels(hub.result_file(first)))

    hub.display.reblend(changed, 0)
    assert np.array_equal(pixels(hub.result_file(hub.view(changed).job.result_path or "")), noisy_photo)


def test_what_the_output_format_costs_is_noted(hub: Hub, tmp_path: Path, noisy_photo: NDArray[np.uint8]) -> None:
    path = tmp_path / "see-through.png"
    Image.fromarray(noisy_photo).convert("RGBA").save(path)
    expected = ["JPEG has no transparency: the picture was put on white."]

    view = hub.manager.wait(submit(hub, path, output_format="jpeg", display=True), SECONDS)
    again = hub.display.reblend(view.job.id, 0.5)

    for job in (view.job, again.job):
        assert job.result is not None, job.error
        assert job.result["format"] == "jpeg"
        assert job.result["notes"] == expected


def test_an_impossible_output_format_fails_before_the_network_runs(hub: Hub, tmp_path: Path) -> None:
    path = tmp_path / "long.png"
    Image.new("RGB", (16_400, 8)).save(path)
    tiles = hub.engine.status().tiles

    view = hub.manager.wait(submit(hub, path, output_format="webp"), SECONDS)

    assert (view.job.status, view.job.error_code) == (Status.FAILED, "too_long_for_format")
    assert hub.engine.status().tiles == tiles


def test_a_change_of_strength_cut_short_by_a_crash_is_finished(
    settings: Settings, noisy_png: Path, noisy_photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(settings) as hub:
        job_id = submit(hub, noisy_png, display=True)
        hub.manager.wait(job_id, SECONDS)

        def die(*_: Any) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(hub.files, "put_staged", die)
        with pytest.raises(KeyboardInterrupt):
            hub.display.reblend(job_id, 0)

    with running(settings) as hub:
        job = hub.view(job_id).job
        assert job.result is not None
        assert job.result["strength"] == 0
        assert np.array_equal(pixels(hub.result_file(job.result_path or "")), noisy_photo)
        with hub.display.pictures(job_id) as (_, after):
            assert np.array_equal(pixels(after), noisy_photo)


def test_a_replaced_file_of_weights_is_used_from_the_next_job_on(settings: Settings, noisy_png: Path) -> None:
    weights_dir = settings.data_dir / "own"
    weights_dir.mkdir(parents=True)

    def put_weights(seed: int) -> None:
        torch.manual_seed(seed)
        save_model(Uformer(VARIANTS["uformer_16"]), weights_dir / "mine.safetensors")

    def restored(hub: Hub) -> NDArray[Any]:
        view = hub.manager.wait(submit(hub, noisy_png, model_name="mine"), SECONDS)
        assert view.job.status is Status.COMPLETED, view.job.error
        return pixels(hub.result_file(view.job.result_path or ""))

    settings = settings.model_copy(update={"weights_dir": weights_dir, "cpu_backend": "torch"})
    put_weights(1)
    with running(settings) as hub:
        first = restored(hub)
        assert np.array_equal(restored(hub), first)
        assert hub.engine.status().loads == 1

        with hub.engine.session("mine", Priority.IMAGE):
            put_weights(2)
            assert np.array_equal(restored(hub), first), "A job joined others that use the old weights."

        second = restored(hub)
        assert not np.array_equal(second, first)
        assert hub.engine.status().loads == 2
    with running(settings) as hub:
        assert np.array_equal(restored(hub), second)


def test_only_a_finished_display_job_can_be_blended_again(hub: Hub, noisy_png: Path) -> None:
    job_id = submit(hub, noisy_png)
    hub.manager.wait(job_id, SECONDS)

    with pytest.raises(Conflict) as raised:
        hub.display.reblend(job_id, 0.5)
    assert raised.value.code == "not_reblendable"
    with pytest.raises(NotFound), hub.display.pictures(job_id):
        pass
    with pytest.raises(InvalidInput):
        hub.display.reblend(job_id, 7)
    with pytest.raises(NotFound):
        hub.display.reblend("00000000-0000-4000-8000-000000000000", 0.5)


@pytest.mark.parametrize(
    ("content", "error"), [(b"", InvalidInput), (b"no photo at all", UnsupportedMedia), (b"\x89PNG\r\n\x1a\n", None)]
)
def test_a_refused_photo_leaves_nothing(hub: Hub, content: bytes, error: type[Exception] | None) -> None:
    before = leftovers(hub)

    with pytest.raises(error or (InvalidInput, UnsupportedMedia)):
        hub.submit_photo(io.BytesIO(content), "a.png", PhotoOptions())

    assert leftovers(hub) == before


def test_more_pixels_than_allowed(settings: Settings, noisy_png: Path) -> None:
    hub = Hub(settings.model_copy(update={"max_megapixels": 0.001}))
    hub.start()
    try:
        with pytest.raises(TooLarge, match="megapixels"):
            submit(hub, noisy_png)
    finally:
        hub.stop()


def test_a_model_without_weights(hub: Hub, noisy_png: Path) -> None:
    with pytest.raises(Conflict, match="python -m hub fetch denoise_b") as raised:
        submit(hub, noisy_png, model_name="denoise_b")

    assert raised.value.code == "weights_not_installed"


def test_another_kind_is_not_found(hub: Hub, noisy_png: Path) -> None:
    job_id = submit(hub, noisy_png)

    with pytest.raises(NotFound):
        hub.view(job_id, Kind.VIDEO)
    hub.manager.wait(job_id, SECONDS)


def test_a_stopped_hub_takes_its_jobs_up_again(settings: Settings, noisy_png: Path) -> None:
    with running(settings) as hub:
        accepted = [submit(hub, noisy_png) for _ in range(4)]

    with running(settings) as hub:
        for job_id in accepted:
            assert hub.manager.wait(job_id, SECONDS).job.status is Status.COMPLETED


def test_what_a_killed_process_left_in_the_temporary_folder_goes(settings: Settings) -> None:
    folder = settings.data_dir / "tmp" / "left"
    folder.mkdir(parents=True)
    (folder / "over").touch()

    with running(settings):
        assert not folder.exists()


@pytest.fixture
def official_address(tmp_path: Path) -> Iterator[str]:
    """A server that has `uformer16_denoising_sidd.pth`, with random weights."""
    folder = tmp_path / "official"
    folder.mkdir()
    torch.manual_seed(0)
    weights = {"state_dict": Uformer(VARIANTS["uformer_16"]).state_dict(), "optimizer": {"lr": 1.0}}
    torch.save(weights, folder / "uformer16_denoising_sidd.pth")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_weights_are_fetched_on_first_use(
    settings: Settings, official_address: str, noisy_png: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings.model_copy(update={"auto_fetch": True, "fetch_urls": [official_address]})
    messages: list[str] = []
    submitted = threading.Event()
    with running(settings) as hub:
        fetch = hub.fetcher.fetch

        def watched(name: str, *, progress: Callable[[int, int | None], None], **more: Any) -> Path:
            def told(received: int, total: int | None) -> None:
                progress(received, total)
                messages.append(hub.view(job_id).message)

            assert submitted.wait(10)
            return fetch(name, progress=told, **more)

        monkeypatch.setattr(hub.fetcher, "fetch", watched)
        job_id = submit(hub, noisy_png, model_name="denoise_16_sidd")
        submitted.set()
        view = hub.manager.wait(job_id, SECONDS)

        assert view.job.status is Status.COMPLETED, view.job.error
        assert view.job.result is not None
        assert view.job.result["model"] == "denoise_16_sidd"
        assert hub.catalog.get("denoise_16_sidd").installed
    assert any(message.startswith("Downloading") for message in messages)


def test_controls_name_every_model(hub: Hub) -> None:
    controls = hub.controls()

    offered = {model["value"] for task in controls["tasks"].values() for model in task["models"]}
    assert offered == {entry.name for entry in hub.catalog.models()}
    assert controls["tasks"]["denoise"]["default_model"] == "denoise_16"
