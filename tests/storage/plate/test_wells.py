from pathlib import Path

import pytest

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.storage.plate.wells import choose_reference, read_acquisitions
from fractal_tasks.storage.urls import ImageUrl, parse_image_url
from tests.plain_plates import write_plate


def image(path: str) -> ImageUrl:
    return parse_image_url(f"/data/p.zarr/B/03/{path}")


def test_only_reference_serves_all() -> None:
    assert choose_reference(image("1_corr"), [image("0")]) == image("0")


def test_of_several_references_the_one_with_the_same_suffix_serves() -> None:
    references = [image("0"), image("0_illum_corr")]
    assert choose_reference(image("1_illum_corr"), references) == references[1]
    assert choose_reference(image("1"), references) == references[0]


@pytest.mark.parametrize("path", ["1_other", "1_corr_b"])
def test_ambiguous_reference_is_an_error_that_names_the_candidates(path: str) -> None:
    references = [image("0"), image("0_corr")]
    with pytest.raises(InvalidDataError, match=r"\['0', '0_corr'\]"):
        choose_reference(image(path), references)


def test_images_without_acquisitions_are_numbered(tmp_path: Path) -> None:
    images = dict.fromkeys(("0", "1", "2"))
    plate = write_plate(tmp_path / "p.zarr", {"A/1": images})
    well = parse_image_url(f"{plate}/A/1/0").well
    assert read_acquisitions(well) == {"0": 0, "1": 1, "2": 2}
    added = {**images, "1_registered": 1}
    write_plate(plate, {"A/1": added})
    assert read_acquisitions(well) == {"0": 0, "1": 1, "2": 2, "1_registered": 1}


def test_image_without_an_acquisition_beside_others_has_none(tmp_path: Path) -> None:
    plate = write_plate(tmp_path / "p.zarr", {"A/1": {"0": 0, "x": None}})
    well = parse_image_url(f"{plate}/A/1/0").well
    assert read_acquisitions(well) == {"0": 0, "x": None}


def test_place_without_a_well_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataError, match="no well"):
        read_acquisitions(parse_image_url(f"{tmp_path}/p.zarr/B/03/0").well)
