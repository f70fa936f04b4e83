"""Which image of a well is registered to which."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.storage.plate.grouping import group_images
from fractal_tasks.storage.plate.groups import Grouping
from tests.plain_plates import write_image, write_plate

EMPTY = np.zeros((64, 64), "uint8")
"""32 um wide."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "p.zarr"


def group(plate: Path, reference_plate: Path | None = None) -> Grouping:
    urls = [str(path.parent) for path in sorted(plate.glob("*/*/*/.zattrs"))]
    other = None if reference_plate is None else str(reference_plate)
    return group_images(urls, 0, reference=other)


def make(
    plate: Path,
    wells: Mapping[str, Mapping[str, int | None]],
    places_um: Mapping[str, tuple[float, float]] | None = None,
) -> Path:
    """Write a plate of empty images, some with a place on the stage."""
    write_plate(plate, wells)
    for well, images in wells.items():
        for path in images:
            origin_um = (places_um or {}).get(path)
            write_image(plate / well / path, EMPTY, origin_um=origin_um)
    return plate


def pairs_of(found: Grouping) -> dict[str, str]:
    return {
        other.zarr_url.partition(".zarr/")[2]: one.reference.image_path
        for one in found.groups
        for other in one.others
    }


def unsure_of(found: Grouping) -> set[str]:
    return {image.image_path for one in found.groups for image in one.unsure}


def test_images_are_grouped_by_well(folder: Path) -> None:
    images = {"0": 0, "1": 1, "2": 2}
    found = group(make(folder, {"A/1": images, "A/2": images}))
    assert [one.reference.zarr_url for one in found.groups] == [
        f"{folder}/A/1/0",
        f"{folder}/A/2/0",
    ]
    assert pairs_of(found) == {f"A/{w}/{p}": "0" for w in "12" for p in "12"}
    assert not unsure_of(found)
    assert not found.failures


def test_images_of_a_well_are_paired_by_the_suffix_of_their_names(folder: Path) -> None:
    found = group(make(folder, {"A/1": {"0": 0, "0_b": 0, "1": 1, "1_b": 1}}))
    assert pairs_of(found) == {"A/1/1": "0", "A/1/1_b": "0_b"}
    assert not unsure_of(found)


def test_one_image_per_field_is_paired_by_place(folder: Path) -> None:
    places = {"0": (0, 0), "1": (0, 32), "2": (2, 33), "3": (-1, 1)}
    wells = {"A/1": {"0": 0, "1": 0, "2": 1, "3": 1}}
    found = group(make(folder, wells, places))
    assert pairs_of(found) == {"A/1/3": "0", "A/1/2": "1"}
    assert not unsure_of(found)


@pytest.mark.parametrize("places", [{}, dict.fromkeys("0123", (5.0, 5.0))])
def test_one_image_per_field_without_places_is_paired_by_order_and_unsure(
    folder: Path, places: dict[str, tuple[float, float]]
) -> None:
    wells = {"A/1": {"0": 0, "1": 0, "2": 1, "3": 1}}
    found = group(make(folder, wells, places))
    assert pairs_of(found) == {"A/1/2": "0", "A/1/3": "1"}
    assert unsure_of(found) == {"2", "3"}


def test_field_that_only_one_acquisition_has_is_left_out_and_named(
    folder: Path,
) -> None:
    places = {"0": (0, 0), "1": (0, 32), "2": (0, 32), "3": (0, 99)}
    wells = {"A/1": {"0": 0, "1": 0, "2": 1, "3": 1}}
    found = group(make(folder, wells, places))
    assert pairs_of(found) == {"A/1/2": "1"}
    assert list(found.failures) == [f"{folder}/A/1/3"]
    assert [one.reference.image_path for one in found.lone] == ["0"]


def test_second_image_of_an_acquisition_is_unsure(folder: Path) -> None:
    found = group(make(folder, {"A/1": {"0": 0, "1": 1, "1_zoom": 1}}))
    assert pairs_of(found) == {"A/1/1": "0", "A/1/1_zoom": "0"}
    assert unsure_of(found) == {"1_zoom"}
    other = folder.with_name("other.zarr")
    found = group(make(other, {"A/1": {"0": 0, "1": 1, "2": 1}}))
    assert unsure_of(found) == {"1", "2"}


def test_several_references_for_one_image_leave_it_out_and_tell_how_to_go_on(
    folder: Path,
) -> None:
    found = group(make(folder, {"A/1": {"0": 0, "1": 0, "2": 1}}))
    (error,) = found.failures.values()
    assert "A/1/2: the reference acquisition has the images ['0', '1']" in str(error)
    assert "'0_a' and '1_a'" in str(error)


def test_wells_of_which_nothing_can_be_told_do_not_stop_the_others(
    folder: Path,
) -> None:
    wells = {"A/1": {"0": 0, "1": 1}, "A/2": {"1": 1}, "A/3": {"0": 0, "1": 1}}
    make(folder, wells)
    (folder / "A/3/.zattrs").write_text("{}")
    found = group(folder)
    assert pairs_of(found) == {"A/1/1": "0"}
    assert list(found.failures) == [
        f"{folder}/A/{path}" for path in ("2/1", "3/0", "3/1")
    ]
    assert "[1]; needed is reference_acquisition=0" in str(
        found.failures[f"{folder}/A/2/1"]
    )
    found.require_work()


def test_nothing_to_register_is_an_error(folder: Path) -> None:
    found = group(make(folder, {"A/1": {"0": 0}, "A/2": {"0": 0}}))
    assert len(found.lone) == 2
    with pytest.raises(InvalidDataError, match="2 images, all of them references"):
        found.require_work()


def test_images_without_acquisitions_are_registered_in_their_order_and_unsure(
    folder: Path,
) -> None:
    found = group(make(folder, {"A/1": {"0": None, "1": None, "2": None}}))
    assert pairs_of(found) == {"A/1/1": "0", "A/1/2": "0"}
    assert unsure_of(found) == {"1", "2"}


class TestOtherPlate:
    """The references are in a plate of their own."""

    def test_wells_are_paired_by_name(self, folder: Path, tmp_path: Path) -> None:
        first = make(tmp_path / "first.zarr", {"A/1": {"0": 0}, "A/2": {"0": 0}})
        found = group(make(folder, {"A/1": {"0": 0}, "B/1": {"0": 0}}), first)
        assert pairs_of(found) == {"A/1/0": "0"}
        (one,) = found.groups
        assert one.reference.zarr_url == f"{first}/A/1/0"
        assert one.home.zarr_url == f"{folder}/A/1/0"
        assert not one.unsure
        assert list(found.failures) == [f"{folder}/B/1/0"]
        assert "B/1: found no well" in str(found.failures[f"{folder}/B/1/0"])

    @pytest.mark.parametrize("number", [0, None], ids=["numbered", "not numbered"])
    def test_fields_are_paired_by_name(
        self, folder: Path, tmp_path: Path, number: int | None
    ) -> None:
        fields = dict.fromkeys(("0", "1", "2"), number)
        first = make(tmp_path / "first.zarr", {"A/1": {**fields, "0_registered": 0}})
        found = group(make(folder, {"A/1": fields}), first)
        assert pairs_of(found) == {f"A/1/{path}": path for path in "012"}
        assert not unsure_of(found)

    def test_its_own_images_are_not_registered(self, folder: Path) -> None:
        plate = make(folder, {"A/1": {"0": 0, "1": 1}})
        found = group(plate, plate)
        only_read = [image.image_path for image in found.only_read]
        assert (found.groups, found.failures, only_read) == ([], {}, ["0", "1"])

    def test_acquisition_that_it_has_not_is_named(
        self, folder: Path, tmp_path: Path
    ) -> None:
        first = make(tmp_path / "first.zarr", {"A/1": {"0": 3}})
        found = group(make(folder, {"A/1": {"0": 0}}), first)
        (error,) = found.failures.values()
        assert "'0' (acquisition 3); needed is reference_acquisition=0" in str(error)


def test_a_link_to_an_image_that_is_there_is_no_other_image(folder: Path) -> None:
    plate = make(folder, {"A/1": {"0": 0, "1": 1}, "A/2": {"0": 0}})
    write_plate(plate, {"A/1": {"0": 0, "1": 1, "2": 2}, "A/2": {"0": 0, "1": 1}})
    (plate / "A/1/2").symlink_to("0")
    (plate / "A/2/1").symlink_to("../1/1")
    found = group(plate)
    assert pairs_of(found) == {"A/1/1": "0"}
    assert {url: str(error) for url, error in found.failures.items()} == {
        f"{plate}/A/1/2": f"{plate}/A/1/2: found a link to what {plate}/A/1/0 is, too; "
        "needed is another image. Take it out of the metadata of its well.",
        f"{plate}/A/2/1": f"{plate}/A/2/1: found a link to what {plate}/A/1/1 is, too; "
        "needed is another image. Take it out of the metadata of its well.",
    }


def test_a_well_of_which_the_reference_is_a_link_to_another_well_is_left_out(
    folder: Path,
) -> None:
    plate = make(folder, {"A/1": {"0": 0, "1": 1}, "A/2": {"1": 1}})
    write_plate(plate, {well: {"0": 0, "1": 1} for well in ("A/1", "A/2")})
    (plate / "A/2/0").symlink_to("../1/0")
    found = group(plate)
    assert pairs_of(found) == {"A/1/1": "0"}
    assert found.failures.keys() == {f"{plate}/A/2/0", f"{plate}/A/2/1"}
