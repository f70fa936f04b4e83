"""Plates of four writers, in two versions, with all that public bug reports tell of.

In each plate several things are unusual at once: every two of them meet in one of these
plates. The gate has a third of them; `make e2e` writes each by every writer in each
version.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import zarr

from fractal_tasks.cli import main
from fractal_tasks.storage.plate.open_image import open_image
from fractal_tasks.storage.plate.roi_tables import read_roi_table
from fractal_tasks.storage.urls import parse_image_url
from tests.cli.helpers import IN_PROCESS, Capture
from tests.writers import faults, plates
from tests.writers.plan import FACTORS, Case, plan_cases
from tests.writers.plates import OTHER_WELL, WELL, Pair, binning_of
from tests.writers.scene import MASK_LEVEL, PIXEL_UM, SHIFT_PX, Pixels

PAIRWISE = plan_cases(FACTORS)
PRODUCT = [
    {**case, "writer": writer, "version": version}
    for writer in FACTORS["writer"]
    for version in FACTORS["version"]
    for case in PAIRWISE
]

Places = npt.NDArray[np.float64]


def name(case: Case) -> str:
    unusual = {key: value for key, value in case.items() if value != FACTORS[key][0]}
    return "-".join(unusual.values()).replace(" ", "_") or "plain"


@pytest.mark.parametrize("case", PAIRWISE[::3], ids=name)
@pytest.mark.sampled(8)
def test_plate_is_registered_as_it_was_moved(
    case: Case, tmp_path: Path, capsys: Capture
) -> None:
    check(case, tmp_path, capsys)


@pytest.mark.e2e
@pytest.mark.parametrize("case", PRODUCT, ids=lambda case: name(case))
def test_plate_of_every_writer_is_registered_as_it_was_moved(
    case: Case, tmp_path: Path, capsys: Capture
) -> None:
    check(case, tmp_path, capsys)


def check(case: Case, tmp_path: Path, capsys: Capture) -> None:
    plate = tmp_path / "plate.zarr"
    plates.create(plate, case)
    pairs = plates.pairs_of(case)
    paths = [path for pair in pairs for path in (pair.reference, pair.acquisition)]
    before = {path: files_of(plate / WELL / path) for path in paths}
    places = {pair: places_of(plate / WELL / pair.reference) for pair in pairs}
    code = main(["register", str(plate), *IN_PROCESS, *arguments_for(case)])
    said = capsys.readouterr()
    is_bad = case["wells"] in ("gone", "damaged")
    assert code == int(is_bad), said.err
    if is_bad:
        assert f"{plate}/{OTHER_WELL}" in said.err
    if case["fields"] == "missing":
        assert "['FOV_2']" in said.err
    suffix = "_registered" if case["output"] == "beside" else ""
    for pair in pairs:
        reference, acquisition = (
            plate / WELL / f"{path}{suffix}"
            for path in (pair.reference, pair.acquisition)
        )
        check_shift(case, acquisition)
        kept = check_pixels(case, pair, reference, acquisition)
        check_places(case, places[pair], acquisition)
        check_extras(case, pair, acquisition, kept)
    if case["output"] == "beside":
        for path, files in before.items():
            assert files_of(plate / WELL / path) == files


def arguments_for(case: Case) -> list[str]:
    arguments = ["--wavelength-id", "0"]
    if case["channels"] != "own":
        arguments = list(faults.CHANNELS[case["channels"]][1])
    if case["unit"] == "missing":
        arguments += ["--missing-length-unit", "nanometer"]
    if case["output"] == "beside":
        arguments.append("--no-overwrite-input")
    return arguments


def check_shift(case: Case, acquisition: Path) -> None:
    """The translation is where the sample was moved, to a third of a pixel."""
    table = "FOV_ROI_table_registered"
    image = open_image(parse_image_url(str(acquisition)))
    rois = read_roi_table(image, table).rois
    limit_um = 0.3 * PIXEL_UM * binning_of(case)
    measured = [roi for roi in rois.values() if roi.name != "FOV_2"]
    if case["fields"] != "missing":
        measured = list(rois.values())
    assert measured
    for roi in measured:
        columns = roi.model_extra or {}
        found_um = [columns["translation_y"], columns["translation_x"]]
        expected_um = np.multiply(SHIFT_PX, -PIXEL_UM)
        np.testing.assert_allclose(found_um, expected_um, atol=limit_um)


def check_pixels(
    case: Case, pair: Pair, reference: Path, acquisition: Path
) -> npt.NDArray[np.bool_]:
    """Both show what a camera of their pixel size sees where the reference is.

    Returns:
        Which pixels of the acquisition were kept.
    """
    for image, binning in ((reference, 1), (acquisition, binning_of(case))):
        expected = pair.reference_view(binning)
        channel = plates.channel_of_stain(case, is_reference=image == reference)
        planes = level_0(image)[channel].reshape(-1, *expected.shape)
        for plane in planes:
            kept = plane > 0
            assert kept.mean() > (0.4 if case["fields"] == "missing" else 0.8)
            # The noise is 5, of structures of some hundreds.
            assert np.abs(plane[kept] - expected[kept]).max() < 30
    return np.asarray(planes[0] > 0)


def check_places(case: Case, reference: Places, acquisition: Path) -> None:
    """Each level lies where the reference's would with its pixels."""
    found = places_of(acquisition)
    sizes_um, origins_um = reference[:, 0], reference[:, 1:]
    slope = (origins_um[-1] - origins_um[0]) / (sizes_um[-1] - sizes_um[0])
    expected = origins_um[0] + np.outer(found[:, 0] - sizes_um[0], slope)
    np.testing.assert_allclose(found[:, 1:], expected, atol=1e-6)
    assert found[0, 0] == pytest.approx(PIXEL_UM * binning_of(case))
    axes = multiscale_of(acquisition)["axes"]
    unit = {"missing": "nanometer"}.get(case["unit"], case["unit"])
    units = {axis.get("unit") for axis in axes if axis["type"] == "space"}
    assert units == {unit}


def check_extras(
    case: Case, pair: Pair, acquisition: Path, kept: npt.NDArray[np.bool_]
) -> None:
    if case["extras"] == "files":
        for path, content in faults.KNOWN_FILES.items():
            assert (acquisition / path).read_bytes() == content
    if case["extras"] in ("labels", "mask"):
        label = level_0(acquisition / "labels/nuclei")
        expected = pair.reference_view(binning_of(case)) > MASK_LEVEL
        for plane in label.reshape(-1, *expected.shape):
            np.testing.assert_array_equal(plane[kept] > 0, expected[kept])
        assert label.dtype == (bool if case["extras"] == "mask" else "uint16")


def multiscale_of(image: Path) -> Any:
    return faults.read_metadata(image)["multiscales"][0]


def level_0(image: Path) -> Pixels:
    path = multiscale_of(image)["datasets"][0]["path"]
    return np.asarray(zarr.open_array(image / path, mode="r")[...])


def places_of(image: Path) -> Places:
    """Give pixel size and origin (y, x) of each level, in um."""
    multiscale = multiscale_of(image)
    unit = multiscale["axes"][-1].get("unit", "missing")
    found = []
    for level in multiscale["datasets"]:
        steps = level["coordinateTransformations"]
        origin = [0.0, 0.0]
        for step in steps[1:]:
            origin = step["translation"][-2:]
        found.append([steps[0]["scale"][-1], *origin])
    return np.array(found) / faults.UNITS[unit]


def files_of(image: Path) -> dict[str, bytes]:
    """Give all files of an image but those of its tables."""
    return {
        str(path.relative_to(image)): path.read_bytes()
        for path in sorted(image.rglob("*"))
        if path.is_file() and "tables" not in path.relative_to(image).parts
    }
