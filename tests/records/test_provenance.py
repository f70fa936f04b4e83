"""Records are equal where task, version, inputs and settings are, and only there."""

import json
from typing import Any

import numpy as np
import pytest
from ngio import Roi

from fractal_tasks import __version__
from fractal_tasks.model import ApplySettings
from fractal_tasks.model.output_format import OutputFormat
from fractal_tasks.records.provenance import (
    Record,
    fingerprint,
    fingerprint_rois,
    fingerprint_rows,
    roi_to_json,
)
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.storage.plate.roi_table_data import RoiTableData
from tests.records.plates import read_rows, write_rows

SETTINGS = ApplySettings(
    registered_roi_table="registered",
    labels=("nuclei",),
    interpolation="linear",
    seen_label=None,
    output_format=OutputFormat(),
)
RECORD = Record.of("some_task", {"image": "1"}, SETTINGS)
STORED = {
    "schema": 1,
    "task": "some_task",
    "version": __version__,
    "inputs": {"image": "1"},
    "settings": {
        "registered_roi_table": "registered",
        "labels": ["nuclei"],
        "interpolation": "linear",
        "seen_label": None,
        "output_format": {
            "ngff_version": "same",
            "chunk_size_px": None,
            "shard_size_px": None,
            "compressor": "same",
        },
    },
}


class _Longer(Record):
    result: int


def test_record_is_stored_with_the_number_of_its_schema() -> None:
    assert RECORD.to_json() == STORED


def test_record_survives_json() -> None:
    read = Record.read(json.loads(json.dumps(RECORD.to_json())))
    assert read is not None
    assert read.is_of(RECORD)
    assert read == RECORD


def test_record_survives_the_attributes_of_a_table(image: OpenImage) -> None:
    write_rows(image.url, list(read_rows(image).rois.values()), record=RECORD.to_json())
    read = Record.read(read_rows(image).record)
    assert read is not None
    assert read.is_of(RECORD)


@pytest.mark.parametrize(
    "change",
    [
        {"task": "another_task"},
        {"version": "0.0.1"},
        {"inputs": {"image": "2"}},
        {"inputs": {}},
        {"settings": {"registered_roi_table": "registered", "labels": []}},
        {"settings": STORED["settings"] | {"further": None}},  # type: ignore[operator]  # a dict
    ],
    ids=str,
)
def test_record_is_not_of_anything_else(change: dict[str, Any]) -> None:
    other = Record.read({**STORED, **change})
    assert other is not None
    assert not other.is_of(RECORD)
    assert not RECORD.is_of(other)


def test_results_of_a_step_do_not_say_what_it_was_made_from() -> None:
    longer = [_Longer(**dict(RECORD), result=result) for result in (1, 2)]
    assert longer[0].is_of(RECORD)
    assert longer[0].is_of(longer[1])
    assert longer[0] != longer[1]
    assert longer[0].to_json() == {**STORED, "result": 1}


@pytest.mark.parametrize(
    "stored",
    [
        None,
        {},
        [],
        "text",
        {**STORED, "schema": 2},
        {**STORED, "schema": "1"},
        {**STORED, "task": None},
        {**STORED, "inputs": {"image": 1}},
        {**STORED, "settings": "all"},
        {**STORED, "result": 1},
        {key: value for key, value in STORED.items() if key != "inputs"},
    ],
    ids=lambda stored: repr(stored)[:40],
)
def test_record_that_is_damaged_or_of_another_kind_is_none(stored: object) -> None:
    assert Record.read(stored) is None


def test_fingerprint_changes_with_each_part_and_with_their_order() -> None:
    parts: list[list[object]] = [
        [],
        [1],
        [1, 2],
        [2, 1],
        [[1, 2]],
        ["1"],
        [{"a": 1}],
        [{"a": None}],
        [None],
        [1.5],
    ]
    assert len({fingerprint(part) for part in parts}) == len(parts)
    assert fingerprint([{"a": 1, "b": 2}]) == fingerprint([{"b": 2, "a": 1}])
    assert fingerprint(iter([1, 2])) == fingerprint([1, 2])


def a_roi(name: str = "FOV_1", x_um: float = 5.0, **columns: Any) -> Roi:
    slices = {"y": (0.0, 10.0), "x": (x_um, 10.0)}
    return Roi.from_values(name=name, slices=slices, **columns)


def table_of(image: OpenImage, *rois: Roi) -> RoiTableData:
    return RoiTableData(
        "t", {str(roi.name): roi for roi in rois}, read_rows(image).meta
    )


def test_fingerprint_of_rows_changes_with_place_name_and_columns(
    image: OpenImage,
) -> None:
    tables = [
        table_of(image, a_roi()),
        table_of(image, a_roi("FOV_2")),
        table_of(image, a_roi(x_um=5.1)),
        table_of(image, a_roi(colour="red")),
        table_of(image, a_roi(colour="blue")),
        table_of(image, a_roi(), a_roi("FOV_2")),
        table_of(image, a_roi("FOV_2"), a_roi()),
    ]
    assert len({fingerprint_rows(table) for table in tables}) == len(tables)


def test_fingerprint_of_rois_is_of_where_they_lie_whatever_their_columns(
    image: OpenImage,
) -> None:
    plain = fingerprint_rois(table_of(image, a_roi()))
    assert fingerprint_rois(table_of(image, a_roi(colour="red"))) == plain
    turned = a_roi().model_copy(update={"slices": a_roi().slices[::-1]})
    assert turned.slices != a_roi().slices
    assert fingerprint_rois(table_of(image, turned)) == plain
    for other in (a_roi("FOV_2"), a_roi(x_um=5.1)):
        assert fingerprint_rois(table_of(image, other)) != plain


def test_fingerprint_of_rows_does_not_know_the_order_of_columns(
    image: OpenImage,
) -> None:
    one = table_of(image, a_roi(a=1.0, b="x", c=np.float64(0.1)))
    other = table_of(image, a_roi(c=0.1, b="x", a=1.0, d=None, e=float("nan")))
    assert fingerprint_rows(one) == fingerprint_rows(other)


def test_roi_as_json_has_plain_sorted_values() -> None:
    roi = a_roi(b=np.int64(3), a=np.float32(0.5), lost=float("nan"), none=None)
    found = roi_to_json(roi)
    assert list(found) == ["name", "slices", "label", "space", "a", "b"]
    assert (found["a"], found["b"]) == (0.5, 3)
    assert Roi(**json.loads(json.dumps(found))) == a_roi(a=0.5, b=3)
