"""Measuring the ROIs of an acquisition: what is stored, and when it is done again."""

import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.records.provenance import Record
from fractal_tasks.records.rows import RoiRecord
from fractal_tasks.registration.base import RegistrationMethod
from fractal_tasks.steps.measure_rois import measure_rois
from fractal_tasks.transforms import Translation
from tests.records.plates import (
    FIELD_UM,
    TABLE,
    edit_rows,
    image_url,
    open_acquisition,
    read_rows,
    without_columns,
    write_rows,
)
from tests.steps.methods import MOVED_UM, Leaves, Moves, Turns, settings_for
from tests.steps.wells import read_level, tree_of, versions_of


def measure(
    plate: Path,
    method: RegistrationMethod,
    *,
    rerun: bool = False,
    **changes: object,
) -> None:
    settings = settings_for(method, **changes)
    url, reference = image_url(plate, 1), image_url(plate, 0)
    measure_rois(url, reference, method, settings, rerun=rerun)


def table_folder(plate: Path, acquisition: int = 1) -> Path:
    return image_url(plate, acquisition).path / "tables" / TABLE


def read_record(plate: Path, name: str) -> RoiRecord:
    image = open_acquisition(plate, 1)
    return RoiRecord.from_roi(read_rows(image).rois[name], image, name)


def rewrite_pixels(plate: Path, acquisition: int) -> None:
    """Write other pixels under the same url, as a second conversion would."""
    path = image_url(plate, acquisition).path / "0"
    zarr.open_array(path, mode="r+")[...] = read_level(path.parent) + np.uint16(1)


def test_every_roi_gets_the_candidates_of_the_method(plate: Path) -> None:
    reference = tree_of(image_url(plate, 0).path)
    measure(plate, Moves())
    for name in ("FOV_1", "FOV_2"):
        record = read_record(plate, name)
        best, other = record.candidates
        assert best.transform == Translation(MOVED_UM)
        assert (best.confidence, best.error_um) == (0.75, 0.05)
        assert best.evidence["ratio"] == 3.0
        assert (other.transform, other.confidence) == (
            Translation((0.0, -13.0, 2.6)),
            0.25,
        )
        assert record.status == "measured"
    assert tree_of(image_url(plate, 0).path) == reference


def test_table_says_what_it_was_made_from(plate: Path) -> None:
    measure(plate, Moves())
    record = Record.read(read_rows(open_acquisition(plate, 1)).record)
    assert record is not None
    assert record.task == "calculate_registration"
    assert record.settings == settings_for(Moves()).model_dump(mode="json")
    assert record.inputs["reference_image"] == "0"


def test_second_run_does_nothing_and_says_so(
    plate: Path, caplog: pytest.LogCaptureFixture
) -> None:
    measure(plate, Moves())
    before = versions_of(image_url(plate, 1).path)
    method = Moves()
    with caplog.at_level(logging.INFO):
        measure(plate, method)
    assert method.calls == []
    assert versions_of(image_url(plate, 1).path) == before
    assert "its 2 ROIs were measured from the same images" in caplog.text


def test_rerun_measures_again_and_writes_the_same(plate: Path) -> None:
    measure(plate, Moves())
    content, versions = tree_of(table_folder(plate)), versions_of(table_folder(plate))
    method = Moves()
    measure(plate, method, rerun=True)
    assert len(method.calls) == 2
    assert tree_of(table_folder(plate)) == content
    assert versions_of(table_folder(plate)) != versions


@pytest.mark.parametrize("acquisition", [0, 1], ids=["reference", "acquisition"])
def test_other_pixels_under_the_same_url_are_measured(
    plate: Path, acquisition: int
) -> None:
    measure(plate, Moves())
    rewrite_pixels(plate, acquisition)
    method = Moves()
    measure(plate, method)
    assert len(method.calls) == 2


def test_other_settings_are_measured(plate: Path) -> None:
    measure(plate, Moves())
    method = Moves(vector_um=(0.0, 0.0, 1.3))
    measure(plate, method)
    measure(plate, method, level_path="0")
    assert len(method.calls) == 4
    assert read_record(plate, "FOV_2").displacement_um == (0.0, 0.0, 1.3)


@pytest.mark.parametrize("acquisition", [0, 1], ids=["reference", "acquisition"])
def test_rois_that_were_moved_are_measured(plate: Path, acquisition: int) -> None:
    measure(plate, Moves())
    image = open_acquisition(plate, acquisition)
    table = read_rows(image)
    rois = [
        roi.update_slice(name="y", new_slice=(0.325, 9.75))
        for roi in table.rois.values()
    ]
    write_rows(image.url, rois, record=table.record)
    method = Moves()
    measure(plate, method)
    assert len(method.calls) == 2


def test_edited_translation_is_kept_by_a_second_run(plate: Path) -> None:
    measure(plate, Moves())
    edit_rows(image_url(plate, 1), {"translation_y": 9.0})
    method = Moves()
    measure(plate, method)
    assert method.calls == []
    assert read_record(plate, "FOV_1").displacement_um == (0.0, 9.0, -2.6)
    measure(plate, method, rerun=True)
    assert read_record(plate, "FOV_1").displacement_um == MOVED_UM


def test_rows_that_lost_their_estimate_are_measured(plate: Path) -> None:
    measure(plate, Moves())
    table = read_rows(open_acquisition(plate, 1))
    lost = ["transform", *(f"translation_{axis}" for axis in "zyx")]
    rois = [without_columns(roi, *lost) for roi in table.rois.values()]
    write_rows(image_url(plate, 1), rois, record=table.record)
    method = Moves()
    measure(plate, method)
    assert len(method.calls) == 2


def test_columns_of_others_are_kept(plate: Path) -> None:
    edit_rows(image_url(plate, 1), {"colour": "red"})
    measure(plate, Moves())
    for roi in read_rows(open_acquisition(plate, 1)).rois.values():
        assert (roi.model_extra or {})["colour"] == "red"


def test_transform_is_between_images_whatever_the_corners_of_the_rois(
    plate: Path,
) -> None:
    """The ROI of the reference begins 3 px = 0.975 um further along y."""
    reference = open_acquisition(plate, 0)
    rois = [
        roi.update_slice(name="y", new_slice=(0.975, 9.425))
        for roi in read_rows(reference).rois.values()
    ]
    write_rows(reference.url, rois)
    measure(plate, Moves())
    displacement = read_record(plate, "FOV_2").displacement_um
    assert displacement == pytest.approx((0.0, 13.0 + 0.975, -2.6))


def test_turn_of_each_roi_is_stored_about_its_own_centre(
    plate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure(plate, Turns(degrees=90.0))
    for name, x_um in (("FOV_1", 0.0), ("FOV_2", FIELD_UM)):
        record = read_record(plate, name)
        assert record.displacement_um == pytest.approx((0.0, 0.0, 0.0), abs=1e-9)
        # A quarter turn brings the first corner of a field to the end of its row.
        moved = record.candidates[0].transform.map_points([[0.0, 0.0, x_um]])[0]
        assert moved == pytest.approx([0.0, 0.0, x_um + FIELD_UM], abs=1e-9)


@pytest.mark.parametrize(
    "damage",
    [
        {"registration_confidence": 7.0},
        {"transform": "[]"},
        {"translation_y": float("nan")},
    ],
    ids=lambda damage: next(iter(damage)),
)
@pytest.mark.sampled(2)
def test_damaged_rows_are_measured(plate: Path, damage: dict[str, object]) -> None:
    """Whoever reads them says: run *calculate* again. So that has to help."""
    measure(plate, Moves())
    edit_rows(image_url(plate, 1), damage)
    measure(plate, Moves())
    best = read_record(plate, "FOV_1").candidates[0]
    assert best.transform == Translation(MOVED_UM)
    assert best.confidence == 0.75


def test_log_has_a_line_for_each_roi_and_a_summary(
    plate: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        measure(plate, Moves())
    assert (
        "ROI 'FOV_2', acquisition 1: translation z=0.000, y=13.000, x=-2.600 um, "
        "confidence 0.75; ratio 3.00"
    ) in caplog.text
    assert "2 ROIs registered, 2 with a confidence below 0.9" in caplog.text
    assert f"maximum {np.hypot(13.0, 2.6):.2f} um" in caplog.text


def test_turn_that_is_left_is_said_once(
    plate: Path, caplog: pytest.LogCaptureFixture
) -> None:
    measure(plate, Leaves(left_px=(1.2, 3.5)))
    (warning,) = [one.getMessage() for one in caplog.records]
    assert image_url(plate, 1).zarr_url in warning
    assert "more than 1 px in 2 of 2 ROIs, most in ROI 'FOV_2': 3.5 px" in warning
    assert read_record(plate, "FOV_2").candidates[0].left_px == 3.5


@pytest.mark.parametrize(
    "method",
    [Leaves(left_px=(0.9, 0.1)), Leaves(left_px=(9.0, 9.0), confidence=0.3)],
    ids=["less than a pixel", "not believed"],
)
def test_turn_that_does_not_show_is_not_said(
    plate: Path, caplog: pytest.LogCaptureFixture, method: RegistrationMethod
) -> None:
    measure(plate, method)
    assert caplog.records == []


def test_copy_that_keeps_the_times_is_up_to_date(plate: Path) -> None:
    measure(plate, Moves())
    moved = plate.with_name("moved.zarr")
    os.rename(plate, moved)
    method = Moves()
    measure(moved, method)
    assert method.calls == []


def test_rois_without_a_partner_are_named_and_left_alone(
    plate: Path, caplog: pytest.LogCaptureFixture
) -> None:
    measure(plate, Moves())
    image = open_acquisition(plate, 1)
    first, second = read_rows(image).rois.values()
    elsewhere = {"name": "FOV_9", "x_micrometer_original": 100.0}
    between = second.update_slice(name="x", new_slice=(FIELD_UM / 2, FIELD_UM))
    write_rows(image.url, [first, between.model_copy(update=elsewhere)])
    with caplog.at_level(logging.WARNING):
        measure(plate, Moves())
    assert read_record(plate, "FOV_1").status == "measured"
    # What was measured for it under another name is gone.
    assert not read_record(plate, "FOV_9").candidates
    assert "A/01/1: the ROIs ['FOV_9'] have no partner" in caplog.text
    assert "A/01/0: the ROIs ['FOV_2'] have no partner" in caplog.text
    method = Moves()
    measure(plate, method)
    assert method.calls == []


def test_table_that_was_missing_is_there_when_its_rois_are_measured(
    plate: Path,
) -> None:
    shutil.rmtree(image_url(plate, 1).path / "tables")
    measure(plate, Moves())
    assert list(read_rows(open_acquisition(plate, 1)).rois) == ["FOV_1", "FOV_2"]
    assert read_record(plate, "FOV_2").status == "measured"
    method = Moves()
    measure(plate, method)
    assert method.calls == []


@pytest.mark.parametrize(
    ("channels", "message"),
    [({"one": "0"}, r"found the keys \['one'\]"), ({"1": "A07"}, "'A07' fits no")],
)
def test_channel_of_an_acquisition_has_to_be_there(
    plate: Path, channels: dict[str, str], message: str
) -> None:
    method = Moves()
    url, reference = image_url(plate, 1), image_url(plate, 0)
    with pytest.raises(InvalidInputError, match=message):
        measure_rois(url, reference, method, settings_for(method), channels=channels)
