"""Registering an image: what is written, when it is done again, what is left alone."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from fractal_tasks.errors import InvalidDataError, InvalidInputError, MissingStepError
from fractal_tasks.model.output_format import OutputFormat
from fractal_tasks.records.applied import read_applied_record
from fractal_tasks.steps.apply_order import ApplyOrder
from fractal_tasks.steps.judge_well import judge_well
from fractal_tasks.steps.register_image import register_image
from fractal_tasks.storage.plate.open_image import open_image
from fractal_tasks.storage.plate.wells import read_acquisitions
from tests.conftest import MakePlate, PlateCache
from tests.records.plans import PLACEMENTS, SETTINGS, cropped_rois
from tests.records.plates import (
    REGISTERED,
    TINY,
    edit_rows,
    image_url,
    open_acquisition,
    read_rows,
    write_rows,
)
from tests.steps.wells import (
    judge,
    moved_by,
    read_level,
    store_estimates,
    tree_of,
    versions_of,
)

OUTPUT = "1_registered"


@pytest.fixture
def judged(plate: Path, plate_cache: PlateCache) -> Path:
    """The tiny plate, judged: rows 0 to 30 of acquisition 1 go to rows 2 to 32.

    It is judged once, and copied for each test.
    """
    original = plate_cache.root / "judged.zarr"
    if not original.exists():
        moved = moved_by(2, 0)
        store_estimates(image_url(plate, 1), {"FOV_1": moved, "FOV_2": moved})
        judge(plate)
        shutil.copytree(plate, original)
    shutil.rmtree(plate)
    shutil.copytree(original, plate)
    return plate


def order(plate: Path, *, in_place: bool = False, **changes: Any) -> ApplyOrder:
    url = image_url(plate, 1)
    whole = ApplyOrder(
        url=url,
        target=url if in_place else url.sibling(OUTPUT),
        registered_roi_table=REGISTERED,
        reference_acquisition=0,
        register_labels=True,
        discard_labels=False,
        interpolation="linear",
        seen_label=None,
        output_format=OutputFormat(),
        rerun=False,
    )
    return replace(whole, **changes)


def moved(pixels: np.ndarray) -> np.ndarray:
    """Move rows by 2 pixels, as the plan says."""
    expected = np.zeros_like(pixels)
    expected[..., 2:32, :] = pixels[..., 0:30, :]
    return expected


@pytest.mark.parametrize("in_place", [True, False], ids=["in place", "beside"])
def test_pixels_and_labels_are_moved(judged: Path, in_place: bool) -> None:
    source = image_url(judged, 1).path
    names = ["", "labels/nuclei"]
    expected = [moved(read_level(source / name)) for name in names]
    before = tree_of(source)
    task = order(judged, in_place=in_place)
    register_image(task)
    found = [read_level(task.target.path / name) for name in names]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (tree_of(source) == before) is not in_place
    record = read_applied_record(task.target)
    assert record is not None
    assert (record.input_image, record.reference_image) == ("1", "0")
    assert {one.key: one.source for one in record.placements} == {
        key: one.source for key, one in PLACEMENTS.items()
    }
    assert record.consensus is not None
    assert record.consensus.task == "find_registration_consensus"


def test_new_image_is_listed_in_its_well(judged: Path) -> None:
    register_image(order(judged))
    acquisitions = read_acquisitions(image_url(judged, 0).well)
    assert acquisitions == {"0": 0, "1": 1, OUTPUT: 1}


@pytest.mark.parametrize("in_place", [True, False], ids=["in place", "beside"])
def test_registered_table_has_places_of_the_reference_and_own_verdicts(
    judged: Path, in_place: bool
) -> None:
    own = read_rows(open_acquisition(judged, 1), REGISTERED).rois
    task = order(judged, in_place=in_place)
    register_image(task)
    found = read_rows(open_image(task.target), REGISTERED)
    reference = read_rows(open_acquisition(judged, 0), REGISTERED).rois
    assert found.record is None
    for name, roi in found.rois.items():
        assert roi.slices == reference[name].slices
        assert (roi.model_extra or {}) == (own[name].model_extra or {})
        assert (roi.model_extra or {})["registration_status"] == "measured"
        # Of 32 rows of pixels 30 are in both.
        assert (roi.model_extra or {})["registration_kept"] == 30 / 32


def test_second_run_does_nothing_and_says_so(
    judged: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task = order(judged)
    register_image(task)
    before = versions_of(task.target.path)
    with caplog.at_level(logging.INFO):
        register_image(task)
    assert versions_of(task.target.path) == before
    assert f"{OUTPUT} is up to date: nothing to do" in caplog.text


def test_rerun_writes_the_same_again(judged: Path) -> None:
    task = order(judged)
    register_image(task)
    content, versions = tree_of(task.target.path), versions_of(task.target.path)
    register_image(replace(task, rerun=True))
    assert tree_of(task.target.path) == content
    assert versions_of(task.target.path) != versions


def test_output_of_other_pixels_or_another_plan_is_written_again(judged: Path) -> None:
    task = order(judged)
    register_image(task)
    source = image_url(judged, 1)
    changed = read_level(source.path) + np.uint16(1)
    zarr.open_array(source.path / "0", mode="r+")[...] = changed
    register_image(task)
    np.testing.assert_array_equal(read_level(task.target.path), moved(changed))
    judge(judged, keep="reference", fill_value=3.0)
    register_image(task)
    assert (read_level(task.target.path)[..., :2, :] == 3).all()


@pytest.mark.parametrize("rerun", [False, True])
@pytest.mark.parametrize("kind", ["folder", "image", "of another input"])
def test_what_is_not_ours_is_never_overwritten(
    judged: Path, kind: str, rerun: bool
) -> None:
    task = order(judged, rerun=rerun)
    if kind == "folder":
        task.target.path.mkdir()
        (task.target.path / "thesis.txt").write_text("all of it")
    else:
        shutil.copytree(image_url(judged, 0).path, task.target.path)
    if kind == "of another input":
        attributes = zarr.open_group(task.target.path, mode="r+").attrs
        attributes["registration"] = {"input_image": "2"}
    before = tree_of(task.target.path)
    with pytest.raises(InvalidDataError, match="left untouched"):
        register_image(task)
    assert tree_of(task.target.path) == before


def test_image_that_was_replaced_is_not_registered_twice(
    judged: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task = order(judged, in_place=True)
    register_image(task)
    before = versions_of(task.url.path)
    with caplog.at_level(logging.INFO):
        register_image(task)
    assert "is already registered from table" in caplog.text
    with pytest.raises(InvalidInputError, match="restore the input"):
        register_image(replace(task, rerun=True))
    assert versions_of(task.url.path) == before


def test_labels_are_not_deleted_unless_that_is_confirmed(judged: Path) -> None:
    task = order(judged, in_place=True, register_labels=False)
    before = tree_of(task.url.path)
    with pytest.raises(InvalidInputError, match="delete the labels"):
        register_image(task)
    assert tree_of(task.url.path) == before
    register_image(replace(task, discard_labels=True))
    assert not (task.url.path / "labels" / "nuclei").exists()


def test_table_without_a_plan_is_applied_from_that_of_the_reference(
    plate: Path,
) -> None:
    """As fractal-tasks-core writes it: only places, in both images."""
    for acquisition, first_px in ((0, 2), (1, 0)):
        rois = cropped_rois(plate, y_px=first_px, height_px=30)
        write_rows(image_url(plate, acquisition), rois, REGISTERED)
    task = order(plate)
    register_image(task)
    expected = moved(read_level(task.url.path))
    np.testing.assert_array_equal(read_level(task.target.path), expected)


def test_table_that_was_edited_is_applied_as_it_is_now(
    judged: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rois = cropped_rois(judged, y_px=1, height_px=30)
    record = read_rows(open_acquisition(judged, 1), REGISTERED).record
    write_rows(image_url(judged, 1), rois, REGISTERED, record)
    task = order(judged)
    with caplog.at_level(logging.WARNING):
        register_image(task)
    pixels = read_level(task.url.path)
    # The ROI begins at row 1 here and at row 2 in the reference.
    expected = np.zeros_like(pixels)
    expected[..., 2:32, :] = pixels[..., 1:31, :]
    np.testing.assert_array_equal(read_level(task.target.path), expected)
    assert "was changed after 'Find Registration Consensus'" in caplog.text


def test_table_that_was_edited_is_not_applied_twice(
    judged: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The reference's table, which describes the result, has a plan of its own."""
    rois = cropped_rois(judged, y_px=1, height_px=30)
    record = read_rows(open_acquisition(judged, 1), REGISTERED).record
    write_rows(image_url(judged, 1), rois, REGISTERED, record)
    task = order(judged, in_place=True)
    register_image(task)
    before = versions_of(task.url.path)
    with caplog.at_level(logging.INFO):
        register_image(task)
    assert "is already registered from table" in caplog.text
    assert versions_of(task.url.path) == before


def test_image_that_was_not_judged_is_a_missing_step(plate: Path) -> None:
    with pytest.raises(MissingStepError, match="'Find Registration Consensus' first"):
        register_image(order(plate))


def test_output_with_other_verdicts_is_made_anew(judged: Path) -> None:
    """It has them in its own table."""
    task = order(judged)
    register_image(task)
    edit_rows(image_url(judged, 1), {"registration_reason": "seen"}, REGISTERED)
    register_image(task)
    rows = read_rows(open_image(task.target), REGISTERED).rois.values()
    reasons = [(roi.model_extra or {})["registration_reason"] for roi in rows]
    assert reasons == ["seen", "seen"]


@pytest.mark.parametrize(
    "part", ["0", "1", "labels", "labels/nuclei", "tables", f"tables/{REGISTERED}"]
)
@pytest.mark.sampled(3)
def test_output_from_which_something_was_taken_is_made_again(
    judged: Path, part: str, caplog: pytest.LogCaptureFixture
) -> None:
    task = order(judged)
    register_image(task)
    expected = tree_of(task.target.path)
    shutil.rmtree(task.target.path / part)
    register_image(task)
    assert tree_of(task.target.path) == expected
    assert "is not whole" in caplog.text


@pytest.mark.parametrize("in_place", [True, False], ids=["in place", "beside"])
def test_image_with_nothing_to_be_registered_to_is_left_as_it_is(
    plate: Path, in_place: bool
) -> None:
    url = image_url(plate, 1)
    judge_well([url], None, SETTINGS)
    before = tree_of(url.path.parent)
    assert register_image(order(plate, in_place=in_place)) is False
    assert tree_of(url.path.parent) == before


def test_roi_that_the_acquisition_lacks_is_empty(judged: Path) -> None:
    image = open_acquisition(judged, 1)
    write_rows(image.url, [read_rows(image).rois["FOV_2"]])
    judge(judged)
    expected = moved(read_level(image.url.path))
    expected[..., :32] = 0
    register_image(order(judged, in_place=True))
    np.testing.assert_array_equal(read_level(image.url.path), expected)


def test_table_changed_by_hand_needs_its_reference_near(
    plate: Path, make_plate: MakePlate
) -> None:
    reference = image_url(make_plate("other.zarr", **TINY), 0)
    url = image_url(plate, 1)
    store_estimates(url, dict.fromkeys(("FOV_1", "FOV_2"), moved_by(2, 0)))
    judge_well([reference, url], None, SETTINGS, is_reference_kept=True)
    assert register_image(order(plate))
    edit_places(plate)
    with pytest.raises(InvalidDataError, match=r"an image that is only read.*other"):
        register_image(order(plate))


def edit_places(plate: Path) -> None:
    """Move the rows of a registered table, with its plan as it was."""
    image = open_acquisition(plate, 1)
    table = read_rows(image, REGISTERED)
    rois = [
        roi.update_slice(name="y", new_slice=(0.0, 3.25)) for roi in table.rois.values()
    ]
    write_rows(image.url, rois, REGISTERED, table.record)
