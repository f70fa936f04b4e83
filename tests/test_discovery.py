"""What a plate, a well or an image stands for."""

import json
from pathlib import Path

import pytest

from fractal_tasks.discovery import add_references, discover_images
from fractal_tasks.errors import InvalidInputError
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
    assert discover_images([str(plate)]) == [
        f"{plate}/A/{column}/{path}" for column in ("01", "02") for path in "012"
    ]


def test_wells_and_images_are_listed_once_in_the_given_order(plate: Path) -> None:
    urls = [f"{plate}/A/02/1/", f"{plate}/A/02", f"{plate}/A/01/2"]
    assert discover_images(urls) == [
        f"{plate}/A/02/1",
        f"{plate}/A/02/0",
        f"{plate}/A/02/2",
        f"{plate}/A/01/2",
    ]


def test_relative_path_becomes_absolute(
    plate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(plate / "A")
    assert discover_images(["./01/1"]) == [f"{plate}/A/01/1"]


def test_registered_image_is_left_out_unless_it_is_named(plate: Path) -> None:
    mark_registered(plate / "A/01/1")
    assert discover_images([f"{plate}/A/01"]) == [
        f"{plate}/A/01/0",
        f"{plate}/A/01/2",
    ]
    assert discover_images([f"{plate}/A/01/1"]) == [f"{plate}/A/01/1"]


def test_plate_that_is_registered_already_gives_no_images(plate: Path) -> None:
    for image in plate.glob("A/*/?"):
        mark_registered(image)
    assert discover_images([str(plate)]) == []


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


def test_reference_of_a_single_image_is_found_in_its_well(plate: Path) -> None:
    assert add_references([f"{plate}/A/02/2"], 1) == [
        f"{plate}/A/02/1",
        f"{plate}/A/02/2",
    ]


def test_nothing_is_added_to_a_well_that_has_its_reference(plate: Path) -> None:
    urls = [f"{plate}/A/02/2", f"{plate}/A/02/0"]
    assert add_references(urls, 0) == urls


def test_reference_that_is_registered_already_is_not_used_by_itself(
    plate: Path,
) -> None:
    mark_registered(plate / "A/01/0")
    with pytest.raises(InvalidInputError, match="apply-registration-to-image"):
        add_references([f"{plate}/A/01/1"], 0)
