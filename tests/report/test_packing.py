"""What is packed in a page, read back."""

import base64
import gzip
import json
import math
from typing import Any

import pytest

from fractal_tasks.api import Result
from fractal_tasks.report.packing import (
    list_columns,
    list_names,
    pack_columns,
    pack_text,
)
from tests.report.test_results import result

STACK = {"shift_um": (-1.23456789, 1.3, 0.65), "error_z_um": 0.2}


def unpack(text: str) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(text)))


def test_page_has_the_numbers_of_the_table_in_python() -> None:
    rois = [result(), result(roi="FOV_2", confidence=None, **STACK)]
    table = Result([], rois, {}, []).table
    columns = unpack(pack_columns(list_columns(rois)))
    assert {"shift_z_um", "ratio", "reason"} < set(columns) <= set(table)
    for name in set(columns) - {"reason"}:
        for shown, cell in zip(columns[name], table[name], strict=True):
            if isinstance(cell, str):
                assert shown == cell
            elif shown is None:
                assert math.isnan(cell)
            else:
                assert shown == pytest.approx(cell, rel=0.5e-4)


def test_saved_table_has_all_columns_of_that_in_python() -> None:
    """Whatever is known of a plate: tables of several can be put together."""
    rois = [result(evidence={}), result(evidence={"of_another_method": 1.0})]
    names = list_names(rois)
    assert names == list(Result([], rois, {}, []).table)
    assert {"shift_z_um", "left_px"} <= set(names) - set(list_columns(rois))


def test_columns_along_z_are_those_of_stacks() -> None:
    along_z = {"shift_z_um", "shift_z_px", "error_z_um"}
    assert not along_z & set(list_columns([result()]))
    assert along_z <= set(list_columns([result(), result(**STACK)]))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_unknown(value: float) -> None:
    columns = list_columns([result(error_um=value), result()])
    assert columns["error_um"] == [None, 0.0325]


def test_what_is_known_of_no_roi_is_left_out() -> None:
    of_others: dict[str, Any] = dict.fromkeys(
        ["status", "confidence", "error_um", "error_px", "kept"]
    )
    columns = list_columns([result(**of_others, evidence={})])
    assert columns["status"] == ["estimated"]
    assert not {"confidence", "error_um", "error_px", "kept"} & set(columns)


def test_only_what_is_not_measured_has_a_reason() -> None:
    rois = [result(status=status) for status in ("measured", "imputed", "reference")]
    assert list_columns(rois)["reason"] == ["", "as told", ""]


def test_what_pictures_need_is_named_apart() -> None:
    one = result(
        centre_um=(0.0, 5.0, 6.0),
        size_um=(1.0, 7.0, 8.0),
        measured_um=(0.0, 9.0, 10.0),
        bend_um=((0.0, 0.12345, 2.0),),
    )
    drawn = {k: v for k, (v,) in list_columns([one]).items() if k.startswith("drawn_")}
    assert drawn == {
        "drawn_y": 5.0,
        "drawn_x": 6.0,
        "drawn_height": 7.0,
        "drawn_width": 8.0,
        "drawn_measured_y": 9.0,
        "drawn_measured_x": 10.0,
        "drawn_bend": [0.123, 2.0],
    }


def test_same_text_is_packed_alike() -> None:
    assert pack_text("a" * 1000) == pack_text("a" * 1000)
    assert len(pack_text("a" * 1000)) < 100
