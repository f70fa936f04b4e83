"""Lengths in the metadata are read in their unit; all else is micrometres."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import zarr

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.storage.plate.open_image import open_image
from fractal_tasks.storage.urls import parse_image_url
from tests.plain_plates import make_scene, see
from tests.tasks.foreign import (
    PIXEL_UM,
    TABLE,
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

FACTORS = {
    "micrometer": 1.0,
    "nanometer": 1000.0,
    "millimeter": 0.001,
    "meter": 1e-6,
    "angstrom": 10_000.0,
    "\N{MICRO SIGN}m": 1.0,
    "nm": 1000.0,
}
"""How many of a unit are a micrometre."""


def in_unit(unit: str | None, factor: float | None = None) -> dict[str, Any]:
    """Give the arguments of an image in a unit."""
    factor = FACTORS[str(unit)] if factor is None else factor
    size = {"z": factor, "y": PIXEL_UM * factor, "x": PIXEL_UM * factor}
    return {"unit": unit, "spacing": size}


def pixels() -> npt.NDArray[np.uint16]:
    rng = np.random.default_rng(2)
    return rng.integers(1, 999, (1, 40, 40)).astype(np.uint16)


def write_pair(plate: Path, first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    everything = pixels()
    return write_plate(
        plate,
        [
            {"pixels": everything[:, :32, :32], **first},
            {"pixels": everything[:, 2:34, 3:35], **second},
        ],
    )


@pytest.mark.parametrize("unit", FACTORS)
def test_pixel_sizes_and_rois_are_micrometres(tmp_path: Path, unit: str) -> None:
    urls = write_pair(tmp_path / "plate.zarr", in_unit(unit), in_unit(unit))
    image = open_image(parse_image_url(urls[0]))
    assert image.spacing_um == pytest.approx((1.0, PIXEL_UM, PIXEL_UM))
    roi = read_table(urls[0]).rois["FOV_1"]
    assert roi.get("y").length == pytest.approx(32 * PIXEL_UM)


@pytest.mark.parametrize("unit", ["nanometer", "millimeter", "angstrom"])
def test_rois_in_micrometres_are_read_beside_an_image_in_another_unit(
    tmp_path: Path, unit: str
) -> None:
    """As the columns of the table are named."""
    other = {**in_unit(unit), "roi_unit": 1 / FACTORS[unit]}
    urls = write_pair(tmp_path / "plate.zarr", other, other)
    roi = read_table(urls[0]).rois["FOV_1"]
    assert roi.get("y").length == pytest.approx(32 * PIXEL_UM)


@pytest.mark.parametrize("roi_unit", [1.0, 0.001])
@pytest.mark.parametrize("overwrite", [True, False])
def test_acquisitions_in_two_units_are_registered(
    tmp_path: Path, overwrite: bool, roi_unit: float
) -> None:
    urls = write_pair(
        tmp_path / "plate.zarr",
        in_unit("micrometer"),
        {**in_unit("nanometer"), "roi_unit": roi_unit},
    )
    set_translations(urls[1], {"FOV_1": (0.0, 2 * PIXEL_UM, 3 * PIXEL_UM)})
    run_consensus(urls)
    done = [one["zarr_url"] for one in run_apply(urls, overwrite_input=overwrite)]
    first, second = map(read_array, done)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first[:, 2:, 3:], pixels()[:, 2:32, 3:32])
    tables = [read_table(url).rois["FOV_1"].get("x").length for url in done]
    assert tables == pytest.approx([32 * PIXEL_UM] * 2)


def test_measuring_again_in_another_unit_does_nothing(tmp_path: Path) -> None:
    odd = in_unit("nanometer", 1000 / 3)
    urls = write_pair(tmp_path / "plate.zarr", odd, odd)
    run_calculate(urls, level_path="0")
    stored = tree_of(tmp_path / "plate.zarr")
    run_calculate(urls, level_path="0")
    assert tree_of(tmp_path / "plate.zarr") == stored


def test_table_keeps_its_unit(tmp_path: Path) -> None:
    """What reads it by ngio needs the unit of the image; others that of the table."""
    urls = write_pair(
        tmp_path / "plate.zarr",
        in_unit("nanometer"),
        {**in_unit("nanometer"), "roi_unit": 0.001},
    )
    set_translations(urls[0], {"FOV_1": (0.0, 0.0, 0.0)})
    set_translations(urls[1], {"FOV_1": (0.0, 0.0, 0.0)})
    run_consensus(urls)
    run_calculate(urls, level_path="0")
    for url, unit_um in zip(urls, (0.001, 1.0), strict=True):
        for name in (TABLE, f"{TABLE}_registered"):
            assert read_table(url, name).unit_um[1] == unit_um


def test_missing_unit_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    urls = write_pair(tmp_path / "plate.zarr", in_unit(None, 1.0), in_unit(None, 1.0))
    with caplog.at_level(logging.WARNING):
        image = open_image(parse_image_url(urls[0]))
    assert image.spacing_um == (1.0, PIXEL_UM, PIXEL_UM)
    assert f"{urls[0]}: its metadata have no unit of length" in caplog.text
    assert "missing_length_unit" in caplog.text


def seen(shift_px: tuple[int, int]) -> npt.NDArray[np.uint16]:
    return np.asarray(see(make_scene(7, 64), shift_px)[None])


def units_of(image: str) -> list[object]:
    return [axis.get("unit") for axis in multiscale_of(image)["axes"]]


@pytest.mark.parametrize("of_reference", [None, "micrometer"])
@pytest.mark.parametrize("of_acquisition", [None, "nanometer"])
@pytest.mark.sampled(2)
def test_missing_unit_is_given_once_and_known_to_all_steps(
    tmp_path: Path, of_reference: str | None, of_acquisition: str | None
) -> None:
    """Also where the reference has none, of which *calculate* writes nothing."""
    plate = tmp_path / "plate.zarr"
    first = in_unit(of_reference, FACTORS[of_reference or "nanometer"])
    second = in_unit(of_acquisition, FACTORS[of_acquisition or "nanometer"])
    urls = write_plate(
        plate,
        [{"pixels": seen((0, 0)), **first}, {"pixels": seen((-4, 6)), **second}],
    )
    before = [(Path(url) / ".zattrs").read_bytes() for url in urls]
    run_calculate(urls, level_path="0", missing_length_unit="nanometer")
    row = read_table(urls[1]).rois["FOV_1"].model_extra or {}
    found_px = [row[f"translation_{axis}"] / PIXEL_UM for axis in "yx"]
    assert found_px == pytest.approx([4, -6], abs=0.3)
    run_consensus(urls)
    assert before == [(Path(url) / ".zattrs").read_bytes() for url in urls]
    assert open_image(parse_image_url(urls[0])).spacing_um[1:] == pytest.approx(
        (PIXEL_UM, PIXEL_UM)
    )
    done = [one["zarr_url"] for one in run_apply(urls, overwrite_input=False)]
    kept = [read_array(url)[:, 4:, :58].astype(float) for url in done]
    assert np.corrcoef(kept[0].ravel(), kept[1].ravel())[0, 1] > 0.98
    assert units_of(done[0])[1:] == [of_reference or "nanometer"] * 2
    assert units_of(done[1])[1:] == ["nanometer"] * 2


def test_unit_that_was_given_can_be_corrected(tmp_path: Path) -> None:
    plain = in_unit(None, 1.0)
    urls = write_pair(tmp_path / "plate.zarr", plain, plain)
    for unit, pixel_um in (("millimeter", 500.0), ("micrometer", 0.5)):
        run_calculate(urls, level_path="0", missing_length_unit=unit)
        run_consensus(urls)
        for url in urls:
            image = open_image(parse_image_url(url))
            assert image.spacing_um[1:] == (pixel_um, pixel_um)


def test_unit_that_makes_pixels_a_thousand_times_smaller_is_refused(
    tmp_path: Path,
) -> None:
    plate = tmp_path / "plate.zarr"
    urls = write_pair(plate, in_unit("micrometer", 1.0), in_unit(None, 1.0))
    before = tree_of(plate)
    with pytest.raises(InvalidDataError, match=r"0.0005 um.*missing_length_unit"):
        run_calculate(urls, level_path="0", missing_length_unit="nanometer")
    assert tree_of(plate) == before
    run_calculate(urls, level_path="0")


def test_unit_that_is_noted_and_none_is_refused(tmp_path: Path) -> None:
    urls = write_pair(tmp_path / "plate.zarr", in_unit(None, 1.0), in_unit(None, 1.0))
    tables = zarr.open_group(f"{urls[0]}/tables", mode="r+")
    tables.attrs["missing_length_unit"] = "furlong"
    with pytest.raises(InvalidDataError, match=r"0: .*: 'furlong'"):
        open_image(parse_image_url(urls[0]))


@pytest.mark.parametrize("unit", ["pixel", "second", "furlong"])
def test_unit_that_is_no_length_is_refused_with_its_name(
    tmp_path: Path, unit: str
) -> None:
    with pytest.raises(InvalidDataError, match=rf"plate.zarr/A/01/0: .*'{unit}'"):
        write_and_open(tmp_path / "plate.zarr", {"unit": unit})


def test_axes_may_have_units_of_their_own(tmp_path: Path) -> None:
    units = {"z": "micrometer", "y": "nanometer", "x": "nanometer"}
    size = {"z": 2.0, "y": 500.0, "x": 500.0}
    image = write_and_open(
        tmp_path / "plate.zarr",
        {"axes": "czyx", "unit": units, "spacing": size},
        np.ones((1, 3, 32, 32), np.uint16),
    )
    assert image.spacing_um == pytest.approx((2.0, 0.5, 0.5))


def write_and_open(
    plate: Path, arguments: dict[str, Any], values: npt.NDArray[Any] | None = None
) -> Any:
    """Write a plate with one image, and open it."""
    values = pixels() if values is None else values
    (url,) = write_plate(plate, [{"pixels": values, **arguments}])
    return open_image(parse_image_url(url))
