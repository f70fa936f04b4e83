"""OME-Zarr 0.1 to 0.3: the error says how to convert it, and that works."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from fractal_tasks.cli import main
from fractal_tasks.errors import InvalidDataError
from fractal_tasks.storage.plate.channels import find_channel
from fractal_tasks.storage.plate.open_image import open_image
from fractal_tasks.storage.plate.wells import read_listed
from fractal_tasks.storage.urls import Location, parse_image_url
from tests.plain_plates import make_scene, see

VERSIONS = ("0.1", "0.2", "0.3")
PAGE = Path(__file__).parents[3] / "docs" / "old-versions.md"
PIXEL_UM = (1.0, 0.65, 0.65)
"""As in the command and on the page."""


def write_old_image(folder: Path, version: str, shift_px: tuple[int, int]) -> None:
    """Write an image with two levels and the axes t, c, z, y, x."""
    pixels = see(make_scene(1), shift_px)
    group = zarr.open_group(folder, mode="w", zarr_format=2)
    separator: Any = "." if version == "0.1" else "/"
    for path, factor in (("0", 1), ("1", 2)):
        level = np.stack([pixels, 7 * pixels])[None, :, None, ::factor, ::factor]
        array = group.create_array(
            path,
            shape=level.shape,
            dtype=level.dtype,
            chunks=(1, 1, 1, 64, 64),
            chunk_key_encoding={"name": "v2", "separator": separator},
        )
        array[...] = level
    multiscale: Any = {"version": version, "datasets": [{"path": "0"}, {"path": "1"}]}
    if version == "0.3":
        multiscale["axes"] = list("tczyx")
    group.attrs["multiscales"] = [multiscale]
    window = {"min": 0, "max": 65535, "start": 0, "end": 1000}
    group.attrs["omero"] = {
        "channels": [
            {"label": label, "color": "00FFFF", "window": window}
            for label in ("DAPI", "cell's GFP")
        ]
    }


def write_old_plate(plate: Path, version: str) -> None:
    """Write a plate of one well with two acquisitions."""
    images = [{"path": str(number), "acquisition": number} for number in range(2)]
    for folder, name, content in (
        (plate, "plate", {"wells": [{"path": "B/3"}]}),
        (plate / "B/3", "well", {"images": images}),
    ):
        group = zarr.open_group(folder, mode="w", zarr_format=2)
        group.attrs[name] = {"version": version, **content}
    for path, shift_px in (("0", (0, 0)), ("1", (5, -7))):
        write_old_image(plate / "B/3" / path, version, shift_px)


@pytest.mark.parametrize("version", VERSIONS)
def test_command_of_the_error_converts_an_image(tmp_path: Path, version: str) -> None:
    old = tmp_path / "my images" / "old.zarr"
    write_old_image(old, version, (0, 0))
    with pytest.raises(InvalidDataError, match=f"found OME-Zarr {version}; ") as error:
        open_image(parse_image_url(str(old)))
    command = re.search(r": (ngff-zarr .*) \(docs/old", str(error.value))
    assert command is not None
    name, *arguments = shlex.split(command[1])
    assert name == "ngff-zarr"
    subprocess.run(
        [sys.executable, "-m", "ngff_zarr.cli", *arguments, "--quiet"],
        check=True,
        capture_output=True,
    )
    new = open_image(parse_image_url(str(old.with_name("old_0.4.ome.zarr"))))
    assert new.spacing_um == PIXEL_UM
    assert find_channel(new, "cell's GFP") == 1
    np.testing.assert_array_equal(
        new.level.zarr_array[...], zarr.open_array(old / "0", mode="r")[...]
    )


@pytest.mark.e2e
@pytest.mark.parametrize("version", ["0.1", "0.3"])
def test_recipe_of_the_page_converts_a_plate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    write_old_plate(tmp_path / "old.zarr", version)
    with pytest.raises(InvalidDataError, match=rf"{version}.*Convert each image"):
        read_listed(Location(str(tmp_path / "old.zarr/B/3")))
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True
    )
    for path in ("B/3/0", "B/3/1"):
        new = open_image(parse_image_url(str(tmp_path / "new.zarr" / path)))
        assert new.spacing_um == PIXEL_UM
        np.testing.assert_array_equal(
            new.level.zarr_array[...],
            zarr.open_array(tmp_path / "old.zarr" / path / "0", mode="r")[...],
        )
        # Twice as coarse a level has pixels twice as large.
        second = new.container.get_image(path=new.container.level_paths[1])
        assert second.shape[-2:] == (64, 64)
        assert second.pixel_size.x == 2 * PIXEL_UM[2]
    arguments = [str(tmp_path / "new.zarr"), "--wavelength-id", "DAPI", "--dry-run"]
    assert main(["register", *arguments]) == 0


def test_image_that_is_only_damaged_is_not_called_old(tmp_path: Path) -> None:
    zarr.open_group(tmp_path / "x", mode="w", zarr_format=2).attrs["multiscales"] = [1]
    with pytest.raises(InvalidDataError, match="found no OME-Zarr image"):
        open_image(parse_image_url(str(tmp_path / "x")))
