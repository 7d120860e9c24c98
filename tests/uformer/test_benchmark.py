from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from uformer import Uformer
from uformer.benchmark.__main__ import main
from uformer.benchmark.ceiling import Ceiling, measure_ceiling, operations
from uformer.benchmark.measurements import Plan, Row, measure
from uformer.benchmark.report import document, markdown
from uformer.benchmark.ways import PLAIN, Way, open_way, timed, ways_of
from uformer.benchmark.worker import Worker, WorkerFailed

CPU = Way("torch float32", "cpu")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ratios, and loosely: other tests run beside this one."""
    monkeypatch.setattr("uformer.benchmark.__main__.QUICK", Plan(tile=256, rounds=3, photo=(256, 256), frames=0))
    fastest = ways_of("cpu")[-1].name
    files = ["--markdown", f"{tmp_path}/a.md", "--json", f"{tmp_path}/a.json"]
    assert main(["--quick", "--device", "cpu", "--ways", PLAIN, fastest, *files]) == 0

    told = json.loads((tmp_path / "a.json").read_text("utf-8"))
    rows = {row["way"]: row for row in told["rows"]}
    assert set(rows) == {PLAIN, fastest}
    for row in rows.values():
        assert row["problem"] is None
        assert len(row["tile_seconds"]) == 3
        assert row["peak_bytes"] > 100e6
        assert 0 < row["share_of_ceiling"] < 1.5
    assert min(rows[fastest]["tile_seconds"]) < min(rows[PLAIN]["tile_seconds"])
    assert rows[fastest]["photo_seconds"] < rows[PLAIN]["photo_seconds"]
    written = (tmp_path / "a.md").read_text("utf-8")
    assert written == capsys.readouterr().out
    assert written.count("\n| ") == 1 + len(rows)
    assert "| uformer_16 | tile, ms |" in written


def test_the_ceiling_and_what_is_asked_of_it() -> None:
    ceiling = measure_ceiling("cpu")
    assert 1e9 < ceiling.float32 < 1e14
    assert 1e8 < ceiling.bandwidth < 1e13

    # 173 GFLOP is what the design says of Uformer-B.
    assert operations("uformer_b", 256) == pytest.approx(173e9, rel=0.1)
    assert operations("uformer_16", 256) < operations("uformer_s", 256) < operations("uformer_b", 256)
    assert operations("uformer_16", 256) == pytest.approx(4 * operations("uformer_16", 128), rel=0.01)


def test_the_plain_way_is_the_network_on_tiles_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    tiles: list[tuple[int, ...]] = []
    network = Uformer.forward

    def forward(self: Uformer, image: torch.Tensor) -> torch.Tensor:
        tiles.append(tuple(image.shape))
        assert image.dtype == torch.float32
        return network(self, image)

    opened = open_way(Way(PLAIN, "cpu"), "uformer_16")
    monkeypatch.setattr(Uformer, "forward", forward)

    assert opened.best_batch(256) == 1
    assert timed(lambda: opened.restore(np.zeros((300, 200, 3), np.uint8)), time.perf_counter) > 0
    assert tiles == [(1, 3, 256, 256)] * 2


def test_what_fails_is_told_and_stops_nobody_else() -> None:
    with Worker(CPU, "no_such_variant", None) as worker, pytest.raises(WorkerFailed):
        worker.tile(128)
    with Worker(CPU, "uformer_16", 1) as worker, pytest.raises(WorkerFailed, match="ValueError"):
        worker.image(0, 128)

    rows = measure(
        "uformer_16",
        [Way("nowhere", "cuda:99"), CPU],
        Plan(tile=128, rounds=1, photo=(128, 128), frames=0),
        1,
        lambda step: None,
    )
    assert rows[0].problem
    assert rows[1].problem is None
    ceiling = Ceiling(1e11, 2e11, 1e10)
    assert "| nowhere | could not be measured: " in markdown(rows, Plan(), ceiling, "here")
    assert document(rows, Plan(), ceiling, "here")["rows"][0]["problem"] == rows[0].problem


def test_medians_and_shares() -> None:
    row = Row("uformer_16", CPU, 256, [0.3, 0.1, 0.2], frame_seconds=[4.0, 2.0, 3.0], photo_seconds=6.0)
    row.photo_pixels = 12_000_000

    assert row.tile_ms == pytest.approx(200)
    assert row.frames_per_second == pytest.approx(1 / 3)
    assert row.megapixels_per_second == pytest.approx(2)
    assert row.share(Ceiling(operations("uformer_16", 256) * 10, 1, 1)) == pytest.approx(0.5)


def test_unknown_devices_and_ways_are_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--device", "cuda:99"]) == 1
    assert main(["--device", "cpu", "--ways", "fastest"]) == 1
    errors = capsys.readouterr().err
    assert "no device 'cuda:99'" in errors
    assert "'openvino bfloat16'" in errors
    assert [way.name for way in ways_of("cpu")][:3] == [PLAIN, "torch float32", "torch bfloat16"]
