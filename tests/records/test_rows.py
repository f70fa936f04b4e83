"""A row of a ROI table becomes a record and a record a row; the transform is its truth.

The two ROIs lie side by side in an image of 32 x 64 pixels of 0.325 um: the centre of
FOV_2 is at y = 16, x = 48 pixels.
"""

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ngio import Roi

from fractal_tasks.errors import InvalidDataError, MissingStepError
from fractal_tasks.model import Candidate, RowKey
from fractal_tasks.records.candidates import candidates_to_json
from fractal_tasks.records.rows import RoiRecord
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.transforms import Affine, Translation, Vector
from tests.records.plates import (
    FIELD_UM,
    PIXEL_UM,
    PIXELS,
    WHERE,
    read_rows,
    without_columns,
    write_rows,
)
from tests.transforms.affine import turn_about

MOVED: Vector = (0.0, 1.2345, -2.6)
BEST = Candidate(
    Translation(MOVED), 0.97, 0.04, {"peak_ratio": 5.5, "overlap": 0.9}, error_z_um=0.6
)
SECOND = Candidate(Translation((0.0, 9.1, 7.5)), 0.02, None, {"peak_ratio": 1.1})
LOST = Candidate(Translation((0.0, 1e10, 0.0)), None, None)
ENDS = '"input": {"name": "acquisition"}, "output": {"name": "reference"}'
CENTRE_UM = (0.5, FIELD_UM / 2, 1.5 * FIELD_UM)


@pytest.fixture
def roi(image: OpenImage) -> Roi:
    """FOV_2 as the converter wrote it, nothing measured yet."""
    return read_rows(image).rois["FOV_2"]


def columns_of(roi: Roi) -> dict[str, Any]:
    return dict(roi.model_extra or {})


def measured(roi: Roi, image: OpenImage, *candidates: Candidate) -> Roi:
    """Write a record into a row."""
    return RoiRecord.of(roi, image, candidates, PIXELS, status="measured").to_roi(roi)


def read(roi: Roi, image: OpenImage) -> RoiRecord:
    return RoiRecord.from_roi(roi, image, WHERE)


def through_table(roi: Roi, image: OpenImage) -> Roi:
    """Store a row in the table of the image, and read it again."""
    write_rows(image.url, [roi])
    return read_rows(image).rois[str(roi.name)]


def test_record_says_where_the_roi_lies(image: OpenImage, roi: Roi) -> None:
    record = read(roi, image)
    assert record.key == RowKey("FOV_2")
    assert record.centre_um == pytest.approx(CENTRE_UM)
    assert record.size_um == pytest.approx((1.0, FIELD_UM, FIELD_UM))
    assert record.pixel_um == pytest.approx(PIXEL_UM)
    assert record.candidates == ()
    assert (record.status, record.reason) == (None, None)


def test_row_has_a_column_for_each_thing_that_is_known(
    image: OpenImage, roi: Roi
) -> None:
    record = RoiRecord.of(
        roi,
        image,
        (BEST, SECOND),
        PIXELS,
        status="chosen",
        reason="others agree",
        kept=0.75,
    )
    expected = {
        "translation_z": 0.0,
        "translation_y": 1.2345,
        "translation_x": -2.6,
        "transform": (
            '{"type": "translation", "translation": [0.0, 1.2345, -2.6], ' + ENDS + "}"
        ),
        "registration_confidence": 0.97,
        "registration_error": 0.04,
        "registration_error_z": 0.6,
        "registration_peak_ratio": 5.5,
        "registration_overlap": 0.9,
        "registration_status": "chosen",
        "registration_reason": "others agree",
        "registration_kept": 0.75,
        "registration_alternatives": (
            '[{"transform": {"type": "translation", "translation": [0.0, 9.1, 7.5], '
            + ENDS
            + "}, "
            '"confidence": 0.02, "error_um": null, "evidence": {"peak_ratio": 1.1}, '
            '"error_z_um": null}]'
        ),
    }
    assert columns_of(record.to_roi(roi)) == columns_of(roi) | expected


def test_row_has_no_column_for_what_is_not_known(image: OpenImage, roi: Roi) -> None:
    alone = Candidate(Translation(MOVED), None, None)
    added = columns_of(RoiRecord.of(roi, image, (alone,), PIXELS).to_roi(roi)).keys()
    assert added - columns_of(roi).keys() == {
        "translation_z",
        "translation_y",
        "translation_x",
        "transform",
    }


def test_record_survives_the_table(image: OpenImage, roi: Roi) -> None:
    record = RoiRecord.of(
        roi, image, (BEST, SECOND), PIXELS, status="measured", reason="alone", kept=0.5
    )
    assert read(through_table(record.to_roi(roi), image), image) == record


def test_columns_of_others_survive_and_evidence_of_before_vanishes(
    image: OpenImage, roi: Roi
) -> None:
    foreign = {
        "plate_barcode": "X7",
        "registrations": 3.0,
        "x_micrometer_original": 5.0,
    }
    old = Candidate(Translation((0.0, 5.0, 5.0)), 0.1, 9.9, {"chi2": 17.0})
    before = measured(roi.model_copy(update=foreign), image, old, SECOND)
    assert columns_of(before)["registration_chi2"] == 17.0
    after = columns_of(measured(before, image, BEST))
    assert foreign.items() <= after.items()
    assert "registration_chi2" not in after
    assert "registration_alternatives" not in after
    assert after["registration_peak_ratio"] == 5.5


def test_row_of_another_package_has_a_translation_and_nothing_else(
    image: OpenImage, roi: Roi
) -> None:
    """fractal-tasks-core stores three columns."""
    columns = {"translation_z": 0.0, "translation_y": -1.3, "translation_x": 0.65}
    (candidate,) = read(roi.model_copy(update=columns), image).candidates
    assert candidate == Candidate(Translation((0.0, -1.3, 0.65)), None, None, {})


def test_row_with_a_transform_only_has_this_one(image: OpenImage, roi: Roi) -> None:
    columns = {"transform": PIXELS.to_json(BEST.transform)}
    record = read(roi.model_copy(update=columns), image)
    assert record.candidates[0].transform == BEST.transform


def test_missing_values_of_a_table_are_no_values(image: OpenImage, roi: Roi) -> None:
    missing = {
        "registration_confidence": float("nan"),
        "registration_error": None,
        "registration_error_z": None,
        "registration_reason": None,
        "registration_alternatives": float("nan"),
        "registration_peak_ratio": float("nan"),
    }
    record = read(measured(roi, image, BEST).model_copy(update=missing), image)
    (candidate,) = record.candidates
    expected = Candidate(BEST.transform, None, None, {"overlap": 0.9})
    assert (candidate, record.reason) == (expected, None)


@pytest.mark.parametrize("off_um", [1.1e-6, 0.1, -30.0])
def test_edited_columns_win_and_the_log_names_the_roi(
    image: OpenImage, roi: Roi, off_um: float, caplog: pytest.LogCaptureFixture
) -> None:
    edit = {"translation_y": MOVED[1] + off_um + (off_um > 0) * 2e-7}
    edited = measured(roi, image, BEST, SECOND).model_copy(update=edit)
    with caplog.at_level(logging.WARNING):
        (only,) = read(edited, image).candidates
    # Confidence, error, evidence and the others are those of what was measured.
    edited_to = Translation((0.0, edit["translation_y"], -2.6))
    assert only == Candidate(edited_to, None, None)
    (message,) = caplog.messages
    assert message.startswith(f"{WHERE}: the translation columns say")


def test_columns_that_differ_by_less_than_a_picometre_are_not_edited(
    image: OpenImage, roi: Roi, caplog: pytest.LogCaptureFixture
) -> None:
    edit = {"translation_y": MOVED[1] + 0.9e-6}
    edited = measured(roi, image, BEST).model_copy(update=edit)
    assert read(edited, image).candidates[0].transform == BEST.transform
    assert not caplog.messages


@pytest.mark.parametrize("value_um", [1.2345, 1234.56789, -98765.4321])
def test_table_rewritten_with_32_bits_is_not_edited(
    image: OpenImage, roi: Roi, value_um: float, caplog: pytest.LogCaptureFixture
) -> None:
    exact = Candidate(Translation((0.0, value_um, -2.6)), None, None)
    rounded = {
        "translation_z": 0.0,
        "translation_y": float(np.float32(value_um)),
        "translation_x": float(np.float32(-2.6)),
    }
    assert rounded["translation_y"] != value_um
    rewritten = measured(roi, image, exact).model_copy(update=rounded)
    assert read(rewritten, image).candidates[0].transform == exact.transform
    assert not caplog.messages


def test_columns_that_were_removed_leave_the_transform(
    image: OpenImage, roi: Roi
) -> None:
    columns = [f"translation_{axis}" for axis in "zyx"]
    left = without_columns(measured(roi, image, BEST), *columns)
    assert read(left, image).candidates[0].transform == BEST.transform


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("transform", "{", "cannot be read"),
        ("transform", '{"type": "warp"}', "known types"),
        ("transform", 7.0, "cannot be read"),
        ("registration_confidence", 1.5, r"found 1\.5 in 'registration_confidence'"),
        ("registration_confidence", -0.1, r"found -0\.1 in"),
        ("registration_confidence", "high", "found 'high' in"),
        ("registration_kept", 1.01, r"found 1\.01 in 'registration_kept'"),
        ("registration_error", -1.0, r"found -1\.0 in 'registration_error'"),
        ("registration_error", float("inf"), "found inf"),
        ("registration_error", "small", "found 'small'"),
        ("registration_error_z", -0.5, r"found -0\.5 in 'registration_error_z'"),
        ("registration_alternatives", "[", r"registration_alternatives='\['"),
        ("registration_alternatives", "[[0.0, 1.0]]", "needed is a JSON list"),
        ("registration_alternatives", 5.0, "needed is a JSON list"),
        (
            "registration_alternatives",
            candidates_to_json([LOST], PIXELS),
            "leads out of this world",
        ),
    ],
)
def test_damaged_column_names_the_roi_and_the_way_out(
    image: OpenImage, roi: Roi, column: str, value: object, message: str
) -> None:
    damaged = measured(roi, image, BEST, SECOND).model_copy(update={column: value})
    with pytest.raises(InvalidDataError, match=message) as caught:
        read(damaged, image)
    assert str(caught.value).startswith(WHERE)
    assert "'Calculate Registration (image-based)' again" in str(caught.value)


def test_damaged_transform_is_not_made_up_for_by_the_columns(
    image: OpenImage, roi: Roi
) -> None:
    """Whoever edits columns leaves JSON behind that can be read."""
    edited = measured(roi, image, BEST).model_copy(
        update={"transform": "[]", "translation_y": 3.0}
    )
    with pytest.raises(InvalidDataError, match="cannot be read"):
        read(edited, image)


def test_numbers_may_be_stored_as_text(image: OpenImage, roi: Roi) -> None:
    """A table of csv files has columns of text where one row has no number."""
    text = {
        "registration_confidence": "0.97",
        "registration_error": "0.04",
        "translation_y": "1.2345",
    }
    stored = measured(roi, image, BEST).model_copy(update=text)
    assert read(stored, image).candidates[0] == BEST


@pytest.mark.parametrize(
    "columns",
    [
        {"translation_y": None},
        {"translation_x": float("nan")},
        {"translation_y": "far"},
        {"translation_y": float("inf")},
        {"translation_y": 1e12},
    ],
    ids=["missing", "nan", "text", "infinite", "out of this world"],
)
def test_translation_that_is_not_whole_is_a_missing_step(
    image: OpenImage, roi: Roi, columns: dict[str, object]
) -> None:
    broken = measured(roi, image, BEST).model_copy(update=columns)
    with pytest.raises(MissingStepError, match="three numbers") as caught:
        read(broken, image)
    assert str(caught.value).startswith(WHERE)


def test_measurement_holds_the_candidates_and_where_the_roi_lies(
    image: OpenImage, roi: Roi
) -> None:
    row = measured(roi, image, BEST, SECOND)
    measurement = read(row, image).measurement
    assert measurement.candidates == (BEST, SECOND)
    assert measurement.centre_um == pytest.approx(CENTRE_UM)
    assert measurement.pixel_um == pytest.approx(PIXEL_UM)


def test_turn_is_stored_and_read(
    image: OpenImage, roi: Roi, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Half a turn about (y, x) = (6, 14) um brings a point p to 2 c - p.
    about_y, about_x = 6.0, 14.0
    turn = turn_about((0.0, about_y, about_x), degrees=180.0)
    candidates = (Candidate(turn, 0.9, 0.1), SECOND, Candidate(turn, 0.1, None))
    row = through_table(measured(roi, image, *candidates), image)
    columns = columns_of(row)
    assert columns["translation_y"] == pytest.approx(2 * (about_y - CENTRE_UM[1]))
    assert columns["translation_x"] == pytest.approx(2 * (about_x - CENTRE_UM[2]))
    record = read(row, image)
    assert record.candidates == candidates
    assert record.displacement_um == pytest.approx(
        tuple(columns[f"translation_{axis}"] for axis in "zyx")
    )


def test_turn_about_the_centre_of_a_roi_does_not_move_it(
    image: OpenImage, roi: Roi, monkeypatch: pytest.MonkeyPatch
) -> None:
    about_centre = turn_about(CENTRE_UM, degrees=5.0)
    turn = Candidate(about_centre, 0.9, 0.1)
    row = measured(roi, image, turn)
    columns = columns_of(row)
    translation_um = [columns[f"translation_{axis}"] for axis in "zyx"]
    assert translation_um == pytest.approx([0.0, 0.0, 0.0], abs=1e-9)
    (candidate,) = read(row, image).candidates
    assert isinstance(candidate.transform, Affine)
    assert candidate.transform.offset_um == pytest.approx(about_centre.offset_um)
    assert replace(candidate, transform=about_centre) == turn


def test_edited_columns_of_a_turn_win_as_a_translation(
    image: OpenImage, roi: Roi, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = Candidate(turn_about(CENTRE_UM, degrees=5.0), 0.9, 0.1)
    edit = {"translation_z": 0.0, "translation_y": 1.0, "translation_x": 2.0}
    edited = measured(roi, image, turn).model_copy(update=edit)
    assert read(edited, image).candidates[0].transform == Translation((0.0, 1.0, 2.0))
