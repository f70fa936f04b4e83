"""The record in a registered image, and what it says about runs of before."""

from pathlib import Path
from typing import Any

import pytest
import zarr

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.model import ApplySettings
from fractal_tasks.model.output_format import OutputFormat
from fractal_tasks.records.applied import (
    AppliedRecord,
    is_applied,
    is_registered,
    is_up_to_date,
    read_applied_record,
)
from fractal_tasks.records.provenance import Record
from fractal_tasks.records.stored_plan import StoredPlacement
from fractal_tasks.storage.plate.roi_table_data import RECORD_KEY
from tests.records.plans import PLACEMENTS, SETTINGS, make_stored, write_registered
from tests.records.plates import PIXELS, REGISTERED, image_url, open_acquisition


def applied(**changes: Any) -> AppliedRecord:
    settings = ApplySettings(
        registered_roi_table=REGISTERED,
        labels=("nuclei",),
        interpolation="linear",
        seen_label=None,
        output_format=OutputFormat(),
    )
    record = AppliedRecord(
        **dict(Record.of("apply", {"image": "1", "plan": "2"}, settings)),
        input_image="1",
        reference_image="0",
        placements=tuple(
            StoredPlacement.of(*item, PIXELS) for item in PLACEMENTS.items()
        ),
        consensus=Record.of("find_registration_consensus", {"a": "b"}, SETTINGS),
    )
    return record.model_copy(update=changes)


def store(plate: Path, acquisition: int, record: Any) -> None:
    """Put something where the record of a registered image is."""
    group = zarr.open_group(image_url(plate, acquisition).path, mode="r+")
    group.attrs[RECORD_KEY] = record


def test_record_survives_the_attributes_of_an_image(plate: Path) -> None:
    record = applied()
    store(plate, 1, record.to_json())
    assert read_applied_record(image_url(plate, 1)) == record
    assert is_registered(image_url(plate, 1))


def test_image_of_the_microscope_is_not_registered(plate: Path) -> None:
    assert not is_registered(image_url(plate, 0))
    assert read_applied_record(image_url(plate, 0)) is None


@pytest.mark.parametrize(
    "record", [{}, {"task": "apply"}, applied().to_json() | {"schema": 0}]
)
def test_record_of_another_version_says_only_that_it_is_registered(
    plate: Path, record: dict[str, Any]
) -> None:
    store(plate, 1, record)
    assert is_registered(image_url(plate, 1))
    assert read_applied_record(image_url(plate, 1)) is None


def test_image_that_is_not_there_is_an_error(plate: Path) -> None:
    with pytest.raises(InvalidDataError, match="found no image that can be opened"):
        is_registered(image_url(plate, 7))


def test_image_is_applied_if_its_table_has_no_plan_to_apply(plate: Path) -> None:
    image = open_acquisition(plate, 1)
    write_registered(plate, None)
    assert not is_applied(image, REGISTERED)
    store(plate, 1, applied().to_json())
    # The tables of a registered image are written without a record.
    zarr.open_group(image.url.path / "tables" / REGISTERED, mode="r+").attrs.pop(
        RECORD_KEY
    )
    image = open_acquisition(plate, 1)
    assert is_applied(image, REGISTERED)
    assert not is_applied(image, "another_table")
    write_registered(plate, make_stored(plate))
    assert not is_applied(open_acquisition(plate, 1), REGISTERED)


def test_image_without_the_table_is_not_applied(plate: Path) -> None:
    store(plate, 1, applied().to_json())
    assert not is_applied(open_acquisition(plate, 1), REGISTERED)


def test_output_that_is_not_there_is_not_up_to_date(plate: Path) -> None:
    assert not is_up_to_date(image_url(plate, 1).sibling("1_new"), applied())


def test_output_is_up_to_date_if_it_was_made_from_the_same(plate: Path) -> None:
    # Image 0 stands for the output: any image will do.
    target = image_url(plate, 0)
    store(plate, 0, applied().to_json())
    assert is_up_to_date(target, applied())
    assert not is_up_to_date(target, applied(version="0.0.1"))
    assert not is_up_to_date(target, applied(inputs={"image": "1", "plan": "3"}))


def test_damaged_record_of_this_input_is_not_up_to_date(plate: Path) -> None:
    store(plate, 0, {"input_image": "1"})
    assert not is_up_to_date(image_url(plate, 0), applied())


@pytest.mark.parametrize("record", [None, {}, {"input_image": "2"}, "text"])
def test_what_is_not_the_output_of_this_input_is_left_alone(
    plate: Path, record: object
) -> None:
    if record is not None:
        store(plate, 0, record)
    with pytest.raises(InvalidDataError, match=r"left untouched.*output_image_suffix"):
        is_up_to_date(image_url(plate, 0), applied())


def test_folder_that_is_no_image_is_left_alone(plate: Path) -> None:
    target = image_url(plate, 1).sibling("1_new")
    target.path.mkdir()
    with pytest.raises(InvalidDataError, match="left untouched"):
        is_up_to_date(target, applied())
