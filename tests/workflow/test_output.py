"""Counterparts of input in a folder: which they are, and what stands in their way."""

import json
import shutil
from pathlib import Path

import pytest

from fractal_tasks.errors import InvalidDataError, InvalidInputError
from fractal_tasks.workflow.output import make_counterparts, resume
from fractal_tasks.workflow.output_plan import find_new_inputs
from tests.cli.helpers import tree_hash
from tests.plain_plates import make_scene, see, write_image
from tests.tasks.foreign import write_plate
from tests.tasks.plates import REGISTERED

PIXELS = see(make_scene(1, 32))


def image_in(folder: Path, name: str = "image.zarr") -> str:
    return str(write_image(folder / name, PIXELS))


def test_plate_is_made_of_copies_and_links_whatever_of_it_is_named(
    tmp_path: Path,
) -> None:
    (url,) = write_plate(
        tmp_path / "in/plate.zarr",
        [{"pixels": PIXELS[None], "labels": {"nuclei": PIXELS}}],
    )
    image = Path(url)
    (image / "tables/rois").mkdir(parents=True)
    (image / "tables/rois/table.csv").write_text("ROI\n")
    (image.parent / ".fractal-tasks-0-interrupted").mkdir()
    before = tree_hash(tmp_path / "in")
    out = tmp_path / "out"
    names = [str(tmp_path / "in/plate.zarr"), str(image.parent), url]
    made = make_counterparts(names, str(out))
    assert made == [name.replace("/in/", "/out/") for name in names]
    there = Path(made[2])
    assert (there / "0").readlink() == image / "0"
    assert (there / "labels").readlink() == image / "labels"
    table = there / "tables/rois/table.csv"
    assert table.read_text() == "ROI\n"
    assert table.resolve().is_relative_to(out)
    assert not list(there.parent.glob(".fractal-tasks-*"))
    attributes = json.loads((out / "plate.zarr/.zattrs").read_text())
    assert attributes["fractal_tasks_source"] == str(tmp_path / "in/plate.zarr")
    assert tree_hash(tmp_path / "in") == before


def test_counterpart_that_is_there_is_kept(tmp_path: Path) -> None:
    url = image_in(tmp_path / "in")
    (made,) = make_counterparts([url], str(tmp_path / "out"))
    (Path(made) / "mine.txt").touch()
    assert make_counterparts([url], str(tmp_path / "out")) == [made]
    assert (Path(made) / "mine.txt").exists()


def test_parts_that_are_links_are_taken_as_what_they_lead_to(tmp_path: Path) -> None:
    real = Path(image_in(tmp_path / "in"))
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "other.zarr"
    link.symlink_to(real)
    made = make_counterparts([str(link), str(real)], str(tmp_path / "out"))
    assert [Path(url).name for url in made] == ["other.zarr", "image.zarr"]
    assert all((Path(url) / "0").readlink() == real / "0" for url in made)


def mark_registered(image: Path) -> None:
    """Leave what tells that an image was registered."""
    path = image / ".zattrs"
    attributes = json.loads(path.read_text()) | {"registration": {}}
    path.write_text(json.dumps(attributes))


@pytest.mark.parametrize(
    ("named", "done", "left"),
    [
        ("12", "12", ""),
        ("12", "1", "12"),
        ("2", "01", "012"),
        ("2", "2", ""),
        ("01", "", "01"),
    ],
)
def test_well_is_left_out_if_it_is_done_and_else_begun_anew(
    tmp_path: Path, named: str, done: str, left: str
) -> None:
    urls = write_plate(tmp_path / "in/plate.zarr", 3 * [{"pixels": PIXELS[None]}])
    made = make_counterparts(urls, str(tmp_path / "out"))
    for number in map(int, done):
        mark_registered(Path(made[number]))
    found = resume([made[int(number)] for number in named], REGISTERED)
    assert sorted(found.images) == [made[int(number)] for number in left]
    assert set(found.registered) == {made[int(n)] for n in named if n not in left}
    for number in map(int, left):
        text = (Path(made[number]) / ".zattrs").read_text()
        assert text == (Path(urls[number]) / ".zattrs").read_text()


def test_input_that_was_added_later_is_named(tmp_path: Path) -> None:
    images = 3 * [{"pixels": PIXELS[None]}]
    plate, out = tmp_path / "in/plate.zarr", tmp_path / "out"
    write_plate(plate, images[:2])
    (made,) = make_counterparts([str(plate)], str(out))
    assert find_new_inputs([str(plate)], [made]) == {}
    added = f"{plate}/A/01/2"
    write_plate(tmp_path / "later.zarr", images)
    shutil.copytree(tmp_path / "later.zarr", plate, dirs_exist_ok=True)
    found = find_new_inputs([str(plate)], [made])
    assert list(found) == [added]
    there = added.replace(str(plate), made)
    assert str(found[added]).startswith(f"{added}: found no {there} that ")
    with pytest.raises(InvalidDataError, match=f"found no {there}"):
        find_new_inputs([added], [added.replace("/in/", "/out/")])


def test_image_whose_input_is_registered_is_as_without_output(tmp_path: Path) -> None:
    urls = write_plate(tmp_path / "in/plate.zarr", 2 * [{"pixels": PIXELS[None]}])
    mark_registered(Path(urls[1]))
    plate = str(tmp_path / "in/plate.zarr")
    made = make_counterparts([plate, *urls], str(tmp_path / "out"))
    found = resume(made[:1], REGISTERED)
    assert (found.images, found.registered) == ([made[1]], [made[2]])
    assert resume([made[2]], REGISTERED).images == [made[2]]


def test_two_inputs_of_one_name_are_refused(tmp_path: Path) -> None:
    urls = [image_in(tmp_path / "monday"), image_in(tmp_path / "tuesday")]
    with pytest.raises(InvalidInputError, match=r"two inputs .*'image\.zarr'"):
        make_counterparts(urls, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("folder", [".", "in", "in/image.zarr", "in/image.zarr/out"])
def test_output_in_or_around_the_input_is_refused(tmp_path: Path, folder: str) -> None:
    url = image_in(tmp_path / "in")
    before = tree_hash(tmp_path)
    with pytest.raises(InvalidInputError, match="in it or around it"):
        make_counterparts([url], str(tmp_path / folder))
    assert tree_hash(tmp_path) == before


@pytest.mark.parametrize("other", ["made by hand", "of another input", "no zarr"])
def test_what_is_there_already_is_not_touched(tmp_path: Path, other: str) -> None:
    url, out = image_in(tmp_path / "in"), tmp_path / "out"
    if other == "of another input":
        make_counterparts([image_in(tmp_path / "older")], str(out))
    elif other == "made by hand":
        image_in(out)
    else:
        (out / "image.zarr").mkdir(parents=True)
    before = tree_hash(out)
    with pytest.raises(InvalidInputError, match="found what is there already"):
        make_counterparts([url], str(out))
    assert tree_hash(out) == before


def test_output_in_an_object_store_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"example\.org.*on this machine"):
        make_counterparts([image_in(tmp_path / "in")], "https://example.org/out")
