from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hub.catalog import Catalog, ModelEntry
from hub.errors import Busy, HubError, InvalidInput
from hub.readiness import Readiness, check_models, check_start
from hub.settings import CHECKOUT, Settings

BOUNDLESS_MB = 10**9
SHIPPED = CHECKOUT / "weights"


@pytest.fixture
def own_weights(settings: Settings, tmp_path: Path) -> Settings:
    """The shipped models, in a folder that a test may damage."""
    shutil.copytree(SHIPPED, tmp_path / "weights")
    return settings.model_copy(update={"weights_dir": tmp_path / "weights"})


def catalog_of(settings: Settings) -> Catalog:
    return Catalog(settings.weights_dir, settings.data_dir / "weights")


def weights_in(settings: Settings) -> list[Path]:
    return sorted(settings.weights_dir.glob("*.safetensors"))


def readiness(
    settings: Settings,
    queue: Callable[[], str | None] = lambda: None,
    database: Callable[[], object] = lambda: 0,
    engine: Callable[[], str | None] = lambda: None,
    can_fetch: Callable[[ModelEntry], bool] = lambda entry: False,
) -> Readiness:
    settings.data_dir.mkdir(exist_ok=True)
    settings.resolved_results_dir.mkdir(exist_ok=True)
    return Readiness(settings, catalog_of(settings), queue=queue, engine=engine, database=database, can_fetch=can_fetch)


def failed(report: dict[str, Any]) -> dict[str, str]:
    """What is wrong, by check; ready exactly if nothing is."""
    wrong = {name: check["detail"] for name, check in report["checks"].items() if not check["ok"]}
    assert report["ready"] == (not wrong)
    return wrong


def test_all_is_well(settings: Settings) -> None:
    check_start(settings)
    check_models(settings, catalog_of(settings))

    assert failed(readiness(settings).report()) == {}
    assert list(settings.data_dir.iterdir()) == [settings.resolved_results_dir]


def test_looking_loads_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from hub.catalog import Catalog; from hub.settings import Settings;"
        "from hub.readiness import *; s = Settings(device='cpu'); check_start(s);"
        "c = Catalog(s.weights_dir, s.data_dir / 'weights'); check_models(s, c);"
        "r = Readiness(s, c, queue=lambda: None, engine=lambda: None, database=lambda: 0, can_fetch=bool).report();"
        "sys.exit('torch' in sys.modules or not r['ready'])"
    )
    environment = {"HUB_DATA_DIR": str(tmp_path / "data"), "HUB_MIN_FREE_MB": "0", "PATH": ""}

    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, env=environment, timeout=60, check=False)

    assert done.returncode == 0


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"garbage"), Path.unlink])
def test_a_model_that_goes_while_the_hub_runs(own_weights: Settings, damage: Callable[[Path], object]) -> None:
    ready = readiness(own_weights)
    assert failed(ready.report()) == {}

    for path in weights_in(own_weights):
        damage(path)

    (problem,) = failed(ready.report()).items()
    assert problem[0] == "models"
    assert problem[1].startswith("No model can be used")


def test_a_hub_that_can_fetch_what_it_needs(own_weights: Settings) -> None:
    for path in weights_in(own_weights):
        path.unlink()

    assert failed(readiness(own_weights, can_fetch=lambda entry: entry.task == "deblur").report()) == {}
    assert [*failed(readiness(own_weights).report())] == ["models"]


def test_a_queue_that_takes_nothing(settings: Settings) -> None:
    assert failed(readiness(settings, queue=lambda: "200 tasks are waiting already.").report()) == {
        "queue": "200 tasks are waiting already."
    }


def test_a_database_that_is_away(settings: Settings) -> None:
    def refuse() -> None:
        raise Busy("database_unavailable", "The jobs database does not answer.")

    assert failed(readiness(settings, database=refuse).report()) == {"database": "The jobs database does not answer."}


def test_what_hangs_is_told_in_time(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.readiness.ANSWER_SECONDS", 0.5)
    leave = threading.Event()

    def hang() -> None:
        leave.wait(30)

    ready = readiness(settings, queue=hang, database=hang)
    try:
        began = time.monotonic()
        assert failed(ready.report()) == dict.fromkeys(("queue", "database"), "No answer within 0.5 seconds.")
        assert time.monotonic() - began < 5
    finally:
        leave.set()


def test_a_disk_that_is_nearly_full(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    full = settings.model_copy(update={"min_free_mb": BOUNDLESS_MB})

    assert failed(readiness(full).report())["disk"].endswith(f"are free for the uploads; {BOUNDLESS_MB} MB must be.")
    with caplog.at_level(logging.WARNING):
        check_start(full)  # Finished results can still be fetched, and the clean-up makes room.
    assert f"HUB_MIN_FREE_MB asks for {BOUNDLESS_MB}: until then uploads are refused." in caplog.text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"device": "cuda:99"}, r"HUB_DEVICE: There is no device 'cuda:99' here; there are cpu.*Set one of them, or"),
        ({"device": "tpu"}, r"HUB_DEVICE: There is no device 'tpu' here"),
        ({"results_dir": "."}, r"HUB_RESULTS_DIR must not be .*; take a folder such as .*static_results"),
        ({"results_dir": "tmp/x"}, r"HUB_RESULTS_DIR must not be "),
        ({"weights_dir": "uploads"}, r"HUB_WEIGHTS_DIR must not be "),
        ({"graphs_dir": "tmp"}, r"HUB_GRAPHS_DIR must not be .*; take a folder such as .*cache"),
    ],
    ids=str,
)
def test_settings_that_cannot_work(settings: Settings, changes: dict[str, str], words: str) -> None:
    asked = {name: settings.data_dir / value if name.endswith("_dir") else value for name, value in changes.items()}

    with pytest.raises(InvalidInput, match=words):
        check_start(settings.model_copy(update=asked))


def test_folders_that_cannot_be_written(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(NotADirectoryError):
        check_start(settings.model_copy(update={"data_dir": tmp_path / "file" / "data"}))
    with pytest.raises(OSError, match="/proc/hub"):
        check_start(settings.model_copy(update={"results_dir": Path("/proc/hub")}))


def test_where_no_graphs_can_be_kept_it_works_all_the_same(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()

    check_start(settings.model_copy(update={"graphs_dir": tmp_path / "file" / "graphs"}))

    assert "Compiled graphs cannot be kept" in caplog.text


def test_no_model_and_none_to_be_had(own_weights: Settings, caplog: pytest.LogCaptureFixture) -> None:
    for path in weights_in(own_weights):
        path.write_bytes(b"garbage")

    with pytest.raises(HubError, match=r"No model can be used: .* damaged, or not the file .* or set HUB_AUTO_FETCH=1"):
        check_models(own_weights, catalog_of(own_weights))

    fetching = own_weights.model_copy(update={"auto_fetch": True})
    with caplog.at_level(logging.WARNING):
        check_models(fetching, catalog_of(fetching))
    assert "cannot be used: " in caplog.text
    assert "the first job waits until its weights are downloaded" in caplog.text


def test_a_damaged_file_beside_a_good_one_is_told(own_weights: Settings, caplog: pytest.LogCaptureFixture) -> None:
    (own_weights.weights_dir / "mine.pth").write_bytes(b"garbage")

    with caplog.at_level(logging.WARNING):
        check_models(own_weights, catalog_of(own_weights))

    assert "The model mine cannot be used: " in caplog.text
