"""Tables in an object store are replaced as a whole, wherever that is interrupted."""

import itertools
import warnings
from pathlib import Path
from typing import Any

import pytest
import zarr

from fractal_tasks.storage.plate.images import list_tables
from fractal_tasks.storage.plate.open_image import open_image
from fractal_tasks.storage.plate.roi_table_data import RoiTableData
from fractal_tasks.storage.plate.roi_tables import (
    own_columns_known,
    plain_meta,
    read_roi_table,
    replace_roi_table,
    write_rois,
)
from fractal_tasks.storage.urls import parse_image_url
from tests.conftest import MakePlate
from tests.storage.remote import memory
from tests.storage.tiny import TABLE, read_table

TINY = {"field_size_px": 64, "acquisitions": 2, "levels": 3, "channels": 1}
NEW = "new_ROI_table"
NEW_RECORD = {"task": "the new run"}
OLD_RECORD = {"task": "the old run"}


def content_of(zarr_url: str, name: str) -> tuple[dict[str, Any], Any]:
    table = read_table(zarr_url, name)
    return {name: roi.model_dump() for name, roi in table.rois.items()}, table.record


def new_rois(table: RoiTableData) -> list[Any]:
    return [
        roi.model_copy(
            update={"translation_y": 2.5 + index, "transform": '{"a": "b, c"}'}
        )
        for index, roi in enumerate(table.rois.values())
    ]


def write_old_table(image: Path, backend: str) -> None:
    """Store the table as another program or an earlier run would have."""
    table = read_table(str(image))
    rois = [r.model_copy(update={"translation_y": 1.0}) for r in table.rois.values()]
    folder = image / "tables" / TABLE
    zarr_format = zarr.open_group(image, mode="r").metadata.zarr_format
    zarr.create_group(folder, zarr_format=zarr_format, overwrite=True)
    meta = plain_meta(backend).model_copy(update={"registration": OLD_RECORD})
    write_rois(folder, rois, meta)
    if zarr_format == 2:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            zarr.consolidate_metadata(str(folder), zarr_format=2)


@pytest.mark.parametrize("ngff_version", ["0.4", "0.5"])
@pytest.mark.parametrize("backend", ["anndata", "csv", "json", "parquet"])
@pytest.mark.sampled(3)
def test_interrupted_replacement_leaves_the_old_or_the_new_table(
    backend: str, ngff_version: str, make_plate: MakePlate
) -> None:
    plate = make_plate(**TINY, ngff_version=ngff_version)
    write_old_table(plate / "A/01/1", backend)
    zarr_url = f"{memory.put(plate)}/A/01/1"
    image = parse_image_url(zarr_url)
    original = memory.tree_of(zarr_url)
    old_content = content_of(zarr_url, TABLE)
    table = read_roi_table(open_image(image), TABLE)
    rois = new_rois(table)
    new_content = ({str(roi.name): roi.model_dump() for roi in rois}, NEW_RECORD)
    seen = set()
    # Each step at first; a table in anndata has dozens of objects to be deleted.
    for steps in itertools.chain(range(8), itertools.count(8, 12)):
        memory.restore(zarr_url, original)
        try:
            with memory.interrupt_after(steps):
                replace_roi_table(
                    image, TABLE, rois=rois, meta=table.meta, record=NEW_RECORD
                )
            break
        except memory.Interrupted:
            found = content_of(zarr_url, TABLE)
            assert found in (old_content, new_content), steps
            seen.add(found == new_content)
            # For readers that prefer it, which then see the old table.
            if f"tables/{TABLE}/.zmetadata" in memory.tree_of(zarr_url):
                assert original.keys() <= memory.tree_of(zarr_url).keys()
        replace_roi_table(image, TABLE, rois=rois, meta=table.meta, record=NEW_RECORD)
        assert content_of(zarr_url, TABLE) == new_content
        assert len(table_keys(zarr_url)) <= 4, "something is left lying about"
    assert seen == {False, True}
    assert content_of(zarr_url, TABLE) == new_content


def table_keys(zarr_url: str, name: str = TABLE) -> set[str]:
    return {
        key for key in memory.tree_of(zarr_url) if key.startswith(f"tables/{name}/")
    }


@pytest.mark.parametrize("ngff_version", ["0.4", "0.5"])
def test_interrupted_addition_of_a_table_is_not_listed_before_it_is_whole(
    ngff_version: str, make_plate: MakePlate
) -> None:
    zarr_url = f"{memory.put(make_plate(**TINY, ngff_version=ngff_version))}/A/01/1"
    image = parse_image_url(zarr_url)
    original = memory.tree_of(zarr_url)
    table = read_roi_table(open_image(image), TABLE)
    rois = new_rois(table)
    for steps in itertools.count():
        memory.restore(zarr_url, original)
        try:
            with memory.interrupt_after(steps):
                replace_roi_table(
                    image, NEW, rois=rois, meta=table.meta, record=NEW_RECORD
                )
            break
        except memory.Interrupted:
            assert NEW not in list_tables(open_image(image))
        replace_roi_table(image, NEW, rois=rois, meta=table.meta, record=NEW_RECORD)
        assert content_of(zarr_url, NEW)[1] == NEW_RECORD
    assert steps > 2
    tables = list_tables(open_image(image))
    assert tables[-1] == NEW
    assert tables[:-1] == [name for name in tables if name != NEW]
    assert TABLE in tables
    with own_columns_known():
        expected = {str(roi.name): roi.model_dump() for roi in rois}
    assert content_of(zarr_url, NEW) == (expected, NEW_RECORD)
