"""Placements and tables as JSON."""

import json
from pathlib import Path

import pytest
from ngio import Roi
from pydantic import ValidationError

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.model import RowKey
from fractal_tasks.records.stored_plan import (
    ConsensusRecord,
    StoredPlacement,
    StoredTable,
    snapshot_roi_tables,
)
from fractal_tasks.storage.plate.images import list_tables
from fractal_tasks.storage.plate.open_image import OpenImage
from tests.records.plans import OF_FIRST, make_stored
from tests.records.plates import PIXELS, TABLE, read_rows

STORED = {
    "roi": "FOV_1",
    "timepoint": 2,
    "channel": None,
    "source": {"start": [0, 0, 0], "stop": [1, 30, 32]},
    "destination": {"start": [0, 2, 0], "stop": [1, 32, 32]},
    "region": {"start": [0, 2, 0], "stop": [1, 32, 32]},
    "transform": {
        "type": "translation",
        "translation": [0.0, 0.65, 0.0],
        "input": {"name": "acquisition"},
        "output": {"name": "reference"},
    },
    "pixel_sizes": {"moving_um": [1.0, 0.325, 0.325], "fixed_um": [1.0, 0.325, 0.325]},
    "is_copied": True,
    "core": None,
}


def test_placement_is_stored_with_its_row_and_its_transform() -> None:
    stored = StoredPlacement.of(RowKey("FOV_1", timepoint=2), OF_FIRST, PIXELS)
    assert stored.model_dump(mode="json") == STORED


def test_placement_survives_json() -> None:
    read = StoredPlacement.model_validate(json.loads(json.dumps(STORED)))
    assert read.key == RowKey("FOV_1", timepoint=2)
    assert read.to_placement(None) == OF_FIRST


@pytest.mark.parametrize(
    "change",
    [
        {"roi": None},
        {"source": {"start": [0, 0.5, 0], "stop": [1, 30, 32]}},
        {"source": {"start": [0, 0], "stop": [30, 32]}},
        {"region": None},
        {"transform": None},
        {"pixel_sizes": None},
        {"colour": "red"},
    ],
    ids=str,
)
def test_damaged_placement_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        StoredPlacement.model_validate({**STORED, **change})


@pytest.mark.parametrize("kind", ["warp", "bijection"])
def test_placement_of_a_transform_that_cannot_be_read_is_refused(kind: str) -> None:
    stored = StoredPlacement.model_validate({**STORED, "transform": {"type": kind}})
    with pytest.raises(InvalidDataError, match=f"{kind}.*Calculate Registration"):
        stored.to_placement(None)


def test_table_survives_json_with_all_columns(image: OpenImage) -> None:
    table = read_rows(image)
    stored = json.loads(json.dumps(StoredTable.of(table).model_dump(mode="json")))
    read = StoredTable.model_validate(stored).to_table(TABLE)
    assert read.rois == table.rois
    assert read.meta.backend == table.meta.backend
    assert read.record is None


@pytest.mark.parametrize("name", ["../tables", "a//b", ""])
def test_table_with_a_name_that_leads_elsewhere_is_refused(
    image: OpenImage, name: str
) -> None:
    with pytest.raises(ValueError, match="no name of a table"):
        StoredTable.of(read_rows(image)).to_table(name)


@pytest.mark.parametrize(
    ("names", "message"),
    [(["A", "A"], "duplicates"), ([""], "without a name")],
)
def test_table_of_rois_that_are_none_is_refused(names: list[str], message: str) -> None:
    rois = [
        Roi.from_values(name=name, slices={"y": (0, 1), "x": (0, 1)}).model_dump(
            mode="json"
        )
        for name in names
    ]
    with pytest.raises(InvalidDataError, match=message):
        StoredTable(backend="json", rois=rois).to_table("cells")


def test_record_of_the_plan_survives_json(plate: Path) -> None:
    stored = make_stored(plate)
    read = ConsensusRecord.read(json.loads(json.dumps(stored)))
    assert read is not None
    assert read.to_json() == stored
    assert stored["schema"] == 1
    assert stored["placements"][0] == {**STORED, "timepoint": None}


def test_snapshot_has_the_roi_tables_and_no_others(image: OpenImage) -> None:
    """Masking ROI tables belong to a label, and tables of features to no place."""
    assert {"nuclei_ROI_table", "nuclei_features"} < set(list_tables(image))
    assert snapshot_roi_tables(image, skip="another").keys() >= {TABLE}
    snapshot = snapshot_roi_tables(image, skip=TABLE)
    assert not snapshot.keys() & {TABLE, "nuclei_ROI_table", "nuclei_features"}
