"""Calculate Registration: what it stores, against the truth of synthetic plates."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr
from ngio import Roi, RoiTable, create_ome_zarr_from_array, open_ome_zarr_container

from fractal_tasks.errors import InvalidDataError, InvalidInputError
from fractal_tasks.model import CalculateSettings
from fractal_tasks.records.provenance import Record
from fractal_tasks.registration.phase_cross_correlation import PhaseCrossCorrelation
from fractal_tasks.synthetic import load_truth
from tests.conftest import MakePlate
from tests.tasks.plates import (
    TABLE,
    WELL,
    Vector,
    image_urls,
    read_pixels,
    read_table,
    run_calculate,
    tree_of,
)

PIXEL_UM = 0.325
TOLERANCE_PX = 0.1
"""Largest error of a stored translation where the images hold the information."""


def stored(zarr_url: str, table: str = TABLE) -> dict[str, Vector]:
    vectors = {}
    for name, roi in read_table(zarr_url, table).rois.items():
        extra = roi.model_extra or {}
        z, y, x = (float(extra[f"translation_{axis}"]) for axis in "zyx")
        vectors[name] = (z, y, x)
    return vectors


def confidence(zarr_url: str, name: str) -> float:
    extra = read_table(zarr_url).rois[name].model_extra or {}
    return float(extra["registration_confidence"])


def assert_true(
    plate: Path, acquisition: int, tolerance_px: float = TOLERANCE_PX
) -> None:
    truth = load_truth(plate)
    for name, found in stored(f"{plate}/{WELL}/{acquisition}").items():
        expected = truth.field(WELL, acquisition, name).translation_um
        error_px = np.abs(np.subtract(found, expected))[1:] / PIXEL_UM
        assert error_px.max() < tolerance_px, (name, found, expected)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ngff_version": "0.5"},
        {"axes": "yx", "channels": 1},
        {"axes": "zyx", "channels": 1},
        {"axes": "cyx"},
        {"axes": "tyx", "channels": 1},
        {"axes": "tczyx"},
        {"dtype": "float32"},
    ],
    ids=["czyx", "v05", "yx", "zyx", "cyx", "tyx", "tczyx", "float"],
)
@pytest.mark.sampled(4)
def test_stored_translation_is_the_true_one(
    make_plate: MakePlate, options: dict[str, object]
) -> None:
    plate = make_plate(**options)
    run_calculate(image_urls(plate))
    for acquisition in (1, 2):
        assert_true(plate, acquisition)


@pytest.mark.parametrize(
    ("method", "tolerance_px"),
    [
        ("phase_cross_correlation", TOLERANCE_PX),
        # Bright structures count most: debris of one acquisition pulls within a pixel.
        ("chi2_shift", 1.0),
    ],
)
@pytest.mark.parametrize("level_path", ["0", "2"])
def test_result_is_exact_whatever_level_it_starts_from(
    make_plate: MakePlate, method: str, level_path: str, tolerance_px: float
) -> None:
    plate = make_plate()
    run_calculate(image_urls(plate)[:2], method=method, level_path=level_path)
    assert_true(plate, 1, tolerance_px=tolerance_px)


def test_block_further_in_the_acquisition_has_a_negative_translation(
    make_plate: MakePlate,
) -> None:
    plate = make_plate()
    url = image_urls(plate)[1]
    reference = read_pixels(image_urls(plate)[0])
    image = open_ome_zarr_container(url).get_image()
    image.set_array(np.roll(reference, (4, 0), axis=(-2, -1)))
    image.consolidate(mode="numpy")
    run_calculate(image_urls(plate)[:2])
    for vector in stored(url).values():
        np.testing.assert_allclose(vector, (0, -4 * PIXEL_UM, 0), atol=0.02)


def test_stack_is_registered_in_z_as_well(make_plate: MakePlate) -> None:
    plate = make_plate(planes=8, fields_x=1, acquisitions=2, z_shift_um=2.0)
    run_calculate(image_urls(plate, 2))
    assert_true(plate, 1)
    expected = load_truth(plate).field(WELL, 1, "FOV_1").translation_um[0]
    assert stored(image_urls(plate)[1])["FOV_1"][0] == pytest.approx(expected, abs=0.3)


@pytest.mark.parametrize("method", ["phase_cross_correlation", "chi2_shift"])
def test_projection_of_a_stack_leaves_z_alone(
    make_plate: MakePlate, method: str
) -> None:
    plate = make_plate(planes=8, fields_x=1, acquisitions=2, z_shift_um=2.0)
    run_calculate(image_urls(plate, 2), dimensions="2d", method=method)
    assert stored(image_urls(plate)[1])["FOV_1"][0] == 0
    assert_true(plate, 1, tolerance_px=0.3)


@pytest.mark.parametrize("planes", ["4", "2-6"])
def test_some_planes_tell_where_all_are(make_plate: MakePlate, planes: str) -> None:
    """The same planes of both: what they show moved, and so did the whole stack."""
    plate = make_plate(planes=8, fields_x=1, acquisitions=2, z_shift_um=1.0)
    run_calculate(image_urls(plate, 2), planes=planes)
    assert_true(plate, 1, tolerance_px=0.3)
    expected = load_truth(plate).field(WELL, 1, "FOV_1").translation_um[0]
    assert stored(image_urls(plate)[1])["FOV_1"][0] == pytest.approx(expected, abs=0.5)


def test_one_plane_leaves_z_alone(make_plate: MakePlate) -> None:
    plate = make_plate(planes=8, fields_x=1, acquisitions=2)
    run_calculate(image_urls(plate, 2), planes="1")
    assert stored(image_urls(plate)[1])["FOV_1"][0] == 0
    assert_true(plate, 1, tolerance_px=0.3)


def test_planes_that_are_not_there_are_named(make_plate: MakePlate) -> None:
    with pytest.raises(InvalidInputError, match=r"FOV_1.*planes='3-20'"):
        run_calculate(image_urls(make_plate(planes=8), 2), planes="3-20")


def test_local_brightness_does_not_harm(make_plate: MakePlate) -> None:
    plate = make_plate()
    run_calculate(image_urls(plate, 2), normalize="local")
    assert_true(plate, 1)


def test_method_for_planes_refuses_a_stack(make_plate: MakePlate) -> None:
    plate = make_plate(planes=8, fields_x=1, acquisitions=2, z_shift_um=2.0)
    before = tree_of(plate)
    with pytest.raises(InvalidInputError, match="dimensions='2d'"):
        run_calculate(image_urls(plate, 2), method="chi2_shift")
    assert tree_of(plate) == before


def test_3d_needs_a_stack(make_plate: MakePlate) -> None:
    with pytest.raises(InvalidInputError, match="one plane"):
        run_calculate(image_urls(make_plate()), dimensions="3d")


def test_empty_field_is_recognised(make_plate: MakePlate) -> None:
    plate = make_plate(empty_fields=1)
    run_calculate(image_urls(plate))
    truth = load_truth(plate)
    for acquisition in (1, 2):
        url = image_urls(plate)[acquisition]
        for name in ("FOV_1", "FOV_2"):
            empty = truth.field(WELL, acquisition, name).empty
            assert (confidence(url, name) < 0.5) == empty


def test_whole_well_is_registered_as_one_roi(make_plate: MakePlate) -> None:
    plate = make_plate(stage_jitter_um=0.0)
    run_calculate(image_urls(plate), input_roi_table="well_ROI_table")
    expected = load_truth(plate).field(WELL, 1, "FOV_1").translation_um
    (found,) = stored(image_urls(plate)[1], "well_ROI_table").values()
    error_px = np.abs(np.subtract(found, expected)) / PIXEL_UM
    assert error_px[1:].max() < TOLERANCE_PX


def test_rois_are_paired_by_name_not_by_order(make_plate: MakePlate) -> None:
    plate = make_plate()
    url = image_urls(plate)[1]
    rois = list(read_table(url).rois.values())
    open_ome_zarr_container(url).add_table(
        TABLE, RoiTable(rois=rois[::-1]), overwrite=True
    )
    run_calculate(image_urls(plate)[:2])
    assert list(read_table(url).rois) == ["FOV_2", "FOV_1"]
    assert_true(plate, 1)


def test_rois_of_different_size_are_compared_on_what_both_cover(
    make_plate: MakePlate,
) -> None:
    plate = make_plate()
    url = image_urls(plate)[1]
    rois = [
        roi.update_slice(name="y", new_slice=(0.0, 200 * PIXEL_UM))
        for roi in read_table(url).rois.values()
    ]
    open_ome_zarr_container(url).add_table(TABLE, RoiTable(rois=rois), overwrite=True)
    run_calculate(image_urls(plate)[:2])
    assert_true(plate, 1)


def test_roi_elsewhere_in_the_acquisition_gives_the_same_translation(
    make_plate: MakePlate,
) -> None:
    plate = make_plate()
    url = image_urls(plate)[1]
    rois = []
    for roi in read_table(url).rois.values():
        start = roi["x"].start or 0.0
        rois.append(
            roi.update_slice(
                name="y", new_slice=(20 * PIXEL_UM, 230 * PIXEL_UM)
            ).update_slice(name="x", new_slice=(start + 10 * PIXEL_UM, 240 * PIXEL_UM))
        )
    open_ome_zarr_container(url).add_table(TABLE, RoiTable(rois=rois), overwrite=True)
    run_calculate(image_urls(plate)[:2])
    assert_true(plate, 1)


def test_acquisition_with_another_pixel_size_is_brought_to_one_grid(
    make_plate: MakePlate,
) -> None:
    plate = make_plate()
    url = image_urls(plate)[1]
    table = RoiTable(rois=list(read_table(url).rois.values()))
    coarse = read_pixels(url, path="1")
    shutil.rmtree(url)
    container = create_ome_zarr_from_array(
        url,
        coarse,
        pixelsize=2 * PIXEL_UM,
        z_spacing=1.0,
        levels=3,
        axes_names="czyx",
        ngff_version="0.4",
        channels_meta=["A01_C01", "A02_C02"],
        consolidation_mode="numpy",
    )
    container.add_table(TABLE, table)
    run_calculate(image_urls(plate)[:2], level_path="1")
    assert_true(plate, 1, tolerance_px=0.3)


def test_stored_columns_and_record(make_plate: MakePlate) -> None:
    plate = make_plate()
    url = image_urls(plate)[1]
    run_calculate(image_urls(plate)[:2])
    table = read_table(url)
    extra = table.rois["FOV_1"].model_extra or {}
    assert set(extra) >= {
        "translation_z", "translation_y", "translation_x",
        "registration_confidence", "registration_status",
        "registration_similarity_before", "registration_similarity_after",
        "registration_overlap", "transform",
    }  # fmt: skip
    assert extra["registration_status"] == "measured"
    assert (
        extra["registration_similarity_after"] > extra["registration_similarity_before"]
    )
    transform = json.loads(extra["transform"])
    assert transform["type"] == "translation"
    np.testing.assert_allclose(transform["translation"], stored(url)["FOV_1"])
    record = Record.read(table.record)
    assert record is not None
    assert record.inputs["reference_image"] == "0"
    settings = CalculateSettings.model_validate(record.settings)
    assert settings.wavelength_id == "A01_C01"
    assert settings.method["type"] == "phase_cross_correlation"
    reference = read_table(image_urls(plate)[0]).rois["FOV_1"]
    assert "translation_y" not in (reference.model_extra or {})


def test_second_run_stores_the_same(make_plate: MakePlate) -> None:
    plate = make_plate()
    run_calculate(image_urls(plate)[:2])
    before = tree_of(plate)
    run_calculate(image_urls(plate)[:2])
    assert tree_of(plate) == before


def test_method_object_and_its_name_are_the_same(make_plate: MakePlate) -> None:
    plate = make_plate()
    results = []
    for method in (
        "phase_cross_correlation",
        PhaseCrossCorrelation(),
        {"type": "phase_cross_correlation"},
    ):
        run_calculate(image_urls(plate)[:2], method=method)
        results.append(stored(image_urls(plate)[1]))
    assert results[0] == results[1] == results[2]


def test_table_of_older_software_without_type_is_read(make_plate: MakePlate) -> None:
    plate = make_plate(table_backend="anndata")
    for url in image_urls(plate)[:2]:
        group = zarr.open_group(f"{url}/tables/{TABLE}", mode="r+")
        kept = ("encoding-type", "encoding-version")
        group.attrs.put({key: group.attrs[key] for key in kept})
    run_calculate(image_urls(plate)[:2])
    assert_true(plate, 1)


def test_roi_without_z_stands_for_all_planes(make_plate: MakePlate) -> None:
    plate = make_plate(table_backend="json")
    for url in image_urls(plate)[:2]:
        rois = [
            Roi.from_values(
                name=name, slices={"x": (x * PIXEL_UM, 256 * PIXEL_UM), "y": (0, 83.2)}
            )
            for name, x in (("FOV_1", 0), ("FOV_2", 256))
        ]
        open_ome_zarr_container(url).add_table(
            TABLE, RoiTable(rois=rois), overwrite=True
        )
    run_calculate(image_urls(plate)[:2])
    assert_true(plate, 1)


def test_several_timepoints_are_an_error_that_says_what_to_do(
    make_plate: MakePlate,
) -> None:
    plate = make_plate(axes="tczyx", timepoints=2)
    before = tree_of(plate)
    with pytest.raises(
        InvalidDataError, match=r"2 timepoints.*one image per timepoint"
    ):
        run_calculate(image_urls(plate))
    assert tree_of(plate) == before
