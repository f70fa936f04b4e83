"""Reading a plan: it counts if it is whole, fits the image and its table says so."""

import copy
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zarr

from fractal_tasks.errors import InvalidDataError, InvalidInputError, MissingStepError
from fractal_tasks.records.plans import (
    RegistrationPlan,
    check_placements,
    read_plan,
)
from fractal_tasks.storage.plate.roi_table_data import RECORD_KEY
from fractal_tasks.transforms import Translation
from fractal_tasks.transforms.boxes import PixelBox
from tests.records.plans import (
    FIRST,
    OF_FIRST,
    PLACEMENTS,
    SECOND,
    SETTINGS,
    cropped_rois,
    make_plan,
    make_stored,
    write_registered,
)
from tests.records.plates import (
    REGISTERED,
    TABLE,
    edit_rows,
    image_url,
    open_acquisition,
    read_rows,
    write_rows,
)
from tests.transforms.affine import turn_about

TURN = turn_about((0.0, 5.0, 5.0), degrees=1.0)


def read(plate: Path, reference_acquisition: int = 0) -> RegistrationPlan | None:
    return read_plan(open_acquisition(plate, 1), REGISTERED, reference_acquisition)


def test_plan_is_read_as_it_was_stored(plate: Path) -> None:
    write_registered(plate, make_stored(plate))
    plan = read(plate)
    assert plan is not None
    assert plan.placements == PLACEMENTS
    assert (plan.registered_roi_table, plan.reference_image) == (REGISTERED, "0")
    assert plan.reference_tables.keys() == {TABLE}
    reference = read_rows(open_acquisition(plate, 0))
    assert plan.reference_tables[TABLE].rois == reference.rois
    consensus = plan.consensus
    assert consensus is not None
    assert consensus.settings == SETTINGS.model_dump(mode="json")
    assert consensus.task == "find_registration_consensus"


@pytest.mark.parametrize(
    ("keep", "fill_value", "expected"),
    [("intersection", 7.0, 0.0), ("reference", 7.0, 7.0), ("reference", 7, 7.0)],
)
def test_fill_value_counts_only_where_the_whole_roi_is_kept(
    plate: Path, keep: str, fill_value: float, expected: float
) -> None:
    settings = SETTINGS.model_copy(update={"keep": keep, "fill_value": fill_value})
    write_registered(plate, make_stored(plate, settings))
    plan = read(plate)
    assert plan is not None
    assert plan.fill_value == expected


def test_fill_value_that_pixels_cannot_hold_is_refused(plate: Path) -> None:
    settings = SETTINGS.model_copy(update={"keep": "reference", "fill_value": 0.5})
    write_registered(plate, make_stored(plate, settings))
    with pytest.raises(InvalidInputError, match=r"fill_value=0\.5"):
        read(plate)


def test_table_that_is_not_there_is_a_missing_step(plate: Path) -> None:
    with pytest.raises(MissingStepError, match="'Find Registration Consensus' first"):
        read(plate)


@pytest.mark.parametrize("record", [None, {}, {"task": "another"}])
def test_table_without_a_plan_has_none(
    plate: Path, record: dict[str, Any] | None
) -> None:
    write_registered(plate, record)
    assert read(plate) is None


def test_table_that_was_changed_has_no_plan_any_more(
    plate: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_registered(plate, make_stored(plate), y_px=1.0)
    with caplog.at_level(logging.WARNING):
        assert read(plate) is None
    assert f"table {REGISTERED!r} was changed" in caplog.text


def test_table_with_a_roi_less_has_no_plan_any_more(plate: Path) -> None:
    first, _ = cropped_rois(plate, y_px=0, height_px=30)
    write_rows(image_url(plate, 1), [first], REGISTERED, make_stored(plate))
    assert read(plate) is None


def test_other_columns_and_less_than_half_a_pixel_do_not_count(plate: Path) -> None:
    write_registered(plate, make_stored(plate), y_px=0.4)
    edit_rows(image_url(plate, 1), {"translation_y": 99.0, "a": "b"}, REGISTERED)
    assert read(plate) is not None


def _without(name: str) -> Callable[[dict[str, Any]], object]:
    return lambda stored: stored.pop(name)


DAMAGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "another schema": lambda stored: stored.update(schema=99),
    "no schema number": lambda stored: stored.update(schema="one"),
    "no reference": _without("reference_image"),
    "no grid": _without("reference_grid"),
    "no shape": lambda stored: stored["reference_grid"].update(shape=None),
    "no tables": _without("reference_tables"),
    "no settings": _without("settings"),
    "no name": lambda stored: stored["settings"].pop("registered_roi_table"),
    "no keep": lambda stored: stored["settings"].pop("keep"),
    "fill value": lambda stored: stored["settings"].update(
        keep="reference", fill_value="white"
    ),
    "placements": lambda stored: stored.update(placements=7),
    "half a pixel": lambda stored: stored["placements"][0]["source"].update(
        start=[0, 0.5, 0]
    ),
    "transform": lambda stored: stored["placements"][0].update(transform={}),
    "table": lambda stored: stored["reference_tables"].update({TABLE: []}),
    "no ROI": lambda stored: stored["reference_tables"][TABLE].update(rois=[{}]),
    "name of a table": lambda stored: stored["reference_tables"].update(
        {"../x": stored["reference_tables"][TABLE]}
    ),
}


def test_damaged_plan_is_an_error_that_says_what_to_do(plate: Path) -> None:
    whole = make_stored(plate)
    write_registered(plate, whole)
    table = image_url(plate, 1).path / "tables" / REGISTERED
    for name, damage in DAMAGES.items():
        stored = copy.deepcopy(whole)
        damage(stored)
        zarr.open_group(table, mode="r+").attrs[RECORD_KEY] = stored
        with pytest.raises(InvalidDataError) as caught:
            read(plate)
        found = str(caught.value)
        assert f"/A/01/1: table '{REGISTERED}'" in found, name
        assert "damaged" in found, name
        assert "'Find Registration Consensus'" in found, name


def test_plan_that_lacks_a_row_of_the_table_is_damaged(plate: Path) -> None:
    stored = make_stored(plate)
    frozen = copy.deepcopy(stored["reference_tables"][TABLE])
    frozen["rois"][0]["name"] = "FOV_9"
    stored["reference_tables"][REGISTERED] = frozen
    write_registered(plate, stored)
    with pytest.raises(InvalidDataError, match=r"is damaged .*FOV_1"):
        read(plate)


def test_plan_for_another_reference_is_refused(plate: Path) -> None:
    write_registered(plate, make_stored(plate))
    with pytest.raises(InvalidDataError, match="reference_acquisition=1 is asked for"):
        read(plate, reference_acquisition=1)


@pytest.mark.parametrize(
    "change",
    [
        {"source": PixelBox((0, -1, 0), (1, 29, 32))},
        {"source": PixelBox((0, 3, 0), (1, 33, 32))},
        {"destination": PixelBox((0, 2, 40), (1, 32, 72))},
        {"source": PixelBox((0, 0, 0), (1, 29, 32))},
        {
            "source": PixelBox((0, 5, 0), (1, 5, 32)),
            "destination": PixelBox((0, 5, 0), (1, 5, 32)),
        },
        {"source": PixelBox((0, 0, 0), (2, 30, 32))},
    ],
    ids=["before", "behind", "destination", "sizes", "empty", "planes"],
)
def test_pixels_out_of_the_image_are_refused_with_the_name_of_the_roi(
    plate: Path, change: dict[str, Any]
) -> None:
    placements = {FIRST: OF_FIRST, SECOND: replace(OF_FIRST, **change)}
    plan = make_plan(plate, placements=placements)
    with pytest.raises(InvalidDataError, match=r"/A/01/1.*ROI 'FOV_2'.*\(z, y, x\)"):
        check_placements(plan, open_acquisition(plate, 1))


def test_fingerprint_of_a_plan_changes_with_each_part(plate: Path) -> None:
    plan = make_plan(plate)
    table = plan.reference_tables[TABLE]
    shorter = replace(table, rois={"FOV_1": table.rois["FOV_1"]})
    moved = replace(OF_FIRST, transform=Translation((0.0, 0.66, 0.0)))
    plans = [
        plan,
        replace(plan, placements={FIRST: OF_FIRST}),
        replace(plan, placements=PLACEMENTS | {FIRST: moved}),
        replace(plan, placements=PLACEMENTS | {FIRST: PLACEMENTS[SECOND]}),
        replace(plan, reference_tables={}),
        replace(plan, reference_tables={"another": table}),
        replace(plan, reference_tables={TABLE: shorter}),
        replace(plan, fill_value=1.0),
    ]
    assert len({one.fingerprint for one in plans}) == len(plans)
    assert make_plan(plate).fingerprint == plan.fingerprint
