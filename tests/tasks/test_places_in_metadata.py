"""Registered images lie where the reference lies, whatever the stage position was."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.tasks.foreign import PIXEL_UM, multiscale_of, read_array, write_plate
from tests.tasks.plates import run_apply, run_consensus, set_translations, tree_of

Origins = Sequence[Mapping[str, float]]
NOWHERE: Origins = ({}, {})
STAGE: Origins = ({"y": 40.0, "x": -25.0},) * 2
REFERENCE: Origins = ({"y": 12.0, "x": 8.0},) * 2
CENTRES: Origins = ({}, {"y": PIXEL_UM / 2, "x": PIXEL_UM / 2})
"""Translations to the centre of the first pixel, as OME-Zarr means them."""


def origins_of(image: str, inner: str = "") -> npt.NDArray[np.float64]:
    """Give where the first pixel of each level lies (y, x), as OME-Zarr defines it."""
    multiscale = multiscale_of(image, inner)
    found = []
    for level in multiscale["datasets"]:
        place = np.zeros(2)
        for step in (
            *level["coordinateTransformations"],
            *multiscale.get("coordinateTransformations", ()),
        ):
            if step["type"] == "scale":
                place *= step["scale"][-2:]
            else:
                place += step["translation"][-2:]
        found.append(place)
    return np.array(found)


def register(
    tmp_path: Path,
    *places: Mapping[str, Any],
    zarr_format: int = 2,
    overwrite: bool = False,
) -> tuple[list[str], list[str]]:
    """Register an acquisition; give the urls before and after."""
    rng = np.random.default_rng(1)
    pixels = rng.integers(1, 999, (1, 32, 32)).astype("uint16")
    images = [
        {"pixels": pixels, "labels": {"nuclei": pixels[0]}, **place} for place in places
    ]
    urls = write_plate(tmp_path / "plate.zarr", images, zarr_format)
    set_translations(urls[1], {"FOV_1": (0.0, 2 * PIXEL_UM, 0.0)})
    run_consensus(urls)
    after = [one["zarr_url"] for one in run_apply(urls, overwrite_input=overwrite)]
    return urls, after


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    ("of_reference", "of_acquisition"),
    [
        (NOWHERE, STAGE),
        (REFERENCE, STAGE),
        (REFERENCE, NOWHERE),
        (CENTRES, STAGE),
        (REFERENCE, CENTRES),
    ],
)
@pytest.mark.sampled(2)
def test_every_level_has_the_place_of_the_reference(
    tmp_path: Path, of_reference: Origins, of_acquisition: Origins, zarr_format: int
) -> None:
    urls, after = register(
        tmp_path,
        {"origins": of_reference},
        {"origins": of_acquisition},
        zarr_format=zarr_format,
    )
    expected = origins_of(urls[0])
    for inner in ("", "labels/nuclei"):
        for url in after:
            np.testing.assert_allclose(origins_of(url, inner), expected, atol=1e-9)


def test_place_of_the_whole_pyramid_counts(tmp_path: Path) -> None:
    doubled = {"type": "scale", "scale": [1.0, 2.0, 2.0]}
    shifted = {"type": "translation", "translation": [0.0, 100.0, 50.0]}
    halved = {"z": 1.0, "y": PIXEL_UM / 2, "x": PIXEL_UM / 2}
    _, after = register(
        tmp_path,
        {"origins": REFERENCE},
        {"origins": STAGE, "outer": [doubled, shifted], "spacing": halved},
    )
    np.testing.assert_allclose(origins_of(after[1]), [[12.0, 8.0], [12.0, 8.0]])
    assert (read_array(after[0]) > 0).sum() == (read_array(after[1]) > 0).sum()


def test_place_is_written_in_the_unit_of_the_image(tmp_path: Path) -> None:
    nanometers = {
        "unit": "nanometer",
        "spacing": {"z": 1000.0, "y": 1000 * PIXEL_UM, "x": 1000 * PIXEL_UM},
    }
    _, after = register(tmp_path, {"origins": REFERENCE}, nanometers)
    np.testing.assert_allclose(origins_of(after[1])[0], [12_000.0, 8_000.0])


def test_acquisition_with_larger_pixels_lies_where_the_reference_begins(
    tmp_path: Path,
) -> None:
    """Its first pixel is larger, so that its centre is farther from the corner."""
    large = {"z": 1.0, "y": 2 * PIXEL_UM, "x": 2 * PIXEL_UM}
    _, after = register(tmp_path, {"origins": CENTRES}, {"spacing": large})
    first, second = origins_of(after[1])
    np.testing.assert_allclose(first, [PIXEL_UM / 2] * 2)
    np.testing.assert_allclose(second, [3 * PIXEL_UM / 2] * 2)


def test_metadata_that_are_right_stay_as_they_are(tmp_path: Path) -> None:
    urls, after = register(tmp_path, {"origins": REFERENCE}, {"origins": REFERENCE})
    for before, later in zip(urls, after, strict=True):
        assert multiscale_of(later) == multiscale_of(before)


def test_image_in_the_place_of_its_input_stays_where_it_is(tmp_path: Path) -> None:
    urls, _ = register(
        tmp_path, {"origins": REFERENCE}, {"origins": STAGE}, overwrite=True
    )
    np.testing.assert_allclose(origins_of(urls[1]), origins_of(urls[0]))
    before = tree_of(tmp_path / "plate.zarr")
    run_apply(urls)
    assert tree_of(tmp_path / "plate.zarr") == before
