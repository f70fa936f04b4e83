"""A plan made by hand: the acquisition of a tiny plate lies 2 px off along y.

Content at row 0 of the acquisition is at row 2 of the reference, so rows 0 to 30 of
each field go to rows 2 to 32.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from ngio import Roi

from fractal_tasks.model import ConsensusSettings, Placement, RowKey
from fractal_tasks.records.plans import RegistrationPlan
from fractal_tasks.records.provenance import Record
from fractal_tasks.records.stored_plan import (
    ConsensusRecord,
    StoredPlacement,
    StoredTable,
)
from fractal_tasks.transforms import Translation
from fractal_tasks.transforms.boxes import PixelBox
from tests.records.plates import (
    PIXEL_UM,
    PIXELS,
    REGISTERED,
    TABLE,
    image_url,
    open_acquisition,
    read_rows,
    write_rows,
)

FIRST, SECOND = RowKey("FOV_1"), RowKey("FOV_2")
SETTINGS = ConsensusSettings(
    input_roi_table=TABLE,
    registered_roi_table=REGISTERED,
    keep="intersection",
    output_grid="own",
    fill_value=0.0,
    subpixel=False,
    min_confidence=0.9,
    rejected="impute",
)
OF_FIRST = Placement(
    source=PixelBox((0, 0, 0), (1, 30, 32)),
    destination=PixelBox((0, 2, 0), (1, 32, 32)),
    region=PixelBox((0, 2, 0), (1, 32, 32)),
    transform=Translation((0.0, 2 * PIXEL_UM, 0.0)),
)
OF_SECOND = replace(
    OF_FIRST,
    source=PixelBox((0, 0, 32), (1, 30, 64)),
    destination=PixelBox((0, 2, 32), (1, 32, 64)),
    region=PixelBox((0, 2, 32), (1, 32, 64)),
)
PLACEMENTS = {FIRST: OF_FIRST, SECOND: OF_SECOND}


def make_plan(plate: Path, **changes: Any) -> RegistrationPlan:
    """Make the plan; `changes` replace its fields."""
    tables = {TABLE: read_rows(open_acquisition(plate, 0))}
    plan = RegistrationPlan(
        registered_roi_table=REGISTERED,
        reference_image="0",
        reference_grid=open_acquisition(plate, 0).grid,
        registered_grid=open_acquisition(plate, 1).grid,
        placements=PLACEMENTS,
        reference_tables=tables,
    )
    return replace(plan, **changes)


def make_stored(plate: Path, settings: ConsensusSettings = SETTINGS) -> dict[str, Any]:
    """Make what is stored of it."""
    plan = make_plan(plate)
    record = Record.of("find_registration_consensus", {"image 0": "1"}, settings)
    placements = [
        StoredPlacement.of(key, one, PIXELS) for key, one in PLACEMENTS.items()
    ]
    return ConsensusRecord(
        **dict(record),
        reference_image=plan.reference_image,
        reference_grid=plan.reference_grid,
        reference_um=plan.reference_grid.spacing_um,
        registered_grid=plan.registered_grid,
        placements=tuple(placements),
        reference_tables={
            name: StoredTable.of(table) for name, table in plan.reference_tables.items()
        },
    ).to_json()


def cropped_rois(plate: Path, *, y_px: float, height_px: float) -> list[Roi]:
    """Give the two fields with other rows of pixels."""
    rois = read_rows(open_acquisition(plate, 0)).rois.values()
    rows = (y_px * PIXEL_UM, height_px * PIXEL_UM)
    return [roi.update_slice(name="y", new_slice=rows) for roi in rois]


def write_registered(
    plate: Path, stored: dict[str, Any] | None, *, y_px: float = 0.0
) -> None:
    """Write the registered table of the acquisition, and what is stored beside it."""
    rois = cropped_rois(plate, y_px=y_px, height_px=30)
    write_rows(image_url(plate, 1), rois, REGISTERED, stored)
