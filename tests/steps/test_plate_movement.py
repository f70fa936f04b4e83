"""What the wells of a plate say about each other."""

import logging
from pathlib import Path

import pytest

from fractal_tasks.steps.plate_movement import (
    AcquisitionCentre,
    find_plate_evidence,
    read_centres,
)
from fractal_tasks.storage.plate.grouping import group_images
from fractal_tasks.storage.plate.groups import RegistrationGroup
from tests.conftest import MakePlate
from tests.records.plates import PIXEL_UM, TABLE, TINY, edit_rows, image_url
from tests.steps.wells import moved_by, store_estimates, well_urls

WELLS = ["A/01", "A/02", "B/01"]


@pytest.fixture
def wells(make_plate: MakePlate) -> Path:
    """Four wells, of which A/01, A/02 and B/01 were measured: 2 px, 2 px and 4 px."""
    plate = make_plate(**TINY, rows=2, columns=2, labels=False)
    for well, y_px in zip(WELLS, (2, 2, 4), strict=True):
        estimates = {"FOV_1": moved_by(y_px, 0), "FOV_2": moved_by(9, 9, 0.1)}
        store_estimates(image_url(plate, 1, well), estimates)
    return plate


def groups_of(plate: Path, wells: list[str]) -> list[RegistrationGroup]:
    urls = [url.zarr_url for well in wells for url in well_urls(plate, well)]
    return group_images(urls, 0).groups


def test_centre_of_a_well_is_that_of_its_confident_rois(wells: Path) -> None:
    centres = read_centres(groups_of(wells, [*WELLS, "B/02"]), TABLE)
    assert [centre.image.well_url for centre in centres] == [
        f"{wells}/{well}" for well in WELLS
    ]
    found = [centre.translation_um for centre in centres]
    expected = [(0.0, y_px * PIXEL_UM, 0.0) for y_px in (2, 2, 4)]
    assert found == [pytest.approx(one) for one in expected]
    assert [centre.acquisition for centre in centres] == [1, 1, 1]
    assert [centre.position for centre in centres] == [(0, 0), (0, 1), (1, 0)]


def test_single_well_says_nothing_about_others(wells: Path) -> None:
    assert read_centres(groups_of(wells, ["A/01"]), TABLE) == []


def test_damaged_well_is_named_and_the_others_go_on(
    wells: Path, caplog: pytest.LogCaptureFixture
) -> None:
    edit_rows(image_url(wells, 1, "A/02"), {"registration_confidence": 7.0})
    with caplog.at_level(logging.WARNING):
        centres = read_centres(groups_of(wells, WELLS), TABLE)
    assert len(centres) == 2
    assert "Nothing is learnt about the plate from: ROI 'FOV_1'" in caplog.text
    assert f"{wells}/A/02/1" in caplog.text


def test_table_that_is_not_there_says_nothing(wells: Path) -> None:
    assert read_centres(groups_of(wells, WELLS), "cells") == []


def centre(well: str, y_um: float, acquisition: int = 1) -> AcquisitionCentre:
    url = image_url(Path("/plate.zarr"), acquisition, well)
    return AcquisitionCentre(url, acquisition, (0.0, y_um, 0.0))


def test_wells_are_asked_about_the_others_and_not_about_themselves() -> None:
    others = [centre(f"A/0{number}", 5.0) for number in (2, 3, 4)]
    centres = [centre("A/01", 100.0), *others]
    well = image_url(Path("/plate.zarr"), 0, "A/01")
    evidence = find_plate_evidence(well, centres, TABLE)
    assert evidence is not None
    assert evidence.input_roi_table == TABLE
    assert evidence.movements.keys() == {1}
    assert evidence.movements[1].translation_um == pytest.approx((0.0, 5.0, 0.0))
    assert evidence.movements[1].wells == 3


def test_acquisitions_and_plates_are_kept_apart() -> None:
    wells = [f"A/0{number}" for number in (2, 3, 4)]
    centres = [
        centre(well, y_um, acquisition)
        for acquisition, y_um in ((2, 5.0), (1, 7.0))
        for well in wells
    ]
    well = image_url(Path("/plate.zarr"), 0, "A/01")
    evidence = find_plate_evidence(well, centres, TABLE)
    assert evidence is not None
    assert list(evidence.movements) == [1, 2]
    assert evidence.movements[2].translation_um == pytest.approx((0.0, 5.0, 0.0))
    elsewhere = image_url(Path("/another.zarr"), 0, "A/01")
    assert find_plate_evidence(elsewhere, centres, TABLE) is None


def test_two_other_wells_say_nothing() -> None:
    centres = [centre(f"A/0{number}", 5.0) for number in (2, 3)]
    well = image_url(Path("/plate.zarr"), 0, "A/01")
    assert find_plate_evidence(well, centres, TABLE) is None
