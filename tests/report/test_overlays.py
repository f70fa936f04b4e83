"""Which ROIs a page shows, what it says of the others, and plates of other packages."""

import shlex
from pathlib import Path

import pytest

from fractal_tasks.qc.usability import judge_plate
from fractal_tasks.report.overlays import (
    Budget,
    Drawn,
    choose_rois,
    make_overlays,
    write_show_command,
)
from fractal_tasks.report.pairs import Tables
from fractal_tasks.report.reading import read_results
from tests.conftest import MakePlate
from tests.records.plates import (
    PIXEL_UM,
    REGISTERED,
    TABLE,
    edit_rows,
    image_url,
    open_acquisition,
    read_rows,
    write_rows,
)
from tests.report.stages import calculated, judged
from tests.report.test_results import of_well, result

TABLES = Tables(REGISTERED, TABLE)
SMALL = {"acquisitions": 2, "channels": 1}
NOT_JUDGED = {"status": None, "reason": None, "confidence": None}


def draw(plate: Path, budget: Budget) -> tuple[Drawn, dict[str, str]]:
    images = [image_url(plate, number) for number in (0, 1)]
    failures: dict[str, str] = {}
    rois = read_results(images, REGISTERED, input_roi_table=TABLE)
    by_url = {image.zarr_url: image for image in images}
    verdict = judge_plate(rois)
    return make_overlays(rois, verdict, {}, by_url, TABLES, budget, failures), failures


def test_flagged_come_first_then_largest_median_and_smallest_error() -> None:
    errors = (0.3, 0.1, 0.2, 0.5)
    rois = [result(status="reference", acquisition=0)]
    rois += [result(error_px=one) for one in errors]
    rois += of_well("A/02", "unresolved", error_px=9.0)
    chosen = choose_rois(rois, judge_plate(rois))
    assert [index for index, _ in chosen] == [5, 1, 2]
    assert chosen[1][1] == "median standard error of the plate, 0.30 px"


def test_where_no_errors_are_shifts_tell_what_is_worst() -> None:
    """Of estimates that another package stored."""
    shifts = ((0.0, 3.0, 4.0), (0.0, 0.0, 1.0), None, (0.0, 0.0, 2.0))
    rois = [result(shift_um=one, error_px=None, **NOT_JUDGED) for one in shifts]
    assert choose_rois(rois, judge_plate(rois)) == [
        (0, "largest shift of the plate, 5.00 µm"),
        (3, "median shift of the plate, 2.00 µm"),
        (1, "smallest shift of the plate, 1.00 µm"),
    ]


def test_command_of_a_roi_survives_a_shell() -> None:
    odd = result(zarr_url="/my data/it's.zarr/A/01/1", roi='a "b" $(c)')
    command = write_show_command(odd, Tables("verdicts", "my ROIs"))
    assert shlex.split(command) == [
        *("fractal-tasks", "show", odd.zarr_url, "--roi", odd.roi),
        *("--registered-roi-table", "verdicts", "--input-roi-table", "my ROIs"),
    ]
    assert "--input" not in write_show_command(odd, TABLES)


@pytest.mark.parametrize("by_size", [False, True], ids=["number", "size"])
def test_what_the_budget_leaves_out_is_listed(
    make_plate: MakePlate, by_size: bool
) -> None:
    plate = make_plate(**SMALL, then=[calculated, judged])
    whole, _ = draw(plate, Budget())
    assert (len(whole.overlays), whole.others) == (2, [])
    megabytes = 1.2 * max(one.size_bytes for one in whole.overlays) / 1e6
    budget = Budget(megabytes=megabytes) if by_size else Budget(rois=1)
    drawn, failures = draw(plate, budget)
    assert not failures
    assert len(drawn.overlays) == 1
    (other,) = drawn.others
    first, *_ = (one.name.rpartition(", ")[2] for one in drawn.overlays)
    left = ({"FOV_1", "FOV_2"} - {first}).pop()
    assert other == f"fractal-tasks show {plate}/A/01/1 --roi {left}"


def test_estimates_of_another_package_are_drawn(make_plate: MakePlate) -> None:
    """fractal-tasks-core writes shifts into the table of the ROIs, and no more."""
    plate = make_plate(**SMALL)
    shift = {"translation_z": 0.0, "translation_y": 4 * PIXEL_UM, "translation_x": 0.0}
    edit_rows(image_url(plate, 1), shift)
    drawn, failures = draw(plate, Budget())
    assert not failures
    assert not drawn.is_untold
    titles = {view.title for one in drawn.overlays for view in one.views}
    assert {"before", "after: moved by the transform"} < titles


def test_plate_of_which_nothing_tells_how_it_moved_has_none(
    make_plate: MakePlate,
) -> None:
    plate = make_plate(**SMALL)
    for number in (0, 1):
        rois = list(read_rows(open_acquisition(plate, number)).rois.values())
        write_rows(image_url(plate, number), rois, REGISTERED)
    drawn, failures = draw(plate, Budget())
    assert not failures
    assert (drawn.overlays, drawn.others, drawn.is_untold) == ([], [], True)
