"""What a plate, a well or an image stands for."""

import json
import shutil
from pathlib import Path

import pytest

from fractal_tasks.discovery import Discovery, discover_images, find_work
from fractal_tasks.errors import InvalidDataError, InvalidInputError
from tests.conftest import MakePlate


@pytest.fixture
def plate(make_plate: MakePlate) -> Path:
    return make_plate(columns=2, fields_x=1, field_size_px=64, channels=1)


def mark_registered(image: Path) -> None:
    """Write the record that *Apply Registration to Image* leaves in an image."""
    attributes = image / ".zattrs"
    metadata = json.loads(attributes.read_text())
    metadata["registration"] = {"registered_roi_table": "t"}
    attributes.write_text(json.dumps(metadata))


def test_plate_stands_for_the_images_of_its_wells(plate: Path) -> None:
    assert discover_images([str(plate)]).images == [
        f"{plate}/A/{column}/{path}" for column in ("01", "02") for path in "012"
    ]


def test_wells_and_images_are_listed_once_in_the_given_order(plate: Path) -> None:
    urls = [f"{plate}/A/02/1/", f"{plate}/A/02", f"{plate}/A/01/2"]
    assert discover_images(urls).images == [
        f"{plate}/A/02/1",
        f"{plate}/A/02/0",
        f"{plate}/A/02/2",
        f"{plate}/A/01/2",
    ]


def test_relative_path_becomes_absolute(
    plate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(plate / "A")
    assert discover_images(["./01/1"]).images == [f"{plate}/A/01/1"]


def test_registered_image_is_left_out_unless_it_is_named(plate: Path) -> None:
    mark_registered(plate / "A/01/1")
    assert discover_images([f"{plate}/A/01"]).images == [
        f"{plate}/A/01/0",
        f"{plate}/A/01/2",
    ]
    assert discover_images([f"{plate}/A/01/1"]).images == [f"{plate}/A/01/1"]


def test_plate_that_is_registered_already_gives_no_images(plate: Path) -> None:
    for image in plate.glob("A/*/?"):
        mark_registered(image)
    assert not discover_images([str(plate)]).images


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nowhere.zarr", "found no Zarr group"),
        ("plate.zarr/A/01/0/tables", "no plate, well or image"),
        ("file:///plate.zarr", "give its path"),
    ],
)
def test_other_places_are_refused(
    plate: Path, url: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(plate.parent)
    with pytest.raises(InvalidInputError, match=message):
        discover_images([url])


def work_of(*urls: str, acquisition: int = 0, plate: str | None = None) -> Discovery:
    return find_work(discover_images(urls), acquisition, plate)


def test_reference_of_a_single_image_is_found_in_its_well(plate: Path) -> None:
    assert work_of(f"{plate}/A/02/2", acquisition=1).images == [
        f"{plate}/A/02/1",
        f"{plate}/A/02/2",
    ]


def test_nothing_is_added_to_a_well_that_has_its_reference(plate: Path) -> None:
    urls = [f"{plate}/A/02/2", f"{plate}/A/02/0"]
    assert work_of(*urls).images == urls


def test_reference_that_is_registered_already_is_not_used_by_itself(
    plate: Path,
) -> None:
    mark_registered(plate / "A/01/0")
    found = work_of(f"{plate}/A/01/1", f"{plate}/A/02")
    assert found.images == [f"{plate}/A/02/{path}" for path in "012"]
    (error,) = found.failures.values()
    assert "the same 'register' command finishes it" in str(error)


@pytest.mark.parametrize("damage", ["gone", "no metadata", "no images"])
def test_bad_well_is_named_and_the_others_go_on(plate: Path, damage: str) -> None:
    well = plate / "A/01"
    if damage == "gone":
        shutil.rmtree(well)
    else:
        listed = {"well": {"images": []}} if damage == "no images" else {}
        (well / ".zattrs").write_text(json.dumps(listed))
    found = work_of(str(plate))
    assert found.images == [f"{plate}/A/02/{path}" for path in "012"]
    assert list(found.failures) == [str(well)]


def test_plate_of_bad_wells_is_an_error(plate: Path) -> None:
    shutil.rmtree(plate / "A")
    with pytest.raises(InvalidDataError, match=r"A/01: found no well"):
        work_of(str(plate))


def test_image_that_is_gone_is_left_to_the_task_that_names_it(plate: Path) -> None:
    shutil.rmtree(plate / "A/01/1")
    found = work_of(str(plate))
    assert f"{plate}/A/01/1" in found.images
    assert not found.failures


def test_well_without_the_reference_is_named(plate: Path) -> None:
    set_well(plate / "A/01", {"1": 1, "2": 2})
    found = work_of(str(plate))
    assert found.images == [f"{plate}/A/02/{path}" for path in "012"]
    assert list(found.failures) == [f"{plate}/A/01/{path}" for path in "12"]


def test_plate_with_nothing_to_register_is_an_error(plate: Path) -> None:
    for column in ("01", "02"):
        set_well(plate / "A" / column, {"0": 0})
    with pytest.raises(InvalidDataError, match=r"none to register.*as reference"):
        work_of(str(plate))


def test_rest_of_a_registered_plate_with_nothing_to_register_is_no_error(
    plate: Path,
) -> None:
    set_well(plate / "A/01", {"0": 0})
    for image in plate.glob("A/02/?"):
        mark_registered(image)
    found = work_of(str(plate))
    assert not found.images
    assert not found.failures


def test_reference_may_be_another_plate(plate: Path, make_plate: MakePlate) -> None:
    other = make_plate("other.zarr", fields_x=1, field_size_px=64, channels=1)
    found = work_of(str(plate), plate=str(other))
    assert found.images == [f"{plate}/A/01/{path}" for path in "012"]
    assert list(found.failures) == [f"{plate}/A/02/{path}" for path in "012"]
    found = work_of(str(other), str(plate / "A/01"), plate=str(other))
    assert found.images == [f"{plate}/A/01/{path}" for path in "012"]


def set_well(well: Path, images: dict[str, int]) -> None:
    """Write which images a well has."""
    attributes = json.loads((well / ".zattrs").read_text())
    attributes["well"]["images"] = [
        {"path": path, "acquisition": number} for path, number in images.items()
    ]
    (well / ".zattrs").write_text(json.dumps(attributes))
