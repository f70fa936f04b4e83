"""Where ROIs lie before and after, against the truth of synthetic plates."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.report.open_pair import open_pair
from fractal_tasks.report.pairs import Pair, Tables
from fractal_tasks.report.panels import Panel, Sizes, draw_panels
from fractal_tasks.storage.urls import parse_image_url
from tests.cli.helpers import CHANNEL
from tests.conftest import MakePlate
from tests.records.plates import image_url
from tests.report.stages import calculated, judged, kept, replaced, run

TINY = {
    "acquisitions": 2,
    "channels": 1,
    "plate_shift_um": 15.0,
    "lost_cells": 0,
    "debris_per_field": 0,
}
TABLES = Tables("FOV_ROI_table_registered", "FOV_ROI_table")
SIZES = Sizes(whole_px=128, crop_px=64)

Step = Callable[[Path], None]


def united(plate: Path) -> None:
    run("find-registration-consensus", plate, "--keep", "union")


def open_first(plate: Path) -> Pair:
    registered = {
        image_url(plate, number): beside
        for number in (0, 1)
        for beside in [parse_image_url(f"{plate}/A/01/{number}_registered")]
        if beside.path.exists()
    }
    pair = open_pair(image_url(plate, 1), registered, TABLES)
    assert pair is not None
    return pair


def draw(pair: Pair, roi: str | None = None) -> dict[str, Panel]:
    shown = pair.show(roi)
    return {panel.title: panel for panel in draw_panels(pair, shown, SIZES)}


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """How well pictures agree where both show something: 1 is the same."""
    is_known = (one > 0) & (other > 0)
    return float(np.corrcoef(one[is_known], other[is_known])[0, 1])


def agreement(panel: Panel) -> float:
    return likeness(panel.reference, panel.moving)


@pytest.mark.parametrize(
    ("steps", "titles"),
    [
        ((calculated,), ("before", "after: moved by the transform")),
        ((calculated, judged), ("before", "after: moved by the transform")),
        ((calculated, judged, kept), ("before", "after")),
        (
            (calculated, judged, replaced),
            ("before: moved back by the transform", "after"),
        ),
        ((calculated, united, kept), ("before", "after")),
        (
            (calculated, united, replaced),
            ("before: moved back by the transform", "after"),
        ),
    ],
    ids=["calculated", "judged", "kept", "replaced", "union", "union, replaced"],
)
@pytest.mark.parametrize("roi", [None, "FOV_2"], ids=["well", "ROI"])
@pytest.mark.sampled(3)
def test_after_agrees_and_before_does_not(
    make_plate: MakePlate,
    steps: tuple[Step, ...],
    titles: tuple[str, str],
    roi: str | None,
) -> None:
    before, after = titles
    panels = draw(open_first(make_plate(**TINY, then=steps)), roi)
    assert agreement(panels[after]) > 0.9
    assert agreement(panels[f"{after}, full resolution"]) > 0.9
    assert agreement(panels[before]) < 0.6
    assert panels["outlines of 'nuclei'"].reference.max() == 255


@pytest.mark.parametrize("judge", [judged, united])
def test_what_is_moved_back_is_what_was_there(
    make_plate: MakePlate, judge: Step
) -> None:
    """Also where the registered images begin before the reference did."""
    own, back = (
        draw(open_first(make_plate(name, **TINY, then=(calculated, judge, step))))
        for name, step in (("own.zarr", kept), ("back.zarr", replaced))
    )
    expected, found = own["before"], back["before: moved back by the transform"]
    assert found.width_um == pytest.approx(expected.width_um)
    assert likeness(found.moving, expected.moving) > 0.98
    assert likeness(found.reference, expected.reference) > 0.98


def test_image_that_nothing_was_measured_of_is_shown_as_it_is(
    make_plate: MakePlate,
) -> None:
    pair = open_first(make_plate(**TINY))
    titles = [state.title for state in pair.show().states]
    assert titles == ["as it is"]
    assert agreement(draw(pair)["as it is"]) < 0.6


def test_reference_has_no_overlay(make_plate: MakePlate) -> None:
    plate = make_plate(**TINY, then=[calculated])
    assert open_pair(image_url(plate, 0), {}, TABLES) is None


def test_roi_that_is_not_there_is_named_with_those_that_are(
    make_plate: MakePlate,
) -> None:
    pair = open_first(make_plate(**TINY, then=[calculated]))
    with pytest.raises(InvalidInputError, match=r"'FOV_9'; it has \['FOV_1', 'FOV_2'"):
        pair.show("FOV_9")


def test_stack_says_its_shift_in_z_and_shows_all_planes(make_plate: MakePlate) -> None:
    options = {"planes": 6, "z_shift_um": 2.0, "fields_x": 1, **TINY}
    pair = open_first(make_plate(**options, then=[calculated]))
    shown = pair.show()
    row = next(iter(pair.rows.values()))
    z_um = row.displacement_um[0]
    assert abs(z_um) > 0.5
    expected = f"brightest of all planes; shift in z {z_um:+.2f} µm"
    assert shown.note == expected
    after = draw(pair)["after: moved by the transform"]
    assert agreement(after) > 0.9


def test_image_in_no_plate_finds_its_reference(make_plate: MakePlate) -> None:
    plate = make_plate(**TINY)
    for day in (0, 1):
        shutil.copytree(plate / f"A/01/{day}", plate.parent / f"day{day}.zarr")
    moving = plate.parent / "day1.zarr"
    fixed = ("--reference", str(plate.parent / "day0.zarr"))
    run("register", moving, *fixed, *CHANNEL)
    pair = open_pair(parse_image_url(str(moving)), {}, TABLES)
    assert pair is not None
    assert pair.reference.url.image_path == "day0.zarr"
    assert agreement(draw(pair)["after"]) > 0.9
