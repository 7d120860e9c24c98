from __future__ import annotations

from pathlib import Path

import pytest

from hub.cli.plan import Item, make_plan
from hub.errors import InvalidInput


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


def test_a_suffix_that_is_no_photo_is_refused(photos: Path) -> None:
    with pytest.raises(InvalidInput, match=r"out\.mp4 does not end like a photo"):
        make_plan([photos / "b.jpg"], "out.mp4")


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
        f"{empty}: there are no photos in this folder.",
    )


def test_several_photos_cannot_go_into_one_file(photos: Path) -> None:
    with pytest.raises(InvalidInput, match="is a file; several photos need a folder"):
        make_plan([photos / "b.jpg", photos / "a.PNG"], str(photos / "notes.txt"))
