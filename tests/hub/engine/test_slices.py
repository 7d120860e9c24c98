"""Batches keep to the same graphs for a slice of time; the rest of the queue's policy is tested with the queue."""

from __future__ import annotations

from itertools import groupby, pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hub.engine.queue import Lane, Tile, TileKind, TileQueue
from hub.engine.shares import Priority

SMALL, WIDE, LARGE = (TileKind("m", height, width, "uint8") for height, width in ((256, 256), (256, 512), (512, 512)))
PIXELS = np.zeros((1, 1, 3), np.uint8)
TILE_MS = 10.0


def lane_with(queue: TileQueue, *kinds: TileKind, priority: Priority = Priority.IMAGE) -> Lane:
    lane = Lane(priority)
    queue.open_lane(lane)
    for kind in kinds:
        queue.add(Tile(lane, kind, PIXELS))
    return lane


def serve(queue: TileQueue, batches: int) -> list[Lane]:
    """Take batches of one tile, at TILE_MS each; returns whose tiles they were."""
    served = []
    for _ in range(batches):
        (tile,) = queue.next_batch(lambda _kind: 1, lambda _kind: TILE_MS)
        queue.charge([tile], TILE_MS)
        served.append(tile.lane)
    return served


def test_batches_keep_to_a_shape_for_a_slice():
    queue = TileQueue(slice_ms=50)
    a = lane_with(queue, *[SMALL] * 100)
    b = lane_with(queue, *[LARGE] * 100)
    assert serve(queue, 20) == [a] * 5 + [b] * 5 + [a] * 5 + [b] * 5


def test_a_model_of_its_own_is_another_kind():
    queue = TileQueue(slice_ms=20)
    a = lane_with(queue, *[SMALL] * 4)
    b = lane_with(queue, *[TileKind("other", 256, 256, "uint8")] * 4)
    assert serve(queue, 8) == [a, a, b, b, a, a, b, b]


def test_all_shapes_of_one_plan_belong_to_its_slice():
    queue = TileQueue(slice_ms=60)
    a = lane_with(queue, *[SMALL, SMALL, WIDE] * 10)
    b = lane_with(queue, *[LARGE] * 30)
    assert serve(queue, 18) == [a] * 6 + [b] * 6 + [a] * 6


def test_lanes_with_the_same_shapes_share_the_slice_but_bring_no_others_in():
    queue = TileQueue(slice_ms=60)
    leader = lane_with(queue, *[SMALL] * 10)
    other = lane_with(queue, *[LARGE] * 10)
    alike = lane_with(queue, TileKind("m", 256, 256, "uint16"), SMALL, WIDE)
    assert serve(queue, 7) == [leader, alike, leader, alike, leader, leader, other]


def test_a_slice_ends_when_its_tiles_do():
    queue = TileQueue(slice_ms=1000)
    a = lane_with(queue, SMALL, SMALL)
    b = lane_with(queue, LARGE, LARGE)
    assert serve(queue, 4) == [a, a, b, b]


def test_what_would_exceed_the_slice_begins_another():
    queue = TileQueue(slice_ms=19)
    a = lane_with(queue, *[SMALL] * 3)
    b = lane_with(queue, *[LARGE] * 3)
    assert serve(queue, 6) == [a, b, a, b, a, b]


def test_a_batch_counts_with_all_its_tiles():
    queue = TileQueue(slice_ms=60)
    lane_with(queue, *[SMALL] * 100)
    lane_with(queue, *[LARGE] * 100)
    shapes = []
    for _ in range(6):
        batch = queue.next_batch(lambda _kind: 3, lambda _kind: TILE_MS)
        queue.charge(batch, TILE_MS * len(batch))
        shapes.append(batch[0].kind)
    assert shapes == [SMALL, SMALL, LARGE, LARGE, SMALL, SMALL]


def test_a_batch_of_unknown_cost_takes_a_slice_for_itself():
    queue = TileQueue(slice_ms=1000)
    lane_with(queue, *[SMALL] * 3)
    lane_with(queue, *[LARGE] * 3)
    kinds = []
    for _ in range(4):
        batch = queue.next_batch(lambda _kind: 1, lambda _kind: None)
        queue.charge(batch, TILE_MS)
        kinds.append(batch[0].kind)
    assert kinds == [SMALL, LARGE, SMALL, LARGE]


def test_a_slice_never_holds_up_the_more_urgent():
    queue = TileQueue(slice_ms=50)
    a = lane_with(queue, *[SMALL] * 10)
    b = lane_with(queue, *[LARGE] * 10)
    assert serve(queue, 2) == [a, a]
    live = lane_with(queue, WIDE, WIDE, priority=Priority.LIVE)
    lane_with(queue, SMALL, priority=Priority.VIDEO)
    assert serve(queue, 6) == [live, live, a, a, a, b], "the slice goes on where it was interrupted"


def test_a_small_photo_waits_for_one_slice_however_many_large_ones_there_are():
    queue = TileQueue(slice_ms=50)
    for number in range(6):
        lane_with(queue, *[TileKind("m", 128 * number, 128, "uint8")] * 100)
    serve(queue, 72)
    photo = lane_with(queue, SMALL, SMALL)
    assert serve(queue, 7).count(photo) == 2


def test_a_newcomer_that_gets_a_slice_leads_it_before_others_of_its_shape():
    queue = TileQueue(slice_ms=10)
    lane_with(queue, *[SMALL] * 10)
    lane_with(queue, *[LARGE] * 10)
    serve(queue, 5)
    photo = lane_with(queue, SMALL)
    assert serve(queue, 1) == [photo]


def test_a_stream_of_newcomers_does_not_starve_a_long_job():
    queue = TileQueue(slice_ms=20)
    long_job = lane_with(queue, *[LARGE] * 100)
    served = []
    for _ in range(20):
        # As much new work as can be done at all.
        lane_with(queue, SMALL, SMALL)
        served += serve(queue, 2)
    assert served.count(long_job) >= 5


def test_closing_the_leader_leaves_the_slice_to_the_others():
    queue = TileQueue(slice_ms=40)
    leader = lane_with(queue, *[SMALL] * 10)
    other = lane_with(queue, *[LARGE] * 10)
    alike = lane_with(queue, *[SMALL] * 10)
    assert serve(queue, 2) == [leader, alike]
    queue.close_lane(leader)
    assert serve(queue, 3) == [alike, alike, other]


@given(plans=st.lists(st.sampled_from([SMALL, WIDE, LARGE]), min_size=2, max_size=5), slice_tiles=st.integers(1, 9))
def test_no_shape_keeps_the_others_waiting_beyond_its_slice(plans: list[TileKind], slice_tiles: int):
    queue = TileQueue(slice_ms=slice_tiles * TILE_MS)
    lanes = [lane_with(queue, *[kind] * 60) for kind in plans]
    kinds = dict(zip(lanes, plans, strict=True))
    served = serve(queue, 50)
    runs = [(kind, len(list(run))) for kind, run in groupby(kinds[lane] for lane in served)]
    if len(set(plans)) == 1:
        assert runs == [(plans[0], 50)]
        return
    # Lanes of one shape may follow each other, each with its own slice.
    assert all(length <= slice_tiles * plans.count(kind) for kind, length in runs)
    assert all(first[0] != second[0] for first, second in pairwise(runs))
    shares = [served.count(lane) for lane in lanes]
    assert max(shares) - min(shares) <= 2 * slice_tiles
