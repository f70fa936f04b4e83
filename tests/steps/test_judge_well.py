"""Judging a well: what is written, when it is done again, and what is refused."""

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from fractal_tasks.errors import InvalidDataError, InvalidInputError, MissingStepError
from fractal_tasks.model import (
    Candidate,
    ConsensusSettings,
    PlateEvidence,
    RowKey,
    WellMovement,
)
from fractal_tasks.records.plans import read_plan
from fractal_tasks.records.provenance import Record
from fractal_tasks.records.registered_rows import read_registered_rows
from fractal_tasks.records.rows import RoiRecord
from fractal_tasks.steps.judge_well import judge_well
from fractal_tasks.steps.well_checks import check_one_well
from fractal_tasks.storage.plate.roi_tables import replace_roi_table
from tests.conftest import MakePlate
from tests.records.plans import FIRST, OF_FIRST, OF_SECOND, SETTINGS
from tests.records.plates import (
    PIXEL_UM,
    REGISTERED,
    TABLE,
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
    store_estimates,
    tree_of,
    versions_of,
    well_urls,
)

BOTH = {"FOV_1": moved_by(2, 0), "FOV_2": moved_by(2, 0)}
UNSURE = {"FOV_1": moved_by(2, 0), "FOV_2": moved_by(9, 9, confidence=0.0)}


@pytest.fixture
def measured(plate: Path) -> Path:
    """The tiny plate, measured: both fields lie 2 px off along y."""
    store_estimates(image_url(plate, 1), BOTH)
    return plate


def tables_of(plate: Path, look: Any = tree_of) -> list[Any]:
    return [look(url.path / "tables") for url in well_urls(plate)]


def record_of(plate: Path, acquisition: int, name: str) -> RoiRecord:
    image = open_acquisition(plate, acquisition)
    roi = read_rows(image, REGISTERED).rois[name]
    return RoiRecord.from_roi(roi, image, name)


def test_plan_says_which_pixels_all_acquisitions_see(measured: Path) -> None:
    judge(measured)
    plan = read_plan(open_acquisition(measured, 1), REGISTERED, 0)
    assert plan is not None
    placed = [plan.placements[key] for key in sorted(plan.placements)]
    assert [one.source for one in placed] == [OF_FIRST.source, OF_SECOND.source]
    assert [one.destination for one in placed] == [OF_FIRST.region, OF_SECOND.region]
    assert placed[0].transform == BOTH["FOV_1"].transform
    assert plan.reference_tables.keys() >= {TABLE, REGISTERED}


def test_what_became_of_each_image_is_said_also_if_nothing_is_to_do(
    measured: Path,
) -> None:
    urls = well_urls(measured)
    expected = {urls[0]: "reference", urls[1]: "measured"}
    assert judge(measured) == expected
    before = tables_of(measured, versions_of)
    assert judge(measured) == expected
    assert tables_of(measured, versions_of) == before


def test_image_alone_in_its_well_has_nothing_to_register(measured: Path) -> None:
    alone = well_urls(measured)[:1]
    assert judge_well(alone, None, SETTINGS) == {alone[0]: "none"}
    assert judge_well(alone, None, SETTINGS) == {alone[0]: "none"}


def test_roi_that_an_acquisition_lacks_does_not_stop_the_others(
    measured: Path,
) -> None:
    image = open_acquisition(measured, 1)
    write_rows(image.url, [read_rows(image).rois["FOV_2"]])
    judge(measured)
    rows = read_rows(open_acquisition(measured, 1), REGISTERED).rois
    assert list(rows) == ["FOV_2"]
    assert record_of(measured, 1, "FOV_2").kept == pytest.approx(30 / 32)
    # Of the reference all of it is kept: nobody else sees it.
    assert record_of(measured, 0, "FOV_1").kept == 1
    plan = read_plan(open_acquisition(measured, 1), REGISTERED, 0)
    assert plan is not None
    assert list(plan.placements) == [RowKey("FOV_2")]
    assert list(plan.reference_tables[REGISTERED].rois) == ["FOV_2"]


def test_roi_of_another_name_is_registered_under_that_of_the_reference(
    measured: Path,
) -> None:
    image = open_acquisition(measured, 1)
    renamed = [
        roi.model_copy(update={"name": f"{name}_new"})
        for name, roi in read_rows(image).rois.items()
    ]
    write_rows(image.url, renamed)
    judge(measured)
    rows = read_rows(open_acquisition(measured, 1), REGISTERED).rois
    assert list(rows) == ["FOV_1", "FOV_2"]
    assert record_of(measured, 1, "FOV_2").status == "measured"


def test_image_that_only_its_order_pairs_and_nothing_confirms_is_left_out(
    plate: Path,
) -> None:
    store_estimates(image_url(plate, 1), dict.fromkeys(BOTH, moved_by(2, 0, 0.5)))
    urls = well_urls(plate)
    for _ in range(2):  # The second time nothing is to do, which is told likewise.
        outcomes = judge_well(urls, None, SETTINGS, unsure={urls[1]})
        assert outcomes == dict.fromkeys(urls, "none")
        for acquisition in (0, 1):
            plan = read_plan(open_acquisition(plate, acquisition), REGISTERED, 0)
            assert plan is not None
            assert not plan.placements
    assert record_of(plate, 1, "FOV_1").status == "unresolved"
    assert record_of(plate, 0, "FOV_1").status is None
    assert read_registered_rows(open_acquisition(plate, 0), REGISTERED) == []
    # It is judged as any other if it is the only candidate after all.
    assert judge_well(urls, None, SETTINGS)[urls[0]] == "reference"


def test_reference_of_another_plate_is_only_read(
    plate: Path, make_plate: MakePlate
) -> None:
    reference = image_url(make_plate("other.zarr", **TINY), 0)
    store_estimates(image_url(plate, 1), BOTH)
    before = tree_of(reference.path)
    urls = [reference, image_url(plate, 1)]
    for _ in range(2):
        outcomes = judge_well(urls, None, SETTINGS, is_reference_kept=True)
        assert outcomes == {urls[1]: "measured"}
    assert tree_of(reference.path) == before
    plan = read_plan(open_acquisition(plate, 1), REGISTERED, 5)
    assert plan is not None
    assert plan.reference_image == reference.zarr_url
    assert plan.placements[FIRST] == OF_FIRST


def test_rows_say_where_the_region_lies_and_what_was_decided(measured: Path) -> None:
    judge(measured)
    for acquisition, first_px in ((0, 2), (1, 0)):
        for roi in read_rows(open_acquisition(measured, acquisition), REGISTERED).rois:
            table = read_rows(open_acquisition(measured, acquisition), REGISTERED)
            part = table.rois[roi].get("y")
            assert part is not None
            assert part.start == pytest.approx(first_px * PIXEL_UM)
            assert part.length == pytest.approx(30 * PIXEL_UM)
    assert record_of(measured, 0, "FOV_2").status == "reference"
    record = record_of(measured, 1, "FOV_2")
    assert record.status == "measured"
    assert record.displacement_um == pytest.approx((0.0, 2 * PIXEL_UM, 0.0))
    # And what is left of the doubt: two agree, on a chip of 10 um.
    assert record.candidates[0].error_um == pytest.approx(0.02, abs=0.02)


def test_second_run_does_nothing_and_says_so(
    measured: Path, caplog: pytest.LogCaptureFixture
) -> None:
    judge(measured)
    before = tables_of(measured, versions_of)
    with caplog.at_level(logging.INFO):
        judge(measured)
    assert tables_of(measured, versions_of) == before
    assert "its 2 acquisitions were judged from the same estimates" in caplog.text


def test_rerun_judges_again_and_writes_the_same(measured: Path) -> None:
    judge(measured)
    content, versions = tables_of(measured), tables_of(measured, versions_of)
    judge(measured, rerun=True)
    assert tables_of(measured) == content
    assert tables_of(measured, versions_of) != versions


@pytest.mark.parametrize(
    ("acquisition", "columns"),
    [(0, {"a": "b"}), (1, {"a": "b"}), (1, {"translation_y": 3 * PIXEL_UM})],
    ids=["reference", "acquisition", "estimate"],
)
@pytest.mark.sampled(3)
def test_other_rows_are_judged(
    measured: Path, acquisition: int, columns: dict[str, Any]
) -> None:
    judge(measured)
    before = tables_of(measured, versions_of)
    edit_rows(image_url(measured, acquisition), columns)
    judge(measured)
    after = tables_of(measured, versions_of)
    name = f"{REGISTERED}/.zattrs"
    assert [one[name] for one in after] != [one[name] for one in before]


def test_other_settings_are_judged(measured: Path) -> None:
    judge(measured)
    judge(measured, keep="reference", fill_value=7.0)
    plan = read_plan(open_acquisition(measured, 1), REGISTERED, 0)
    assert plan is not None
    assert plan.fill_value == 7.0


def test_order_of_the_other_images_makes_no_difference(make_plate: MakePlate) -> None:
    plate = make_plate(**{**TINY, "acquisitions": 3, "labels": False})
    for acquisition in (1, 2):
        estimates = dict.fromkeys(BOTH, moved_by(acquisition, -acquisition))
        store_estimates(image_url(plate, acquisition), estimates)
    reference, *others = [image_url(plate, index) for index in range(3)]
    judge_well([reference, *others], None, SETTINGS)
    content = [tree_of(one.path / "tables") for one in (reference, *others)]
    judge_well([reference, *others[::-1]], None, SETTINGS, rerun=True)
    again = [image_url(plate, index).path / "tables" for index in range(3)]
    assert [tree_of(folder) for folder in again] == content


def test_well_without_estimates_is_a_missing_step(plate: Path) -> None:
    before = tables_of(plate)
    with pytest.raises(MissingStepError, match="ROI 'FOV_1', acquisition 1"):
        judge(plate)
    assert tables_of(plate) == before


def test_acquisitions_without_a_common_region_are_refused(plate: Path) -> None:
    store_estimates(image_url(plate, 1), dict.fromkeys(BOTH, moved_by(40, 0)))
    before = tables_of(plate)
    with pytest.raises(
        InvalidDataError, match=r"no ROI of which all.*ROI 'FOV_1': acq"
    ):
        judge(plate)
    assert tables_of(plate) == before


def test_roi_without_a_common_region_is_left_out_and_named(
    plate: Path, caplog: pytest.LogCaptureFixture
) -> None:
    far = {**BOTH, "FOV_2": moved_by(40, 0)}
    store_estimates(image_url(plate, 1), far)
    judge(plate, min_confidence=0.0)
    for index in (0, 1):
        rows = read_rows(open_acquisition(plate, index), REGISTERED).rois
        assert list(rows) == ["FOV_1"]
    assert "ROI 'FOV_2': excluded from all acquisitions" in caplog.text


@pytest.mark.parametrize(
    ("estimate", "settings"),
    [
        (moved_by(40, 0), {"min_confidence": 0.0}),
        (moved_by(2, 0, confidence=0.0), {"rejected": "exclude"}),
    ],
    ids=["no common region", "excluded"],
)
@pytest.mark.parametrize("acquisitions", [2, 3])
@pytest.mark.sampled(2)
def test_acquisition_of_which_no_roi_is_left_is_not_registered(
    make_plate: MakePlate,
    acquisitions: int,
    estimate: Candidate,
    settings: dict[str, Any],
) -> None:
    plate = make_plate(**{**TINY, "acquisitions": acquisitions})
    reference, poor, *good = [image_url(plate, one) for one in range(acquisitions)]
    write_rows(poor, [read_rows(open_acquisition(plate, 1)).rois["FOV_2"]])
    store_estimates(poor, {"FOV_2": estimate})
    for url in good:
        store_estimates(url, BOTH)
    changed = ConsensusSettings(**{**SETTINGS.model_dump(), **settings})
    for _ in range(2):  # The second time nothing is to do, which is told likewise.
        outcomes = judge_well([reference, poor, *good], None, changed)
        assert outcomes == {
            poor: "none",
            reference: "reference" if good else "none",
            **dict.fromkeys(good, "measured"),
        }
    plan = read_plan(open_acquisition(plate, 1), REGISTERED, 0)
    assert plan is not None
    assert not plan.placements
    assert record_of(plate, 1, "FOV_2").status == "unresolved"


def test_fill_value_that_pixels_cannot_hold_is_refused_if_it_is_needed(
    measured: Path,
) -> None:
    with pytest.raises(InvalidInputError, match=r"fill_value=0\.5"):
        judge(measured, keep="reference", fill_value=0.5)
    judge(measured, fill_value=0.5)


def test_plate_stands_in_for_a_well_in_which_nothing_is_believed(plate: Path) -> None:
    url = image_url(plate, 1)
    store_estimates(url, dict.fromkeys(BOTH, moved_by(9, 9, confidence=0.0)))
    movement = WellMovement(
        translation_um=(0.0, 2 * PIXEL_UM, 0.0), wells=3, scatter_um=0.5
    )
    evidence = PlateEvidence(input_roi_table=TABLE, movements={1: movement})
    judge_well(well_urls(plate), evidence, SETTINGS)
    record = record_of(plate, 1, "FOV_1")
    assert record.status == "imputed"
    assert record.displacement_um == pytest.approx(movement.translation_um)


def test_unresolved_roi_costs_the_others_no_pixels(plate: Path) -> None:
    """A probable estimate is kept, 20 px off, and copied as far as it is in sight."""
    apart = {"FOV_1": moved_by(20, 0, 0.5), "FOV_2": moved_by(-15, 10, 0.5)}
    store_estimates(image_url(plate, 1), apart)
    judge(plate)
    for acquisition, rows in ((0, (0, 32)), (1, (20, 32))):
        plan = read_plan(open_acquisition(plate, acquisition), REGISTERED, 0)
        assert plan is not None
        placement = plan.placements[FIRST]
        assert (placement.region.start[1], placement.region.stop[1]) == (0, 32)
        destination = placement.destination
        assert (destination.start[1], destination.stop[1]) == rows
    assert record_of(plate, 1, "FOV_1").status == "unresolved"


def test_unresolved_roi_that_would_leave_the_region_stays_where_it_is(
    plate: Path,
) -> None:
    apart = {"FOV_1": moved_by(40, 0, 0.5), "FOV_2": moved_by(-15, 10, 0.5)}
    store_estimates(image_url(plate, 1), apart)
    judge(plate)
    record = record_of(plate, 1, "FOV_1")
    assert record.status == "unresolved"
    assert record.displacement_um == (0, 0, 0)
    assert "nothing that is kept is there" in (record.reason or "")


def test_images_of_several_wells_are_refused(plate: Path) -> None:
    check_one_well(well_urls(plate))
    with pytest.raises(InvalidInputError, match="needed are images of one"):
        check_one_well([*well_urls(plate), image_url(plate, 0, "B/01")])


def test_estimates_against_another_image_are_refused(measured: Path) -> None:
    """Translations onto different references would be judged as if they were of one."""
    url = image_url(measured, 1)
    table = read_rows(open_acquisition(measured, 1), TABLE)
    record = Record(
        task="calculate_registration", inputs={"reference_image": "7"}, settings={}
    )
    rois = list(table.rois.values())
    replace_roi_table(url, TABLE, rois=rois, meta=table.meta, record=record.to_json())
    before = tables_of(measured)
    with pytest.raises(InvalidDataError, match=r"1.*against image '7'.*against '0'"):
        judge(measured)
    assert tables_of(measured) == before


@pytest.mark.parametrize("harm", ["removed", "cut"])
def test_registered_table_that_is_damaged_is_written_again(
    measured: Path, harm: str
) -> None:
    judge(measured)
    expected = tables_of(measured)
    folder = image_url(measured, 1).path / "tables" / REGISTERED
    if harm == "removed":
        shutil.rmtree(folder)
    else:
        file = max(folder.rglob(".zattrs"), key=lambda path: path.stat().st_size)
        file.write_bytes(file.read_bytes()[:-9])
    judge(measured)
    assert tables_of(measured) == expected


@pytest.mark.parametrize("name", ["nuclei_features", "well_ROI_table"])
def test_table_of_others_is_never_replaced(measured: Path, name: str) -> None:
    before = tables_of(measured)
    with pytest.raises(InvalidInputError, match=f"{name}.*would be lost"):
        judge(measured, registered_roi_table=name)
    assert tables_of(measured) == before


def test_edited_translation_is_believed(plate: Path) -> None:
    """Who corrects a field that was not recognised has looked at it."""
    store_estimates(image_url(plate, 1), UNSURE)
    edit = {"translation_y": 2 * PIXEL_UM, "translation_x": 0.0}
    edit_rows(image_url(plate, 1), edit)
    judge(plate)
    record = record_of(plate, 1, "FOV_2")
    assert record.status == "measured"
    assert record.displacement_um == pytest.approx((0.0, 2 * PIXEL_UM, 0.0))
    # Nothing of what was measured is left but the place.
    assert record.candidates[0].evidence == {}
