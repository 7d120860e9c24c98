from __future__ import annotations

import pytest

from hub.engine.queue import TileKind
from hub.engine.sizing import BATCHES_UNTIL_REGROWTH, BatchSizer

KIND = TileKind("m", 256, 256, "uint8")
OTHER = TileKind("m", 512, 512, "uint8")


@pytest.fixture
def sizer() -> BatchSizer:
    sizer = BatchSizer()
    sizer.admit(KIND, 16)
    sizer.admit(OTHER, 4)
    return sizer


def test_before_anything_is_measured_the_backend_decides(sizer: BatchSizer):
    assert sizer.capacity(KIND, 250) == 16
    assert sizer.capacity(OTHER, 250) == 4


def test_time_caps_the_batch(sizer: BatchSizer):
    sizer.ran(KIND, 2, 100)
    sizer.ran(KIND, 2, 100)
    assert sizer.capacity(KIND, 250) == 5
    assert sizer.capacity(KIND, 60) == 1
    assert sizer.capacity(OTHER, 250) == 4


def test_one_tile_is_always_allowed(sizer: BatchSizer):
    sizer.ran(KIND, 1, 9000)
    assert sizer.capacity(KIND, 250) == 1


def test_a_backend_that_says_nought_gets_one(sizer: BatchSizer):
    sizer.admit(KIND, 0)
    assert sizer.capacity(KIND, 250) == 1


def test_a_first_run_that_compiled_is_forgotten(sizer: BatchSizer):
    sizer.ran(KIND, 1, 8000)
    sizer.ran(KIND, 1, 10)
    assert sizer.capacity(KIND, 250) == 16


def test_compiling_another_batch_size_is_not_taken_for_its_speed(sizer: BatchSizer):
    sizer.ran(KIND, 1, 10)
    sizer.ran(KIND, 1, 10)
    sizer.ran(KIND, 16, 8000)
    assert sizer.capacity(KIND, 250) == 16


def test_the_cost_of_a_tile_is_known_once_one_was_run(sizer: BatchSizer):
    assert sizer.tile_ms(KIND) is None
    sizer.ran(KIND, 2, 100)
    assert sizer.tile_ms(KIND) == 50


def test_reloading_a_graph_now_and_then_hardly_moves_the_estimate(sizer: BatchSizer):
    for _ in range(10):
        for milliseconds in (2000, 100, 100, 100, 100):
            sizer.ran(KIND, 1, milliseconds)
    cost = sizer.tile_ms(KIND)
    assert cost is not None
    assert 99 < cost < 120


def test_the_estimate_follows_a_lasting_change(sizer: BatchSizer):
    for _ in range(3):
        sizer.ran(KIND, 1, 10)
    sizer.ran(KIND, 1, 100)
    assert sizer.capacity(KIND, 250) > 5
    for _ in range(20):
        sizer.ran(KIND, 1, 100)
    assert sizer.capacity(KIND, 250) == 2


def test_batches_that_are_cheaper_per_tile_grow(sizer: BatchSizer):
    for _ in range(30):
        size = sizer.capacity(KIND, 100)
        sizer.ran(KIND, size, 30 + size)
    assert sizer.capacity(KIND, 100) == 16


def test_running_out_of_memory_halves_the_cap_of_that_kind(sizer: BatchSizer):
    sizer.ran_out_of_memory(KIND, 16)
    assert sizer.capacity(KIND, 250) == 8
    sizer.ran_out_of_memory(KIND, 1)
    assert sizer.capacity(KIND, 250) == 1
    assert sizer.capacity(OTHER, 250) == 4


def test_the_cap_grows_back_slowly_once_full_batches_fit(sizer: BatchSizer):
    sizer.ran_out_of_memory(KIND, 16)
    for _ in range(BATCHES_UNTIL_REGROWTH):
        sizer.ran(KIND, 4, 1)
    assert sizer.capacity(KIND, 250) == 8
    for _ in range(BATCHES_UNTIL_REGROWTH):
        sizer.ran(KIND, 8, 1)
    assert sizer.capacity(KIND, 250) == 9


def test_a_first_batch_tells_provisionally(sizer: BatchSizer):
    sizer.ran(KIND, 1, 656)
    assert sizer.pixel_ms("m") is None
    assert sizer.pixel_ms("m", provisional=True) == pytest.approx(656 / 65536)
    sizer.ran(KIND, 1, 328)
    assert sizer.pixel_ms("m") == sizer.pixel_ms("m", provisional=True) == pytest.approx(328 / 65536)
