from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.engine.queue import Lane, Tile, TileKind, TileQueue
from hub.engine.shares import Priority

SMALL = TileKind("m", 256, 256, "uint8")
LARGE = TileKind("m", 512, 512, "uint8")
WIDE = TileKind("m", 256, 512, "uint8")
TILE_MS = 10.0
PIXELS = np.zeros((1, 1, 3), np.uint8)


def tile_ms(_kind: TileKind) -> float:
    return TILE_MS


def lane_with(queue: TileQueue, count: int, priority: Priority = Priority.IMAGE, kind: TileKind = SMALL) -> Lane:
    lane = Lane(priority)
    queue.open_lane(lane)
    fill(queue, lane, count, kind)
    return lane


def fill(queue: TileQueue, lane: Lane, count: int, kind: TileKind = SMALL) -> list[Tile]:
    tiles = [Tile(lane, kind, PIXELS) for _ in range(count)]
    for tile in tiles:
        queue.add(tile)
    return tiles


def serve(queue: TileQueue, capacity: int = 1, cost: float = TILE_MS) -> list[Lane]:
    """Take the next batch at `cost` milliseconds a tile; returns whose tiles it held."""
    batch = queue.next_batch(lambda _kind: capacity, tile_ms)
    queue.charge(batch, cost * len(batch))
    return [tile.lane for tile in batch]


def test_nothing_waiting_gives_an_empty_batch():
    queue = TileQueue()
    lane_with(queue, 0)
    assert queue.next_batch(lambda _kind: 4, tile_ms) == []
    assert len(queue) == 0


def test_the_more_urgent_priority_goes_first():
    queue = TileQueue()
    video = lane_with(queue, 2, Priority.VIDEO)
    image = lane_with(queue, 2, Priority.IMAGE)
    live = lane_with(queue, 2, Priority.LIVE)
    assert [serve(queue)[0] for _ in range(6)] == [live, live, image, image, video, video]


def test_lanes_take_turns_however_deep_their_queues():
    queue = TileQueue()
    deep = lane_with(queue, 100)
    shallow = lane_with(queue, 3)
    assert [serve(queue)[0] for _ in range(7)] == [deep, shallow, deep, shallow, deep, shallow, deep]


def test_lanes_take_turns_even_when_batches_cost_nothing():
    queue = TileQueue()
    a, b, c = (lane_with(queue, 3) for _ in range(3))
    assert [serve(queue, cost=0)[0] for _ in range(6)] == [a, b, c, a, b, c]


def test_a_batch_is_dealt_out_among_the_lanes():
    queue = TileQueue()
    a = lane_with(queue, 100)
    b = lane_with(queue, 2)
    c = lane_with(queue, 100)
    assert serve(queue, capacity=8) == [a, b, c, a, b, c, a, c]


def test_lower_priorities_fill_what_their_betters_leave():
    queue = TileQueue()
    video = lane_with(queue, 5, Priority.VIDEO)
    live = lane_with(queue, 1, Priority.LIVE)
    image = lane_with(queue, 2, Priority.IMAGE)
    assert serve(queue, capacity=5) == [live, image, image, video, video]


def test_higher_priorities_do_not_ride_in_a_batch_of_another_kind():
    queue = TileQueue()
    live = lane_with(queue, 1, Priority.LIVE, LARGE)
    image = lane_with(queue, 1, Priority.IMAGE, SMALL)
    assert serve(queue, capacity=4) == [live]
    assert serve(queue, capacity=4) == [image]


def test_only_tiles_of_one_model_shape_and_type_share_a_batch():
    queue = TileQueue()
    first = lane_with(queue, 1)
    for kind in (LARGE, TileKind("other", 256, 256, "uint8"), TileKind("m", 256, 256, "float32")):
        lane_with(queue, 1, kind=kind)
    alike = lane_with(queue, 1)
    assert serve(queue, capacity=8) == [first, alike]


@pytest.mark.parametrize("slice_ms", [0.0, 200.0])
def test_lanes_share_time_and_not_tiles(slice_ms: float):
    queue = TileQueue(slice_ms)
    costs = {SMALL: 10.0, LARGE: 100.0}
    cheap = lane_with(queue, 1000, kind=SMALL)
    costly = lane_with(queue, 1000, kind=LARGE)
    served = Counter[Lane]()
    for _ in range(220):
        batch = queue.next_batch(lambda _kind: 1, costs.get)
        queue.charge(batch, costs[batch[0].kind])
        served[batch[0].lane] += 1
    assert served == {cheap: 200, costly: 20}


def test_a_newcomer_starts_level_with_the_others():
    queue = TileQueue()
    old = lane_with(queue, 100)
    for _ in range(50):
        serve(queue)
    new = lane_with(queue, 100)
    turns = [serve(queue)[0] for _ in range(10)]
    assert turns.count(new) in (5, 6)
    assert new in turns[:2]
    assert old in turns[:3]


def test_idleness_earns_no_credit():
    queue = TileQueue()
    busy = lane_with(queue, 100)
    idle = lane_with(queue, 1)
    for _ in range(40):
        serve(queue)
    fill(queue, idle, 20)
    assert [serve(queue)[0] for _ in range(10)].count(busy) >= 4


def test_the_oldest_tile_of_a_lane_decides_the_kind():
    queue = TileQueue()
    lane = lane_with(queue, 1, kind=LARGE)
    fill(queue, lane, 2, SMALL)
    fill(queue, lane, 1, LARGE)
    kinds = [[tile.kind for tile in queue.next_batch(lambda _kind: 4, tile_ms)] for _ in range(2)]
    assert kinds == [[LARGE, LARGE], [SMALL, SMALL]]


def test_capacity_is_asked_for_the_kind_of_the_batch():
    queue = TileQueue()
    lane_with(queue, 9, kind=LARGE)
    assert len(queue.next_batch(lambda kind: 2 if kind == LARGE else 8, tile_ms)) == 2


def test_tiles_put_back_go_first_and_in_their_order():
    queue = TileQueue()
    lane = lane_with(queue, 6)
    batch = queue.next_batch(lambda _kind: 4, tile_ms)
    queue.put_back(batch)
    assert queue.next_batch(lambda _kind: 4, tile_ms) == batch
    assert len(lane) == 2


def test_a_tile_marked_alone_shares_no_batch():
    queue = TileQueue()
    lane_with(queue, 4)
    batch = queue.next_batch(lambda _kind: 2, tile_ms)
    for tile in batch:
        tile.alone = True
    queue.put_back(batch)
    assert [queue.next_batch(lambda _kind: 4, tile_ms) for _ in range(2)] == [[batch[0]], [batch[1]]]
    assert len(queue.next_batch(lambda _kind: 4, tile_ms)) == 2


def test_dropping_takes_out_the_named_tiles_only():
    queue = TileQueue()
    lane = lane_with(queue, 0)
    tiles = fill(queue, lane, 3)
    assert lane.drop({tiles[1].future}) == [tiles[1]]
    assert queue.next_batch(lambda _kind: 4, tile_ms) == [tiles[0], tiles[2]]


def test_closing_a_lane_returns_its_tiles_and_leaves_the_others():
    queue = TileQueue()
    lane = lane_with(queue, 3)
    other = lane_with(queue, 1, Priority.VIDEO)
    assert len(queue.close_lane(lane)) == 3
    assert queue.close_lane(lane) == []
    assert not lane.open
    assert queue.lanes() == [other]
    assert queue.lanes(Priority.IMAGE) == []
    assert queue.waiting() == {Priority.LIVE: 0, Priority.IMAGE: 0, Priority.VIDEO: 1}


LANES = st.lists(
    st.tuples(st.sampled_from(Priority), st.lists(st.sampled_from([SMALL, LARGE]), max_size=12)), min_size=1, max_size=6
)


@given(lanes=LANES, capacity=st.integers(1, 7), slice_ms=st.sampled_from([0.0, 25.0, 1000.0]))
def test_every_tile_is_served_once_in_a_lawful_batch(
    lanes: list[tuple[Priority, list[TileKind]]], capacity: int, slice_ms: float
):
    queue = TileQueue(slice_ms)
    added: list[Tile] = []
    for priority, kinds in lanes:
        lane = lane_with(queue, 0, priority)
        for kind in kinds:
            added += fill(queue, lane, 1, kind)
    served: list[Tile] = []
    while queue:
        most_urgent = min(priority for priority, count in queue.waiting().items() if count)
        batch = queue.next_batch(lambda _kind: capacity, tile_ms)
        assert 1 <= len(batch) <= capacity
        assert batch[0].lane.priority == most_urgent
        assert len({tile.group for tile in batch}) == 1
        assert [tile.lane.priority for tile in batch] == sorted(tile.lane.priority for tile in batch)
        queue.charge(batch, 10.0)
        served += batch
    assert sorted(map(id, served)) == sorted(map(id, added))
