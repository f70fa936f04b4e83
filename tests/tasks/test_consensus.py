"""Find Registration Consensus: what it writes, what it refuses."""

from pathlib import Path

import numpy as np
import pytest
import zarr

from fractal_tasks.errors import InvalidDataError, InvalidInputError, MissingStepError
from tests.conftest import MakePlate
from tests.tasks.plates import (
    REGISTERED,
    TABLE,
    Vector,
    image_urls,
    read_table,
    run_consensus,
    set_translations,
    tree_of,
    write_rois_of,
)

PIXEL_UM = 0.325


def everywhere(y_px: float, x_px: float) -> dict[str, Vector]:
    vector = (0.0, y_px * PIXEL_UM, x_px * PIXEL_UM)
    return {"FOV_1": vector, "FOV_2": vector}


def prepared(make_plate: MakePlate, **options: object) -> tuple[Path, list[str]]:
    plate = make_plate(**options)
    urls = image_urls(plate)
    set_translations(urls[1], everywhere(10, 0), registration_confidence=0.9)
    set_translations(urls[2], everywhere(0, -7.4), registration_confidence=0.9)
    return plate, urls


def box_um(zarr_url: str, name: str) -> list[float]:
    roi = read_table(zarr_url, REGISTERED).rois[name]
    return [value for axis in "yx" for value in (roi[axis].start, roi[axis].length)]


def test_registered_tables_hold_the_common_region_in_each_frame(
    make_plate: MakePlate,
) -> None:
    _, urls = prepared(make_plate)
    run_consensus(urls)
    # Rows 10..256 and columns 0..249 of each field of 256 px, in the reference.
    size = [246 * PIXEL_UM, 249 * PIXEL_UM]
    for url, (y, x) in zip(urls, [(10, 0), (0, 0), (10, 7)], strict=True):
        for name, left in (("FOV_1", 0), ("FOV_2", 256)):
            found = box_um(url, name)
            expected = [y * PIXEL_UM, size[0], (left + x) * PIXEL_UM, size[1]]
            np.testing.assert_allclose(found, expected, atol=1e-6)


def test_input_table_and_image_are_left_as_they_were(make_plate: MakePlate) -> None:
    plate, urls = prepared(make_plate)
    before = tree_of(plate)
    run_consensus(urls)
    after = tree_of(plate)
    new = {name for name in after if name not in before}
    assert all(REGISTERED in name for name in new)
    changed = {name for name in before if after[name] != before[name]}
    assert {Path(name).parent.name for name in changed} == {"tables"}


def test_second_run_writes_the_same(make_plate: MakePlate) -> None:
    plate, urls = prepared(make_plate)
    run_consensus(urls)
    before = tree_of(plate)
    run_consensus(urls)
    assert tree_of(plate) == before


@pytest.mark.parametrize("backend", ["anndata", "json", "csv", "parquet"])
@pytest.mark.sampled(2)
def test_table_backend_of_the_input_is_kept(
    make_plate: MakePlate, backend: str
) -> None:
    _, urls = prepared(make_plate, table_backend=backend)
    run_consensus(urls)
    for url in urls:
        attributes = zarr.open_group(f"{url}/tables/{REGISTERED}").attrs
        assert str(attributes["backend"]).startswith(backend)
        assert attributes["type"] == "roi_table"
    np.testing.assert_allclose(box_um(urls[2], "FOV_1")[2], 7 * PIXEL_UM)


def test_unbelieved_estimate_crops_nothing(make_plate: MakePlate) -> None:
    _, urls = prepared(make_plate)
    rois = list(read_table(urls[1]).rois.values())
    wrong = {"translation_y": 75.0, "registration_confidence": 0.1}
    sure = {"registration_confidence": 0.99}
    write_rois_of(
        urls[1], [rois[0].model_copy(update=sure), rois[1].model_copy(update=wrong)]
    )
    updates = run_consensus(urls)
    found = [update["attributes"]["registration"] for update in updates]
    assert found == ["reference", "partly_imputed", "measured"]
    assert run_consensus(urls) == updates
    assert box_um(urls[0], "FOV_2")[1] == pytest.approx(246 * PIXEL_UM)
    extra = read_table(urls[1], REGISTERED).rois["FOV_2"].model_extra or {}
    assert extra["registration_status"] == "imputed"
    assert "confidence 0.10" in extra["registration_reason"]
    assert extra["translation_y"] == pytest.approx(10 * PIXEL_UM)


def test_nothing_believable_is_unresolved_and_crops_nothing(
    make_plate: MakePlate,
) -> None:
    _, urls = prepared(make_plate)
    run_consensus(urls)
    before = box_um(urls[0], "FOV_1")
    set_translations(urls[2], everywhere(0, 0), registration_confidence=0.3)
    run_consensus(urls)
    # The other acquisition alone says what is kept.
    assert np.greater_equal(box_um(urls[0], "FOV_1"), before).any()
    extra = read_table(urls[2], REGISTERED).rois["FOV_1"].model_extra or {}
    assert extra["registration_status"] == "unresolved"
    assert "confidence 0.30" in extra["registration_reason"]


def test_tables_without_confidence_are_believed(make_plate: MakePlate) -> None:
    """Tables that fractal-tasks-core wrote hold translations only."""
    plate = make_plate()
    urls = image_urls(plate)
    for url in urls[1:]:
        set_translations(url, everywhere(3, 0))
    run_consensus(urls)
    assert box_um(urls[0], "FOV_1")[0] == pytest.approx(3 * PIXEL_UM)


def test_reference_need_not_be_acquisition_0(make_plate: MakePlate) -> None:
    plate = make_plate()
    urls = image_urls(plate)
    for url in (urls[0], urls[2]):
        set_translations(url, everywhere(4, 0))
    run_consensus(urls, reference_acquisition=1)
    assert box_um(urls[1], "FOV_1")[0] == pytest.approx(4 * PIXEL_UM)
    assert box_um(urls[0], "FOV_1")[0] == pytest.approx(0)


def test_no_common_region_names_roi_acquisitions_and_shifts(
    make_plate: MakePlate,
) -> None:
    plate, urls = prepared(make_plate)
    set_translations(urls[1], everywhere(200, 0))
    set_translations(urls[2], everywhere(-100, 0))
    before = tree_of(plate)
    with pytest.raises(
        InvalidDataError, match=r"ROI 'FOV_1'.*acquisition 1: .*65\.0.*acquisition 2: "
    ):
        run_consensus(urls)
    assert tree_of(plate) == before


@pytest.mark.parametrize("name", [TABLE, "{input_roi_table}"])
def test_table_name_equal_to_the_input_is_refused(
    make_plate: MakePlate, name: str
) -> None:
    plate, urls = prepared(make_plate)
    before = tree_of(plate)
    with pytest.raises(InvalidInputError, match="overwrite"):
        run_consensus(urls, registered_roi_table=name)
    assert tree_of(plate) == before


@pytest.mark.parametrize("name", ["", "../evil", ".hidden", "{wrong}", "a/b"])
def test_table_name_that_is_no_plain_name_is_refused(
    make_plate: MakePlate, name: str
) -> None:
    _, urls = prepared(make_plate)
    with pytest.raises(InvalidInputError, match="registered_roi_table"):
        run_consensus(urls, registered_roi_table=name)


def test_consensus_before_calculate_says_which_task_to_run(
    make_plate: MakePlate,
) -> None:
    plate = make_plate()
    before = tree_of(plate)
    with pytest.raises(MissingStepError, match=r"acquisition 1 .*Calculate"):
        run_consensus(image_urls(plate))
    assert tree_of(plate) == before


def test_translation_that_is_not_a_number_is_an_error(make_plate: MakePlate) -> None:
    plate, urls = prepared(make_plate)
    vectors = {**everywhere(1, 1), "FOV_2": (0.0, float("nan"), 0.0)}
    set_translations(urls[2], vectors)
    before = tree_of(plate)
    with pytest.raises(MissingStepError, match=r"ROI 'FOV_2', acquisition 2.*nan"):
        run_consensus(urls)
    assert tree_of(plate) == before
