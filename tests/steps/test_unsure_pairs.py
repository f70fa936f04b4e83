"""What nothing but its order pairs counts only if its own estimate is believed."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from fractal_tasks.model import RowKey
from fractal_tasks.records.well_rows import WellRows
from fractal_tasks.steps.unsure_pairs import leave_out_unsure
from tests.records.plates import image_url
from tests.steps.wells import moved_by, read_well, store_estimates

FIRST, SECOND = RowKey("FOV_1"), RowKey("FOV_2")


def well_with(plate: Path, confidences: Mapping[str, float | None]) -> WellRows:
    estimates = {name: moved_by(1, 1, value) for name, value in confidences.items()}
    store_estimates(image_url(plate, 1), estimates)
    return read_well(plate)


def doubted(well: WellRows) -> WellRows:
    """Give a well of which the rows were paired by order."""
    (rows,) = well.others
    return WellRows(well.reference, (replace(rows, unsure=frozenset(rows.keys)),))


def test_sure_pairs_count_whatever_their_confidence(plate: Path) -> None:
    well = well_with(plate, {"FOV_1": 0.0, "FOV_2": 0.1})
    assert leave_out_unsure(well, (), 0.9) == well


@pytest.mark.parametrize("sure", [0.9, None], ids=["at the limit", "by hand"])
def test_row_paired_by_order_has_to_be_believed_itself(
    plate: Path, sure: float | None, caplog: pytest.LogCaptureFixture
) -> None:
    well = well_with(plate, {"FOV_1": 0.89, "FOV_2": sure})
    with caplog.at_level(logging.WARNING):
        left = leave_out_unsure(doubted(well), (), 0.9)
    assert left.others[0].keys == [SECOND]
    assert left.reference.keys == [FIRST, SECOND]
    assert "['FOV_1']" in caplog.text
    assert "0.89, below min_confidence=0.9" in caplog.text


def test_one_believed_row_vouches_for_its_image(plate: Path) -> None:
    well = well_with(plate, {"FOV_1": 0.2, "FOV_2": 0.95})
    left = leave_out_unsure(well, {image_url(plate, 1)}, 0.9)
    assert left.others[0].keys == [FIRST, SECOND]


def test_image_of_which_nothing_is_believed_is_left_out(plate: Path) -> None:
    well = well_with(plate, {"FOV_1": 0.2, "FOV_2": 0.3})
    assert leave_out_unsure(well, {image_url(plate, 1)}, 0.9).others == ()
    assert leave_out_unsure(doubted(well), (), 0.9).others == ()
