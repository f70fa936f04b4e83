"""What is in an image, and what is wrong with it, is said."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from fractal_tasks.errors import InvalidDataError, InvalidInputError
from fractal_tasks.storage.plate.images import (
    check_fill_value,
    check_single_timepoint,
    find_level,
    list_labels,
    list_tables,
    open_labels,
)
from fractal_tasks.storage.plate.open_image import OpenImage, open_image
from fractal_tasks.storage.urls import parse_image_url
from tests.conftest import MakePlate
from tests.plain_plates import write_image
from tests.storage.tiny import TABLE, TINY, WELL


@pytest.fixture
def path(make_plate: MakePlate) -> Path:
    return make_plate(**{**TINY, "channels": 2}) / WELL / "1"


def opened(path: Path) -> OpenImage:
    return open_image(parse_image_url(str(path)))


def set_names(path: Path, kind: str, names: object) -> None:
    (path / kind / ".zattrs").write_text(json.dumps({kind: names}))


def test_tables_and_labels_are_those_of_the_metadata_in_their_order(path: Path) -> None:
    set_names(path, "tables", ["b", TABLE, "b", "a"])
    set_names(path, "labels", ["nuclei"])
    assert list_tables(opened(path)) == ["b", TABLE, "a"]
    assert list_labels(opened(path)) == ["nuclei"]


def test_image_without_the_folders_has_neither(path: Path) -> None:
    for kind in ("tables", "labels"):
        shutil.rmtree(path / kind)
    assert list_tables(opened(path)) == []
    assert list_labels(opened(path)) == []


@pytest.mark.parametrize("kind", ["tables", "labels"])
@pytest.mark.parametrize("names", ["text", [1], {"a": 1}, None], ids=str)
def test_damaged_list_is_not_taken_for_an_empty_one(
    path: Path, kind: str, names: object
) -> None:
    set_names(path, kind, names)
    listed = list_tables if kind == "tables" else list_labels
    with pytest.raises(InvalidDataError, match=f"the list of its {kind} cannot be"):
        listed(opened(path))


def test_folder_that_is_no_group_is_not_taken_for_none(path: Path) -> None:
    (path / "tables" / ".zgroup").unlink()
    with pytest.raises(InvalidDataError, match="the list of its tables cannot be read"):
        list_tables(opened(path))


def test_names_that_lead_out_of_the_image_are_refused(path: Path) -> None:
    set_names(path, "tables", ["../../0/tables/FOV_ROI_table"])
    with pytest.raises(InvalidDataError, match=r"table '\.\./.*do not trust"):
        list_tables(opened(path))


def test_label_with_a_lost_level_is_an_error_that_names_it(path: Path) -> None:
    open_labels(opened(path), ["nuclei"])
    shutil.rmtree(path / "labels" / "nuclei" / "1")
    with pytest.raises(InvalidDataError, match="label 'nuclei' cannot be opened"):
        open_labels(opened(path), ["nuclei"])


def test_levels_are_found_by_their_path(path: Path) -> None:
    assert find_level(opened(path), "1") == 1
    with pytest.raises(InvalidInputError, match=r"level_path='3'.*\['0', '1', '2'\]"):
        find_level(opened(path), "3")


@pytest.mark.parametrize(
    ("factors", "expected"),
    [((1,), 0), ((1, 2), 1), ((1, 4, 16), 1), ((1, 3, 9), 1), ((1, 2, 4, 8), 2)],
    ids=["one level", "two", "by four", "by three", "other names"],
)
def test_without_the_default_level_the_one_nearest_to_a_quarter_is_taken(
    tmp_path: Path, factors: tuple[int, ...], expected: int
) -> None:
    levels = {f"s{factor}": factor for factor in factors}
    folder = tmp_path / "p.zarr/A/1/0"
    write_image(folder, np.zeros((32, 32), "uint8"), levels=levels)
    assert find_level(opened(folder), "2") == expected
    with pytest.raises(InvalidInputError, match="level_path='1'"):
        find_level(opened(folder), "1")


def test_time_series_are_refused(make_plate: MakePlate, path: Path) -> None:
    check_single_timepoint(opened(path))
    series = make_plate("series.zarr", **TINY, axes="tczyx", timepoints=2)
    with pytest.raises(InvalidDataError, match="found 2 timepoints"):
        check_single_timepoint(opened(series / WELL / "1"))


@pytest.mark.parametrize(
    ("dtype", "good", "bad"),
    [
        ("uint8", [0.0, 255.0], [-1.0, 256.0, 0.5, float("nan")]),
        ("uint16", [65535.0], [65536.0, float("inf")]),
        ("float32", [0.5, -1e30, float("nan"), float("inf")], [1e300]),
    ],
)
def test_fill_values_are_those_that_the_pixels_can_hold(
    make_plate: MakePlate, dtype: str, good: list[float], bad: list[float]
) -> None:
    plate = make_plate(**TINY, dtype=dtype)
    image = opened(plate / WELL / "1")
    for value in good:
        check_fill_value(image, value)
    for value in bad:
        with pytest.raises(InvalidInputError, match=f"pixels of type {dtype}"):
            check_fill_value(image, value)
