from __future__ import annotations

from pathlib import Path

import av
import pytest

from hub.cli.plan import CLIP_SUFFIXES, Item, make_plan
from hub.errors import InvalidInput
from hub.media.video.opening import _VIDEO_FORMATS as VIDEO_FORMATS


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of files that are photos by name, and some that are not."""
    folder = tmp_path / "photos"
    for name in ("b.jpg", "a.PNG", "notes.txt", ".hidden.png", "trip/c.nef", "trip/day 2/d.webp", ".cache/e.png"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


@pytest.mark.parametrize("output", ["out.png", "new/out.JPG", "out.tiff"])
def test_one_file_may_be_given_the_name_of_a_file(photos: Path, output: str) -> None:
    source = photos / "b.jpg"
    plan = make_plan([source], output)
    assert plan.items == (Item(source, Path(output), exact=True),)
    assert plan.problems == ()


@pytest.mark.parametrize("output", ["out", "out/", "out.png/", "v1.2/"])
def test_otherwise_the_output_is_a_folder_and_names_stay(photos: Path, output: str) -> None:
    source = photos / "b.jpg"
    assert make_plan([source], output).items == (Item(source, Path(output) / "b.jpg", exact=False),)


def test_an_existing_folder_is_a_folder_whatever_its_name(photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "odd.png"
    folder.mkdir()
    assert make_plan([photos / "b.jpg"], str(folder)).items[0].target == folder / "b.jpg"


def test_a_suffix_of_neither_photos_nor_clips_is_refused(photos: Path) -> None:
    with pytest.raises(InvalidInput, match=r"out\.txt does not end like a photo or a clip"):
        make_plan([photos / "b.jpg"], "out.txt")


def test_folders_are_searched_to_the_bottom_and_keep_their_layout(photos: Path) -> None:
    plan = make_plan([photos], "out")
    assert [(item.source.relative_to(photos), item.target) for item in plan.items] == [
        (Path("a.PNG"), Path("out/a.PNG")),
        (Path("b.jpg"), Path("out/b.jpg")),
        (Path("trip/c.nef"), Path("out/trip/c.nef")),
        (Path("trip/day 2/d.webp"), Path("out/trip/day 2/d.webp")),
    ]


def test_earlier_results_inside_the_folder_are_no_inputs(photos: Path) -> None:
    output = photos / "restored"
    output.mkdir()
    (output / "b.jpg").touch()
    sources = [item.source for item in make_plan([photos], str(output)).items]
    assert len(sources) == 4
    assert output / "b.jpg" not in sources


def test_a_photo_named_twice_is_restored_once(photos: Path) -> None:
    assert len(make_plan([photos, photos / "b.jpg", photos / "trip" / ".." / "b.jpg"], "out").items) == 4


def test_what_is_missing_is_told_and_the_rest_goes_on(photos: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    plan = make_plan([tmp_path / "gone.png", empty, photos / "b.jpg"], "out")
    assert [item.source.name for item in plan.items] == ["b.jpg"]
    assert plan.problems == (
        f"{tmp_path / 'gone.png'}: there is no such file or folder.",
        f"{empty}: there are no photos or clips in this folder.",
    )


def test_several_files_cannot_go_into_one(photos: Path) -> None:
    with pytest.raises(InvalidInput, match="is a file; several files need a folder"):
        make_plan([photos / "b.jpg", photos / "a.PNG"], str(photos / "notes.txt"))


@pytest.mark.parametrize(
    ("source", "target", "exact", "expected"),
    [
        ("a.mov", "out/a.mov", False, True),
        ("a.F4V", "out/a.F4V", False, True),
        ("a.dv", "out.png", True, True),
        ("a.gif", "out/a.gif", False, False),
        ("a.gif", "out.gif", True, False),
        ("a.gif", "out.mp4", True, True),
        ("a.jpg", "out.mp4", True, False),
        ("movie", "out.mp4", True, True),
        ("scan", "out.png", True, False),
    ],
)
def test_names_tell_clips_from_photos(source: str, target: str, exact: bool, expected: bool) -> None:
    assert Item(Path(source), Path(target), exact=exact).is_clip is expected


@pytest.mark.parametrize(
    ("name", "head", "expected"),
    [
        ("song.ogg", b"OggS\0\2", True),
        ("scan", b"\x89PNG\r\n\x1a\n", False),
        ("moving", b"GIF89a", False),
        ("movie", b"\0\0\0\x20ftypisom\0\0\2\0isomavc1", True),
        ("photo", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", False),
        ("notes.txt", b"plain words", True),
    ],
)
def test_content_tells_where_names_do_not(name: str, head: bytes, expected: bool, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(head)
    assert Item(tmp_path / name, Path("out") / name, exact=False).is_clip is expected


def test_what_cannot_be_looked_into_is_left_to_the_decoder_of_photos(tmp_path: Path) -> None:
    assert not Item(tmp_path / "gone", Path("out/gone"), exact=False).is_clip


def test_every_suffix_that_the_reader_of_clips_knows_is_a_clips() -> None:
    known = {
        f".{extension}"
        for name in VIDEO_FORMATS.split(",")
        for extension in av.format.ContainerFormat(name, "r").extensions
    }
    # Sound, subtitles, photos, scripts, and names that seldom mean a clip.
    others = {".avif", ".avs", ".gif", ".heic", ".heif", ".ism", ".isma", ".m4a", ".m4b", ".mka", ".mks", ".mpo"}
    others |= {".ogg", ".psp"}
    assert known - others <= CLIP_SUFFIXES
