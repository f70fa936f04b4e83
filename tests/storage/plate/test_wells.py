from pathlib import Path

import pytest

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.storage.plate.wells import choose_reference, group_images
from fractal_tasks.storage.urls import ImageUrl, parse_image_url
from tests.conftest import MakePlate


def image(path: str) -> ImageUrl:
    return parse_image_url(f"/data/p.zarr/B/03/{path}")


def test_images_are_grouped_by_well(make_plate: MakePlate) -> None:
    plate = make_plate(columns=2, fields_x=1, field_size_px=64, channels=1)
    urls = [f"{plate}/A/{column}/{a}" for a in (2, 0, 1) for column in ("01", "02")]
    groups = group_images(urls, reference_acquisition=1)
    assert [group.reference.zarr_url for group in groups] == [
        f"{plate}/A/01/1",
        f"{plate}/A/02/1",
    ]
    assert [other.image_path for other in groups[0].others] == ["2", "0"]


def test_missing_reference_names_what_there_is(make_plate: MakePlate) -> None:
    plate = make_plate(fields_x=1, field_size_px=64, channels=1)
    with pytest.raises(InvalidDataError, match=r"\[1, 2\].*_acquisition=0"):
        group_images([f"{plate}/A/01/1", f"{plate}/A/01/2"], 0)


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


def test_place_without_a_well_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataError, match="no well"):
        group_images([f"{tmp_path}/p.zarr/B/03/0"], 0)
