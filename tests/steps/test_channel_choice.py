"""Which channel of an image is compared, and for which acquisitions one can say it."""

import json
from pathlib import Path

import pytest
import zarr

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.steps.channel_choice import choose_channel
from fractal_tasks.storage.urls import parse_image_url
from tests.plain_plates import write_plate


def choose(plate: Path, image: str, channels: dict[str, str]) -> str:
    return choose_channel(parse_image_url(f"{plate}/{image}"), channels, "DAPI")


def test_acquisition_may_have_a_channel_of_its_own(tmp_path: Path) -> None:
    plate = write_plate(tmp_path / "p.zarr", {"A/1": {"0": 0, "1": 1}})
    assert choose(plate, "A/1/1", {"1": "Hoechst"}) == "Hoechst"
    assert choose(plate, "A/1/0", {"1": "Hoechst"}) == "DAPI"
    assert choose(plate, "A/1/0", {}) == "DAPI"


def test_key_that_is_no_number_is_refused(tmp_path: Path) -> None:
    plate = write_plate(tmp_path / "p.zarr", {"A/1": {"0": 0}})
    with pytest.raises(InvalidInputError, match="'one'"):
        choose(plate, "A/1/0", {"one": "Hoechst"})


def test_acquisition_that_no_well_has_is_refused_with_those_there_are(
    tmp_path: Path,
) -> None:
    plate = write_plate(tmp_path / "p.zarr", {"A/1": {"0": 0}, "A/2": {"0": 0, "x": 3}})
    with pytest.raises(InvalidInputError, match=r"\[1, 7\].*p.zarr.*\[0, 3\]"):
        choose(plate, "A/1/0", {"1": "Hoechst", "3": "Hoechst", "7": "Hoechst"})


def test_acquisition_of_another_well_is_known(tmp_path: Path) -> None:
    """Also beside a well that is not on disk, and where only the plate lists it."""
    plate = write_plate(tmp_path / "p.zarr", {"A/1": {"0": 0}, "A/3": {"0": 0, "1": 1}})
    group = zarr.open_group(plate, mode="r+")
    metadata = json.loads(json.dumps(group.attrs["plate"]))
    metadata["wells"].insert(1, {"path": "A/2", "rowIndex": 0, "columnIndex": 1})
    metadata["acquisitions"] = [{"id": 0}, {"id": 5}]
    group.attrs["plate"] = metadata
    assert choose(plate, "A/1/0", {"1": "Hoechst", "5": "Hoechst"}) == "DAPI"


def test_plate_is_not_read_if_the_well_has_the_acquisition(tmp_path: Path) -> None:
    plate = write_plate(tmp_path / "p.zarr", {"A/1": {"0": 0, "1": 1}})
    (plate / ".zattrs").unlink()
    assert choose(plate, "A/1/1", {"1": "Hoechst"}) == "Hoechst"
