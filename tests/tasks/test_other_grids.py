"""Acquisitions with other sizes, planes, pixel sizes and places than the reference."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import gaussian_filter

from fractal_tasks.errors import InvalidDataError
from tests.tasks.foreign import (
    PIXEL_UM,
    SPACING,
    multiscale_of,
    read_array,
    write_plate,
)
from tests.tasks.plates import (
    read_table,
    run_apply,
    run_calculate,
    run_consensus,
    set_translations,
    tree_of,
)

MOVED_PX = (2, 3)
"""What lies at row 0 and column 0 of the acquisition is there in the reference."""


def scene(*shape: int) -> npt.NDArray[np.uint16]:
    """Give pixels that are all different, none of them 0."""
    rng = np.random.default_rng(0)
    count = int(np.prod(shape))
    return rng.permutation(np.arange(1, count + 1)).reshape(shape).astype(np.uint16)


def register(urls: list[str], **arguments: Any) -> list[str]:
    """Register by the known shift, without looking at the pixels."""
    y, x = MOVED_PX
    set_translations(urls[1], {"FOV_1": (0.0, y * PIXEL_UM, x * PIXEL_UM)})
    run_consensus(urls)
    return [update["zarr_url"] for update in run_apply(urls, **arguments)]


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize(
    ("planes", "height", "width"),
    [(3, 24, 28), (3, 40, 36), (3, 24, 40), (2, 32, 32), (5, 32, 32), (5, 20, 44)],
)
@pytest.mark.sampled(4)
def test_acquisition_of_another_size_gets_the_grid_of_the_reference(
    tmp_path: Path, planes: int, height: int, width: int, overwrite: bool
) -> None:
    everything = scene(1, 5, 48, 48)
    reference = everything[:, :3, :32, :32]
    y, x = MOVED_PX
    # It may see more than the scene has: a sample ends somewhere, too.
    moving = np.ones((1, planes, height, width), np.uint16)
    seen = everything[:, :planes, y : y + height, x : x + width]
    moving[:, :, : seen.shape[2], : seen.shape[3]] = seen
    urls = write_plate(
        tmp_path / "plate.zarr",
        [{"pixels": reference, "axes": "czyx"}, {"pixels": moving, "axes": "czyx"}],
    )
    first, second = map(read_array, register(urls, overwrite_input=overwrite))
    assert first.shape == second.shape == reference.shape
    kept = (
        slice(None),
        slice(min(3, planes)),
        slice(y, y + height),
        slice(x, x + width),
    )
    expected = np.zeros_like(reference)
    expected[kept] = reference[kept]
    np.testing.assert_array_equal(first, expected)
    np.testing.assert_array_equal(second, expected)


def test_labels_get_the_grid_of_their_image(tmp_path: Path) -> None:
    everything = scene(48, 48)
    moving = everything[2:26, 3:43]
    urls = write_plate(
        tmp_path / "plate.zarr",
        [
            {"pixels": everything[None, :32, :32]},
            {"pixels": moving[None], "labels": {"nuclei": moving.astype("int32")}},
        ],
    )
    register(urls)
    label, pixels = read_array(urls[1], "labels/nuclei/0"), read_array(urls[1])[0]
    assert label.shape == (32, 32)
    np.testing.assert_array_equal(label, pixels)
    assert read_array(urls[1], "labels/nuclei/1").shape == (16, 16)


@pytest.mark.parametrize("reference_axes", ["cyx", "czyx"])
@pytest.mark.parametrize("moving_axes", ["cyx", "czyx"])
def test_stack_beside_a_single_plane_keeps_its_planes(
    tmp_path: Path, reference_axes: str, moving_axes: str
) -> None:
    everything = scene(1, 4, 40, 40)
    shapes = {"cyx": (slice(None), 0), "czyx": (slice(None), slice(None))}
    reference = everything[shapes[reference_axes]][..., :32, :32]
    moving = everything[shapes[moving_axes]][..., 2:34, 3:35]
    urls = write_plate(
        tmp_path / "plate.zarr",
        [
            {"pixels": reference, "axes": reference_axes},
            {"pixels": moving, "axes": moving_axes},
        ],
    )
    for url, before in zip(register(urls), (reference, moving), strict=True):
        after = read_array(url)
        assert after.shape == before.shape
        common = everything[shapes["cyx" if before.ndim == 3 else "czyx"]]
        np.testing.assert_array_equal(after[..., 2:, 3:], common[..., 2:32, 3:32])


def test_single_planes_at_other_distances_are_one_plane(tmp_path: Path) -> None:
    everything = scene(1, 1, 40, 40)
    urls = write_plate(
        tmp_path / "plate.zarr",
        [
            {"pixels": everything[..., :32, :32], "axes": "czyx"},
            {
                "pixels": everything[..., 2:34, 3:35],
                "axes": "czyx",
                "spacing": {**SPACING, "z": 5.0},
            },
        ],
    )
    first, second = map(read_array, register(urls))
    np.testing.assert_array_equal(first, second)
    assert second.any()


def test_acquisition_with_larger_pixels_keeps_their_size(tmp_path: Path) -> None:
    everything = scene(1, 64, 64)
    large = {**SPACING, "y": 2 * PIXEL_UM, "x": 2 * PIXEL_UM}
    urls = write_plate(
        tmp_path / "plate.zarr",
        [
            {"pixels": everything[:, :33, :40]},
            {"pixels": everything[:, :24, :18], "spacing": large},
        ],
    )
    set_translations(urls[1], {"FOV_1": (0.0, 2 * PIXEL_UM, 0.0)})
    run_consensus(urls)
    run_apply(urls)
    # 33 rows of the reference are 16 whole rows of the acquisition, of which the
    # first is not seen; 18 columns are 36 of the reference.
    after = read_array(urls[1])
    assert after.shape == (1, 16, 20)
    np.testing.assert_array_equal(after[:, 1:, :18], everything[:, :15, :18])
    scale = multiscale_of(urls[1])["datasets"][0]["coordinateTransformations"][0]
    assert scale["scale"] == [1.0, 2 * PIXEL_UM, 2 * PIXEL_UM]


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "uint8", "int16", "uint32", "int64", "uint64", "float32"]
)
@pytest.mark.sampled(4)
def test_labels_of_any_type_are_registered(tmp_path: Path, dtype: str) -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 100, (32, 32)).astype(dtype)
    pixels = scene(1, 32, 32)
    urls = write_plate(
        tmp_path / "plate.zarr",
        [{"pixels": pixels}, {"pixels": pixels, "labels": {"nuclei": labels}}],
    )
    register(urls)
    after = read_array(urls[1], "labels/nuclei/0")
    assert after.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(after[2:, 3:], labels[:-2, :-3])


def test_label_that_is_no_label_is_refused_with_its_name(tmp_path: Path) -> None:
    pixels = scene(1, 32, 32)
    labels = {"nuclei": np.ones((32, 32), "complex64")}
    urls = write_plate(
        tmp_path / "plate.zarr",
        [{"pixels": pixels}, {"pixels": pixels, "labels": labels}],
    )
    set_translations(urls[1], {"FOV_1": (0.0, 0.0, 0.0)})
    before = tree_of(tmp_path / "plate.zarr")
    with pytest.raises(InvalidDataError, match=r"1: label 'nuclei'.*complex64"):
        run_consensus(urls)
    assert tree_of(tmp_path / "plate.zarr") == before


def blobs(planes: int) -> npt.NDArray[np.uint16]:
    """Give a stack of nuclei, larger than any image of it."""
    rng = np.random.default_rng(4)
    points = np.zeros((planes, 120, 120))
    points[tuple(rng.integers(0, size, 120) for size in points.shape)] = 40_000
    smooth = gaussian_filter(points, (1.0, 2.5, 2.5), mode="wrap")
    return (100 + smooth + rng.normal(0, 3, smooth.shape)).astype(np.uint16)


@pytest.mark.parametrize(
    ("fixed_planes", "moving_planes"),
    [(None, 6), (6, None), (1, 6), (6, 1), (None, 1), (6, 8), (8, 6)],
)
@pytest.mark.sampled(2)
def test_movement_is_measured_whatever_the_number_of_planes(
    tmp_path: Path, fixed_planes: int | None, moving_planes: int | None
) -> None:
    """None stands for an image without a z axis; one plane is a projection."""
    stack = blobs(8)

    def view(planes: int | None, y: int, x: int) -> dict[str, Any]:
        part = stack[None, :, y : y + 96, x : x + 96]
        if planes is None:
            return {"pixels": part.max(axis=1), "axes": "cyx"}
        if planes == 1:
            return {"pixels": part.max(axis=1, keepdims=True), "axes": "czyx"}
        return {"pixels": part[:, :planes], "axes": "czyx"}

    images = [view(fixed_planes, 10, 10), view(moving_planes, 13, 5)]
    urls = write_plate(tmp_path / "plate.zarr", images)
    run_calculate(urls, level_path="0")
    columns = read_table(urls[1]).rois["FOV_1"].model_extra or {}
    found_px = [columns[f"translation_{axis}"] / PIXEL_UM for axis in "yx"]
    assert found_px == pytest.approx([3, -5], abs=0.3)
    assert columns["translation_z"] == pytest.approx(0, abs=0.3)
