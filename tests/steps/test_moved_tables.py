"""Tables of a registered image, from a plan made by hand: rows move by 2 px."""

import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from ngio import OmeZarrContainer, Roi, open_ome_zarr_container
from ngio.tables import FeatureTable
from pandas import DataFrame
from pandas.testing import assert_frame_equal

from fractal_tasks.records.plans import RegistrationPlan
from fractal_tasks.steps.moved_tables import write_moved_tables
from fractal_tasks.storage.plate.images import list_tables
from fractal_tasks.storage.plate.open_image import OpenImage, open_image
from fractal_tasks.storage.urls import Location
from fractal_tasks.transforms import Affine, plane_matrix
from tests.records.plans import make_plan
from tests.records.plates import (
    PIXEL_UM,
    TABLE,
    edit_rows,
    image_url,
    open_acquisition,
    read_rows,
    write_rows,
)
from tests.steps.wells import tree_of

OWN = [("A", 3.0, 2.0), ("B", 3.0, 15.0), ("C", 3.0, 9.0)]
"""Name and first corner (y, x) in um; C lies in both fields, in FOV_1 by more."""


def own_rois() -> list[Roi]:
    return [
        Roi.from_values(name=name, slices={"y": (y, 2.0), "x": (x, 2.0)}, colour="red")
        for name, y, x in OWN
    ]


def build_tables(plate: Path, plan: RegistrationPlan) -> OpenImage:
    """Write the tables of the registered image into a copy without tables."""
    source = open_acquisition(plate, 1)
    build = source.url.sibling("1_build")
    ignored = shutil.ignore_patterns("tables")
    shutil.copytree(source.url.path, build.path, ignore=ignored)
    write_moved_tables(source, Location(build.zarr_url), plan, ["nuclei"])
    return open_image(build)


def test_tables_of_the_reference_describe_the_registered_image(plate: Path) -> None:
    edit_rows(image_url(plate, 0), {"colour": "blue"})
    built = build_tables(plate, make_plan(plate))
    expected = read_rows(open_acquisition(plate, 0)).rois
    assert read_rows(built).rois == expected


def test_own_rois_move_with_the_field_they_lie_in(plate: Path) -> None:
    write_rows(image_url(plate, 1), own_rois(), "cells")
    plan = make_plan(plate)
    first, second = plan.placements
    further = plan.placements[second]
    # FOV_2 moves by 5 px along y, FOV_1 by 2 px.
    moved = replace(
        further,
        destination=further.destination.shifted((0, 3, 0)),
    )
    placements = {first: plan.placements[first], second: moved}
    built = build_tables(plate, replace(plan, placements=placements))
    rois = read_rows(built, "cells").rois
    for (name, y, x), shift_px in zip(OWN, (2, 5, 2), strict=True):
        part_y, part_x = rois[name].get("y"), rois[name].get("x")
        assert part_y is not None
        assert part_x is not None
        assert part_y.start == pytest.approx(y + shift_px * PIXEL_UM)
        assert (part_y.length, part_x.start) == pytest.approx((2.0, x))
        assert (rois[name].model_extra or {})["colour"] == "red"


def test_own_table_with_a_name_of_the_reference_gets_another(
    plate: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_rows(image_url(plate, 0), own_rois()[:1], "cells")
    write_rows(image_url(plate, 1), own_rois(), "cells")
    reference = read_rows(open_acquisition(plate, 0), "cells")
    with caplog.at_level(logging.INFO):
        plan = make_plan(plate, reference_tables={"cells": reference})
        built = build_tables(plate, plan)
    assert list(read_rows(built, "cells").rois) == ["A"]
    assert list(read_rows(built, "cells_acquisition").rois) == ["A", "B", "C"]
    assert "moves along, as 'cells_acquisition'" in caplog.text


def test_no_own_table_is_lost_for_its_name(plate: Path) -> None:
    for name in ("cells", "cells_acquisition"):
        write_rows(image_url(plate, 1), own_rois(), name)
    reference = read_rows(open_acquisition(plate, 0))
    # A table of measurements, and one that is made from a label.
    names = ("cells", "nuclei_features", "nuclei_ROI_table")
    tables = {name: replace(reference, name=name) for name in names}
    built = build_tables(plate, make_plan(plate, reference_tables=tables))
    own = {f"{name}_acquisition" for name in names[1:]} | {"cells_acquisition"}
    assert set(list_tables(built)) >= {*names, *own, f"cells{2 * '_acquisition'}"}
    assert (built.url.path / "tables/nuclei_features_acquisition").is_dir()


def test_measurements_are_carried_over_as_they_are(plate: Path) -> None:
    built = build_tables(plate, make_plan(plate))
    before, after = (
        tree_of(url.path / "tables" / "nuclei_features")
        for url in (image_url(plate, 1), built.url)
    )
    # Where objects were is marked in its attributes.
    assert before.pop(".zattrs") != after.pop(".zattrs")
    assert after == before
    assert {TABLE, "nuclei_features", "nuclei_ROI_table"} <= set(list_tables(built))


MEASURED = DataFrame(
    {
        "label": [1, 2],
        "centroid_y_um": [1.5, 2.5],
        "area": [10.0, 20.0],
        "orientation": [0.1, 0.2],
        "mean_DAPI": [100.0, 200.0],
    }
)


def add_measured(plate: Path, backend: str) -> OmeZarrContainer:
    container = open_ome_zarr_container(image_url(plate, 1).path)
    container.add_table("measured", FeatureTable(MEASURED), backend=backend)
    return container


def turned(plan: RegistrationPlan) -> RegistrationPlan:
    turn = Affine.of(plane_matrix(turn_rad=0.1), np.zeros(3))
    placements = {
        key: replace(one, transform=turn, is_copied=False)
        for key, one in plan.placements.items()
    }
    return replace(plan, placements=placements)


def kept(plan: RegistrationPlan) -> RegistrationPlan:
    placements = {
        key: replace(one, source=one.destination)
        for key, one in plan.placements.items()
    }
    return replace(plan, placements=placements)


@pytest.mark.parametrize("backend", ["anndata", "csv", "json", "parquet"])
@pytest.mark.parametrize(
    ("change", "outdated"),
    [
        (lambda plan: plan, ["centroid_y_um"]),
        (turned, ["centroid_y_um", "orientation"]),
        (kept, None),
    ],
    ids=["moved", "turned", "at its place"],
)
@pytest.mark.sampled(4)
def test_columns_that_do_not_hold_any_more_are_marked(
    plate: Path,
    backend: str,
    change: Callable[[RegistrationPlan], RegistrationPlan],
    outdated: list[str] | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    container = add_measured(plate, backend)
    built = build_tables(plate, change(make_plan(plate)))
    attributes = zarr.open_group(built.url.path / "tables/measured", mode="r").attrs
    assert attributes.get("outdated_by_registration") == outdated
    assert all(f"'{name}'" in caplog.text for name in outdated or ())
    values = built.container.get_table("measured").dataframe
    assert_frame_equal(
        values, container.get_table("measured").dataframe, check_like=True
    )


def test_columns_that_did_not_hold_before_are_still_marked(plate: Path) -> None:
    add_measured(plate, "csv")
    path = image_url(plate, 1).path / "tables/measured"
    zarr.open_group(path, mode="r+").attrs["outdated_by_registration"] = ["area"]
    built = build_tables(plate, make_plan(plate))
    attributes = zarr.open_group(built.url.path / "tables/measured", mode="r").attrs
    assert attributes["outdated_by_registration"] == ["area", "centroid_y_um"]


def test_masking_table_is_made_from_the_label_in_the_build(plate: Path) -> None:
    source = open_acquisition(plate, 1)
    label = source.url.path / "labels" / "nuclei" / "0"
    squares = np.zeros((1, 32, 64), np.uint32)
    squares[0, 4:8, 10:16], squares[0, 20:22, 40:50] = 3, 8
    zarr.open_array(label, mode="r+")[...] = squares
    rois = read_rows(build_tables(plate, make_plan(plate)), "nuclei_ROI_table").rois
    assert [roi.label for roi in rois.values()] == [3, 8]
    part_y, part_x = rois["8"].get("y"), rois["8"].get("x")
    assert part_y is not None
    assert part_x is not None
    found = (part_y.start, part_y.length, part_x.start, part_x.length)
    assert found == pytest.approx([PIXEL_UM * px for px in (20, 2, 40, 10)])


def test_masking_table_without_its_label_is_left_out(
    plate: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = open_acquisition(plate, 1)
    build = source.url.sibling("1_build")
    zarr.create_group(build.path, zarr_format=2)
    with caplog.at_level(logging.WARNING):
        write_moved_tables(source, Location(build.zarr_url), make_plan(plate), [])
    listed = zarr.open_group(build.path / "tables", mode="r").attrs["tables"]
    assert "nuclei_ROI_table" not in listed  # type: ignore[operator]  # a list
    assert "its label 'nuclei' is not in the registered image" in caplog.text
