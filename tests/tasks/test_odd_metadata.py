"""Images with less, or other, metadata than this package writes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr
from pandas import DataFrame

from fractal_tasks.cli import main
from fractal_tasks.errors import InvalidDataError
from fractal_tasks.storage.plate.ngio_tables import check_lengths
from fractal_tasks.storage.plate.open_image import open_image
from fractal_tasks.storage.urls import parse_image_url
from tests.cli.helpers import CHANNEL, IN_PROCESS
from tests.tasks.foreign import read_array, write_plate
from tests.tasks.test_other_grids import register, scene


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_labels_need_not_say_that_they_are(tmp_path: Path, zarr_format: int) -> None:
    pixels, label = scene(1, 32, 32), np.ones((32, 32), "uint8")
    urls = write_plate(
        tmp_path / "plate.zarr",
        [{"pixels": pixels}, {"pixels": pixels, "labels": {"nuclei": label}}],
        zarr_format,
    )
    name = {2: ".zattrs", 3: "zarr.json"}[zarr_format]
    file = Path(urls[1], "labels/nuclei", name)
    metadata = json.loads(file.read_text())
    del metadata.get("attributes", {"ome": metadata})["ome"]["image-label"]
    file.write_text(json.dumps(metadata))
    register(urls)
    after = read_array(urls[1], "labels/nuclei/0")
    np.testing.assert_array_equal(after[2:, 3:], 1)
    assert "image-label" not in file.read_text()


def test_folder_of_tables_that_are_none_is_carried_along(tmp_path: Path) -> None:
    urls = write_plate(tmp_path / "plate.zarr", [{"pixels": scene(1, 32, 32)}] * 2)
    folders = [Path(url, kind) for url in urls for kind in ("tables", "labels")]
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "my.csv").write_text("a,b")
    assert main(["register", *urls, *CHANNEL, *IN_PROCESS]) == 0
    for folder in folders:
        assert (folder / "my.csv").read_text() == "a,b"


@pytest.mark.parametrize("axes", ["cxy", "cyzx"])
def test_axes_in_another_order_are_refused(tmp_path: Path, axes: str) -> None:
    pixels = scene(1, 32, 32)
    shape = tuple({"c": 1, "z": 1}.get(axis, 32) for axis in axes)
    urls = write_plate(
        tmp_path / "plate.zarr",
        [{"pixels": pixels}, {"pixels": pixels.reshape(shape), "axes": axes}],
    )
    needed = f"{urls[1]}.*found the axes {', '.join(axes)}; needed are y and x"
    with pytest.raises(InvalidDataError, match=needed):
        open_image(parse_image_url(urls[1]))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_two_multiscales_are_refused(tmp_path: Path, zarr_format: int) -> None:
    plate = tmp_path / "plate.zarr"
    (url,) = write_plate(plate, [{"pixels": scene(1, 32, 32)}], zarr_format)
    attributes = zarr.open_group(url, mode="r+").attrs
    whole = attributes.asdict()
    whole.get("ome", whole)["multiscales"] *= 2
    attributes.put(whole)
    with pytest.raises(InvalidDataError, match="found 2 multiscales in its metadata"):
        open_image(parse_image_url(url))


@pytest.mark.parametrize("scale", [float("nan"), float("inf"), 0, -1, "NaN", None])
def test_scale_that_is_none_is_named_with_its_level(
    tmp_path: Path, scale: object
) -> None:
    (url,) = write_plate(tmp_path / "plate.zarr", [{"pixels": scene(1, 32, 32)}])
    file = Path(url, ".zattrs")
    metadata = json.loads(file.read_text())
    steps = metadata["multiscales"][0]["datasets"][1]["coordinateTransformations"]
    steps[0]["scale"][1] = scale
    file.write_text(json.dumps(metadata))
    with pytest.raises(InvalidDataError, match=r"level '1' has the scale \[1\.0, "):
        open_image(parse_image_url(url))


@pytest.mark.parametrize("length", [np.nan, -1.0])
def test_length_of_a_roi_that_is_none_is_named(length: float) -> None:
    lengths = {"len_x_micrometer": [1.0, 0.0], "len_y_micrometer": [1.0, length]}
    frame = DataFrame(lengths, index=["FOV_1", "FOV_2"])
    found = f"ROI 'FOV_2': found len_y_micrometer = {length}; needed are numbers"
    with pytest.raises(InvalidDataError, match=found):
        check_lengths("table 'rois'", frame)
    assert check_lengths("table 'rois'", frame.iloc[:1]) is not None
