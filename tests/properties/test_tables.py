"""Whatever a ROI table holds, a task ends with the right result or an error of ours."""

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import zarr
from hypothesis import example, given
from hypothesis import strategies as st
from ngio.tables.backends import ImplementedTableBackends
from ngio.utils import ZarrGroupHandler

from fractal_tasks.records.columns import OWN_COLUMNS, TRANSLATION_COLUMNS
from tests.properties.harness import Sandbox
from tests.tasks.plates import (
    REGISTERED,
    TABLE,
    TINY_ESTIMATE,
    read_table,
    run_calculate,
    run_consensus,
)

# What libraries remark on damaged files is not the matter.
pytestmark = pytest.mark.filterwarnings("ignore")

BACKENDS = ["anndata", "csv", "json", "parquet"]
PIXEL_UM, SIZE_PX, SHIFT_PX = 0.325, {"y": 32, "x": 64}, 2
GEOMETRY = [f"{part}{axis}_micrometer" for part in ("", "len_") for axis in "xyz"]
SHIFT_UM = (0.0, SHIFT_PX * PIXEL_UM, 0.0)
ODD_COLUMNS = [*GEOMETRY, "label", "name", "slices", "space", "my column"]
WHOLE = {"x": (0.0, 20.8), "y": (0.0, 10.4), "z": (0.0, 1.0)}
RIGHT = {"x": (10.4, 10.4), "y": (0.0, 10.4), "z": (0.0, 1.0)}
Slices = dict[str, tuple[float, float]]

STARTS = st.sampled_from(
    [0.0, 0.325, 1.3, 0.1, -0.1, -5.0, 10.4, 30.0, math.nan, math.inf, 1e12, -1e300]
)
LENGTHS = st.sampled_from(
    [10.4, 3.25, 9.1, 0.65, 0.325, 0.1, 0.0, -3.0, math.nan, math.inf, 1e12, 1e300]
)
SIDES = st.one_of(st.just((0.0, 10.4)), st.tuples(STARTS, LENGTHS))
PLANES = st.sampled_from([(0.0, 1.0), (0.0, 1.2), (-2.0, 1.0), (0.0, 0.0), (0.0, 2.0)])
NAMES = st.sampled_from(
    ["FOV_1", "FOV_2", "", " ", "nan", "7", "..", "a/b", "ü\n", "x" * 300, "a,b", '"']
)
JUNK = st.sampled_from(
    [
        "",
        "junk",
        "nan",
        "-1",
        "2",
        "1e999",
        "[]",
        "{}",
        "[[1]]",
        "[[0, 0, 0, 2, 1]]",
        "[[0, 0, 0, 0.5, -1]]",
        "[" * 2000,
        '{"type": "affine"}',
        0.5,
        -1.0,
        1e-300,
        1e300,
        math.nan,
        math.inf,
    ]
)


def frame_of(rois: Sequence[tuple[str, Slices]], **columns: object) -> pd.DataFrame:
    """Give a ROI table as Fractal stores it."""
    rows = [
        {
            "FieldIndex": name,
            **{
                f"{part}{axis}_micrometer": value
                for axis, side in slices.items()
                for part, value in zip(("", "len_"), side, strict=True)
            },
            **columns,
        }
        for name, slices in rois
    ]
    return pd.DataFrame(rows).set_index("FieldIndex")


def write_frame(zarr_url: str, frame: pd.DataFrame, backend: str) -> None:
    """Write what no ROI class would let through, as other software may."""
    path = Path(zarr_url) / "tables" / TABLE
    zarr_format = zarr.open_group(path, mode="r").metadata.zarr_format
    zarr.open_group(path, mode="w", zarr_format=zarr_format)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ImplementedTableBackends().get_backend(
            group_handler=ZarrGroupHandler(path, mode="r+"),
            backend_name=backend,
            index_key="FieldIndex",
            index_type="str",
        ).write(frame, metadata={"type": "roi_table", "table_version": "1"})


def with_shift(frame: pd.DataFrame) -> pd.DataFrame:
    """Add what *calculate* stores of a movement by two pixels along y."""
    shift_um = dict(zip(TRANSLATION_COLUMNS, SHIFT_UM, strict=True))
    return frame.assign(**shift_um, **TINY_ESTIMATE)


def write_both(
    sandbox: Sandbox, frame: pd.DataFrame, backend: str, **columns: object
) -> None:
    reference, acquisition = sandbox.urls
    write_frame(reference, frame, backend)
    write_frame(acquisition, with_shift(frame).assign(**columns), backend)


def to_pixels(value_um: float) -> int | None:
    return (
        None
        if abs(value_um) > 1e9 or value_um != value_um
        else math.floor(value_um / PIXEL_UM + 0.5)
    )


def is_inside(slices: Slices) -> bool:
    """Whether a ROI has pixels, and none that the image has not."""
    for axis, size in SIZE_PX.items():
        start, length = map(to_pixels, slices[axis])
        if start is None or length is None or start < 0 or start + length > size:
            return False
        if length <= 0:
            return False
    return True


def has_planes(slices: Slices, sandbox: Sandbox) -> bool:
    """Whether a ROI is the one plane of the image; without z axis it always is."""
    if "z" not in sandbox.axes:
        return True
    return [math.floor(value + 0.5) for value in slices["z"]] == [0, 1]


@given(
    backend=st.sampled_from(BACKENDS),
    x=SIDES,
    y=SIDES,
    z=PLANES,
    name=NAMES,
)
@example("csv", (0.0, 10.4), (0.0, 1e300), (0.0, 1.0), "FOV_2")
@example("json", (0.0, 10.4), (0.0, 0.65), (0.0, 1.0), "FOV_2")
def test_consensus_takes_exactly_the_rois_that_lie_in_the_image(
    sandbox: Sandbox,
    backend: str,
    x: tuple[float, float],
    y: tuple[float, float],
    z: tuple[float, float],
    name: str,
) -> None:
    slices = {"x": x, "y": y, "z": z}
    try:
        write_both(sandbox, frame_of([("FOV_1", WHOLE), (name, slices)]), backend)
        error = sandbox.run(lambda: run_consensus(sandbox.urls))
        named = name.strip() not in {"", "nan", "FOV_1"}
        if named and is_inside(slices) and has_planes(slices, sandbox):
            assert error is None
            start, length = to_pixels(y[0]), to_pixels(y[1])
            assert start is not None
            assert length is not None
            # The common rows: in the acquisition they lie two pixels further up.
            for url, first in zip(sandbox.urls, (start + SHIFT_PX, start), strict=True):
                rois = read_table(url, REGISTERED).rois
                # The shift may leave nothing that both see.
                assert (name in rois) == (length > SHIFT_PX)
                if name in rois:
                    roi = rois[name].get("y")
                    assert roi is not None
                    assert roi.start == pytest.approx(first * PIXEL_UM)
                    assert roi.length == pytest.approx((length - SHIFT_PX) * PIXEL_UM)
        else:
            assert error is not None
    finally:
        sandbox.restore()


@given(
    backend=st.sampled_from(BACKENDS),
    column=st.sampled_from(OWN_COLUMNS),
    value=JUNK,
    first_row_only=st.booleans(),
)
@example("csv", "registration_alternatives", "[" * 2000, False)
@example("json", "registration_error", 1e-300, False)
@example("json", "registration_error", "nan", False)
@example("parquet", "translation_y", 1e300, False)
def test_damaged_estimates_are_used_or_refused(
    sandbox: Sandbox, backend: str, column: str, value: Any, first_row_only: bool
) -> None:
    frame = frame_of([("FOV_1", WHOLE), ("FOV_2", RIGHT)])
    try:
        write_both(sandbox, frame, backend, **{column: value})
        sandbox.run(lambda: run_consensus(sandbox.urls))
    finally:
        sandbox.restore()


@given(
    backend=st.sampled_from(BACKENDS),
    column=st.sampled_from(
        [*GEOMETRY, "label", "name", "slices", "space", "my column"]
    ),
    value=st.sampled_from([None, "junk", "1.0", 7, 2**40, True, math.nan, [1.0]]),
    task=st.sampled_from([run_consensus, run_calculate]),
)
@example("json", "x_micrometer", [1.0], run_consensus)
@example("csv", "my column", "junk", run_calculate)
def test_odd_columns_are_used_or_refused(
    sandbox: Sandbox, backend: str, column: str, value: Any, task: Any
) -> None:
    frame = frame_of([("FOV_1", WHOLE), ("FOV_2", RIGHT)])
    frame[column] = [value] * 2
    try:
        # A list needs JSON, a number as name of a column anything but anndata.
        write_both(sandbox, frame, "json" if isinstance(value, list) else backend)
        arguments = {"level_path": "0"} if task is run_calculate else {}
        sandbox.run(lambda: task(sandbox.urls, **arguments))
    finally:
        sandbox.restore()


@given(backend=st.sampled_from(BACKENDS), column=st.sampled_from(GEOMETRY))
def test_table_without_a_needed_column_is_refused(
    sandbox: Sandbox, backend: str, column: str
) -> None:
    frame = frame_of([("FOV_1", WHOLE)]).drop(columns=column)
    try:
        write_both(sandbox, frame, backend)
        error = sandbox.run(lambda: run_consensus(sandbox.urls))
        assert error is not None
        assert column in str(error)
    finally:
        sandbox.restore()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.sampled(3)
def test_further_columns_of_any_name_are_kept(sandbox: Sandbox, backend: str) -> None:
    """Names that are no Python names came back empty from the table's reader."""
    columns = {"plain": 1.5, "two words": "a", "class": 2.5, "_hidden": 3.5, "1st": "b"}
    frame = frame_of([("FOV_1", WHOLE)], **columns)
    try:
        write_both(sandbox, frame, backend)
        assert sandbox.run(lambda: run_calculate(sandbox.urls, level_path="0")) is None
        roi = read_table(sandbox.urls[1]).rois["FOV_1"]
        assert columns.items() <= (roi.model_extra or {}).items()
    finally:
        sandbox.restore()
