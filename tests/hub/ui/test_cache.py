from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from hub.ui.cache import LARGE_BYTES, PageCache


@pytest.fixture
def cache(tmp_path: Path) -> PageCache:
    return PageCache(tmp_path / "page", max_bytes=1000, max_age=3600)


def add(cache: PageCache, size: int, age: float) -> Path:
    path = cache.new_file("photo.bin")
    path.write_bytes(bytes(size))
    moment = time.time() - age
    for part in (path, path.parent):
        os.utime(part, (moment, moment))
    return path


def test_the_oldest_goes_when_it_gets_too_much(cache: PageCache) -> None:
    oldest, middle, newest = (add(cache, 400, age) for age in (300, 200, 100))

    assert cache.sweep() == 1
    assert [path.exists() for path in (oldest, middle, newest)] == [False, True, True]
    assert cache.sweep() == 0


def test_clips_make_no_room_by_deleting_pictures(tmp_path: Path) -> None:
    cache = PageCache(tmp_path / "page", max_bytes=1000, max_large_bytes=2 * LARGE_BYTES + 2, max_age=3600)
    picture = add(cache, 400, 500)
    clips = [add(cache, 1, age) for age in (400, 300, 200)]
    for clip, age in zip(clips, (400, 300, 200), strict=True):
        os.truncate(clip, LARGE_BYTES + 1)  # A hole: it takes no room on the disk.
        os.utime(clip, (time.time() - age,) * 2)

    assert cache.resolve(str(clips[0])) == clips[0], "Looked at, it is in use again."
    assert cache.sweep() == 1
    assert [path.exists() for path in (picture, *clips)] == [True, True, False, True]


def test_what_is_too_old_goes(cache: PageCache) -> None:
    old, new = add(cache, 1, 4000), add(cache, 1, 10)

    assert cache.sweep() == 1
    assert not old.parent.exists()
    assert new.exists()


def test_only_its_own_files_are_found(cache: PageCache, tmp_path: Path) -> None:
    inside = add(cache, 1, 0)
    outside = tmp_path / "hub.sqlite3"
    outside.touch()
    link = inside.with_name("link")
    link.symlink_to(outside)

    assert cache.resolve(str(inside)) == inside
    for name in (outside, link, inside.parent, f"{inside}/../../../hub.sqlite3", "", "\0", None, 7, {"path": "x"}):
        assert cache.resolve(str(name) if isinstance(name, Path) else name) is None
    inside.unlink()
    assert cache.resolve(str(inside)) is None


def test_a_copy_keeps_its_address_until_the_content_changes(cache: PageCache, tmp_path: Path) -> None:
    source = tmp_path / "after.png"
    source.write_bytes(b"one")
    first = cache.copy(source, "job")

    assert first.read_bytes() == b"one"
    assert cache.copy(source, "job") == first
    assert cache.copy(source, "another") != first
    source.write_bytes(b"two")
    os.utime(source, ns=(1, 1))
    second = cache.copy(source, "job")
    assert second != first
    assert (first.read_bytes(), second.read_bytes()) == (b"one", b"two")
    assert [path.name for path in second.parent.iterdir()] == ["after.png"]
