"""The parser of server-sent events."""

from __future__ import annotations

import pytest

from hub.client.events import Events

STREAM = (
    "\ufeffretry: 2000\n\n"
    ': still there\r\n\r\nevent: status\r\ndata: {"status":\r\ndata: "pending"}\r\nid: 7\r\n\r\n'
    'data:{"message": "größer"}\rid: 8\r\r'
    "data: no JSON\n\nid\ndata: 3\n\n"
    'data: {"status": "lost"}\n'
).encode()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_however_the_bytes_come(size: int) -> None:
    events = Events()
    found, ids = [], []
    for start in range(0, len(STREAM), size):
        for value in events.feed(STREAM[start : start + size]):
            found.append(value)
            ids.append(events.last_id)
    assert found == [{"status": "pending"}, {"message": "größer"}, 3]
    if size == 1:
        assert ids == ["7", "8", None]


def test_a_new_stream_forgets_an_unfinished_event() -> None:
    events = Events()
    assert events.feed(b"id: 4\ndata: {\n") == []
    events.restart()
    assert events.feed(b"data: 1\n\n") == [1]
    assert events.last_id == "4"
