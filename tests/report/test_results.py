"""Results as they are read from tables, and summaries of results made by hand."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fractal_tasks.model.candidate import EVIDENCE
from fractal_tasks.report.reading import HowToRead, read_results
from fractal_tasks.report.results import RoiResult, by_acquisition, by_well
from fractal_tasks.storage.urls import parse_image_url
from fractal_tasks.transforms import Affine
from tests.conftest import MakePlate
from tests.records.plates import (
    FIELD_UM,
    PIXEL_UM,
    PIXELS,
    REGISTERED,
    TABLE,
    TINY,
    edit_rows,
    image_url,
    open_acquisition,
    read_rows,
    write_rows,
)
from tests.tasks.plates import image_urls, run_consensus

VERDICT = {
    "translation_z": 0.0,
    "translation_y": 4 * PIXEL_UM,
    "translation_x": -2 * PIXEL_UM,
    "registration_status": "chosen",
    "registration_reason": "others agree",
    "registration_confidence": 0.95,
    "registration_error": PIXEL_UM / 2,
    "registration_kept": 0.9,
    "registration_ratio": 3.0,
}


LEFT = {"left_px": 1.5}


def result(**changes: Any) -> RoiResult:
    """Give a ROI that was measured well; `changes` replace its fields."""
    whole = RoiResult(
        plate_url="/data/p.zarr",
        well="A/01",
        acquisition=1,
        zarr_url="/data/p.zarr/A/01/1",
        roi="FOV_1",
        status="measured",
        reason="as told",
        confidence=0.99,
        error_um=0.0325,
        error_px=0.1,
        error_z_um=None,
        shift_um=(0.0, 1.3, 0.65),
        shift_px=(0.0, 4.0, 2.0),
        kept=0.9,
        evidence={"ratio": 3.0},
    )
    return replace(whole, **changes)


def of_well(well: str, *statuses: str, **changes: Any) -> list[RoiResult]:
    url = f"/data/p.zarr/{well}/1"
    return [
        result(well=well, zarr_url=url, status=status, **changes) for status in statuses
    ]


def test_results_are_read_from_the_registered_tables(make_plate: MakePlate) -> None:
    plate = make_plate(**TINY)
    for acquisition in (0, 1):
        rois = list(
            read_rows(open_acquisition(plate, acquisition), TABLE).rois.values()
        )
        write_rows(image_url(plate, acquisition), rois, REGISTERED)
    edit_rows(image_url(plate, 1), VERDICT, REGISTERED)
    urls = [image_url(plate, 0), image_url(plate, 1)]
    reference, _, first, second = read_results(urls, REGISTERED)
    assert (reference.status, reference.shift_um, reference.kept) == (None, None, None)
    assert (first.roi, second.roi) == ("FOV_1", "FOV_2")
    assert (second.well, second.acquisition) == ("A/01", 1)
    assert (second.plate_url, second.zarr_url) == (str(plate), f"{plate}/A/01/1")
    assert (second.status, second.reason) == ("chosen", "others agree")
    assert (second.confidence, second.kept) == (0.95, 0.9)
    assert second.error_px == pytest.approx(0.5)
    assert second.shift_px == pytest.approx((0.0, 4.0, -2.0))
    assert second.shift_um == pytest.approx((0.0, 4 * PIXEL_UM, -2 * PIXEL_UM))
    assert second.evidence == {"ratio": 3.0}


def test_row_of_a_table_has_the_evidence_that_methods_give_known_or_not() -> None:
    cells = result(evidence={"own_measure": 2.0, "ratio": 3.0}).as_cells()
    assert cells.keys() > EVIDENCE.keys()
    assert (cells["ratio"], cells["left_px"], cells["own_measure"]) == (3.0, None, 2.0)


def test_image_that_was_not_judged_has_no_results(make_plate: MakePlate) -> None:
    plate = make_plate(**TINY)
    assert read_results([parse_image_url(f"{plate}/A/01/1")], REGISTERED) == []


def test_acquisition_is_summarised_over_all_wells_of_its_plate() -> None:
    results = [
        *of_well("A/01", "measured", "measured", shift_um=(0.0, 1.0, 5.0)),
        *of_well("A/02", "imputed", shift_um=(0.0, 3.0, 4.0), confidence=0.2),
        *of_well("A/02", "measured", shift_um=(0.0, 2.0, 5.0), evidence=LEFT),
        *of_well("A/02", "unresolved", shift_um=(0.0, 900.0, 900.0), error_px=15.0),
        *of_well("A/02", "chosen", kept=0.4, shift_um=(0.0, 3.0, 6.0)),
        result(acquisition=0, status="reference", zarr_url="/data/p.zarr/A/01/0"),
    ]
    reference, moved = by_acquisition(results)
    assert reference.is_reference
    assert (reference.acquisition, reference.rois) == (0, 1)
    assert not moved.is_reference
    assert (moved.acquisition, moved.well, moved.rois) == (1, None, 6)
    counts = (moved.measured, moved.chosen, moved.imputed, moved.unresolved)
    assert counts == (3, 1, 1, 1)
    # Medians of 1, 1, 3, 2, 3 and of 5, 5, 4, 5, 6: what is unresolved says nothing.
    assert moved.shift_um == (0.0, 2.0, 5.0)
    assert (moved.lowest_confidence, moved.largest_error_px) == (0.2, 15.0)
    assert moved.largest_left_px == 1.5
    assert moved.kept == pytest.approx((5 * 0.9 + 0.4) / 6)


def test_wells_are_sorted_by_what_is_guessed_then_by_what_is_unsure() -> None:
    good, unsure = of_well("A/01", "measured"), of_well("A/02", "measured")
    results = [
        *good,
        *[replace(one, confidence=0.91) for one in unsure],
        *[replace(one, error_px=0.9) for one in of_well("A/03", "measured")],
        *of_well("A/04", "imputed", "measured"),
        *of_well("A/05", "unresolved", "measured"),
        *of_well("A/06", "unresolved"),
        result(acquisition=0, status="reference", zarr_url="/data/p.zarr/A/01/0"),
    ]
    expected = ["A/06", "A/05", "A/04", "A/02", "A/03", "A/01"]
    assert [one.well for one in by_well(results)] == expected
    assert [one.well for one in by_well(results[::-1])] == expected
    assert [one.is_lost for one in by_well(results)] == [True, *[False] * 5]


def test_well_of_which_nothing_is_known_has_no_numbers() -> None:
    unknown = {"confidence": None, "error_px": None, "kept": None}
    (well,) = by_well(of_well("A/01", "unresolved", **unknown))
    assert (well.shift_um, well.shift_px) == (None, None)
    assert (well.lowest_confidence, well.largest_error_px, well.kept) == (None,) * 3


@pytest.mark.parametrize("is_kept", [True, False], ids=["kept", "lost"])
def test_what_was_measured_is_told_where_another_shift_is_used(
    make_plate: MakePlate, is_kept: bool
) -> None:
    """Once the image is replaced, the estimates are gone."""
    plate = make_plate(**TINY)
    url = image_url(plate, 1)
    unsure = {
        "translation_z": 0.0,
        "translation_y": 4 * PIXEL_UM,
        "translation_x": -2 * PIXEL_UM,
        "registration_confidence": 0.1,
        "registration_error": PIXEL_UM,
    }
    edit_rows(url, unsure)
    run_consensus(image_urls(plate, 2))
    if not is_kept:
        rois = list(read_rows(open_acquisition(plate, 0), TABLE).rois.values())
        write_rows(url, rois, TABLE)
    results = read_results([url], REGISTERED)
    assert {one.status for one in results} <= {"imputed", "unresolved"}
    for one in results:
        known = (0.0, 4 * PIXEL_UM, -2 * PIXEL_UM) if is_kept else None
        assert one.measured_um == (known and pytest.approx(known))


def test_bend_of_a_turn_is_told_at_the_corners(make_plate: MakePlate) -> None:
    plate = make_plate(**TINY)
    for acquisition in (0, 1):
        rois = read_rows(open_acquisition(plate, acquisition), TABLE).rois
        write_rows(image_url(plate, acquisition), list(rois.values()), REGISTERED)
    url = image_url(plate, 1)
    turn = Affine(((1, 0, 0), (0, 1, 0.001), (0, -0.001, 1)), (0.0, 3.0, 5.0))
    text = PIXELS.to_json(turn)
    cells = {"transform": text, "registration_status": "measured"}
    edit_rows(url, cells, REGISTERED)
    *_, moved = read_results([image_url(plate, 0), url], REGISTERED)
    assert moved.bend_um is not None
    ends = (-FIELD_UM / 2, FIELD_UM / 2)
    expected = [(0, 0.001 * x, -0.001 * y) for y in ends for x in ends]
    np.testing.assert_allclose(moved.bend_um, expected, atol=1e-9)


def test_images_are_read_at_once_in_their_order(make_plate: MakePlate) -> None:
    plate = make_plate(**TINY)
    for acquisition in (0, 1):
        rois = read_rows(open_acquisition(plate, acquisition), TABLE).rois
        write_rows(image_url(plate, acquisition), list(rois.values()), REGISTERED)
    edit_rows(image_url(plate, 1), VERDICT, REGISTERED)
    urls = [image_url(plate, number) for number in (1, 0)]
    told: list[tuple[int, int]] = []
    with ThreadPoolExecutor(2) as executor:
        how = HowToRead(executor, lambda *counts: told.append(counts))
        results = read_results(urls, REGISTERED, how=how)
    assert results == read_results(urls, REGISTERED)
    assert told == [(0, 2), (1, 2), (2, 2)]
