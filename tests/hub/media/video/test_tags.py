from __future__ import annotations

from fractions import Fraction

from hub.media.video.tags import kept_chapters, kept_tags, needs_named_keys
from hub.media.video.timing import Window

MILLISECOND = Fraction(1, 1000)


def chapter(start: int, end: int) -> dict[str, object]:
    return {"id": 7, "start": start, "end": end, "time_base": MILLISECOND, "metadata": {"title": str(start)}}


def spans(chapters: list[dict[str, object]], window: Window, last: int = 60) -> list[tuple[object, object]]:
    kept = kept_chapters(chapters, window, Fraction(last))  # type: ignore[arg-type]
    return [(entry["start"], entry["end"]) for entry in kept]


def test_tags_of_storage_and_rotation_are_dropped() -> None:
    tags = {"TITLE": "a", "rotate": "90", "major_brand": "isom", "BPS": "7", "_STATISTICS_TAGS": "x", "location": "b"}
    assert kept_tags(tags) == {"title": "a", "location": "b"}


def test_rare_tags_need_named_keys() -> None:
    assert not needs_named_keys({"title": "a", "comment": "b"})
    assert needs_named_keys({"title": "a", "com.apple.quicktime.make": "b"})


def test_chapters_are_cut_and_moved() -> None:
    chapters = [chapter(0, 5000), chapter(5000, 9000), chapter(9000, 12000)]
    window = Window(Fraction(4), Fraction(8), Fraction(-4))
    assert spans(chapters, window) == [(0, 1000), (1000, 4000)]
    assert spans(chapters, Window(None, None, Fraction(0))) == [(0, 5000), (5000, 9000), (9000, 12000)]


def test_an_open_chapter_lasts_until_the_next() -> None:
    assert spans([chapter(0, 0), chapter(5000, 5000)], Window(None, None, Fraction(0))) == [(0, 5000), (5000, 60000)]
