"""Images that are in no plate, registered onto one of them."""

import json
from pathlib import Path

import numpy as np
import pytest
import zarr

from fractal_tasks.cli import main
from tests.cli.helpers import IN_PROCESS, Capture, tree_hash
from tests.plain_plates import Pixels, make_scene, opened, see, write_image

SCENE = make_scene(3)
SHIFTS_PX = {"fixed": (0, 0), "one": (5, -7), "two": (-3, 4)}


@pytest.fixture
def images(tmp_path: Path) -> dict[str, Path]:
    """Three views of a scene; the last one lies in a folder of its own."""
    folders = {"fixed": "fixed.zarr", "one": "one.zarr", "two": "later/two.ome.zarr"}
    return {
        name: write_image(tmp_path / folder, see(SCENE, SHIFTS_PX[name], number)[None])
        for number, (name, folder) in enumerate(folders.items())
    }


def register(images: dict[str, Path], *arguments: str) -> int:
    moving = [str(images["one"]), str(images["two"])]
    onto = ["--reference", str(images["fixed"]), "--wavelength-id", "0"]
    return main(["register", *moving, *onto, *arguments, *IN_PROCESS])


def level_0(image: Path) -> Pixels:
    return np.asarray(zarr.open_array(image / "0", mode="r")[0])


def lies_on(image: Path, reference: Path) -> bool:
    """Whether an image has the grid of another one and shows the same in place.

    Noise alone makes the correlation 0.99; two pixels off, it is below 0.9.
    """
    first, second = level_0(reference), level_0(image)
    seen = second > 0
    assert opened(image).grid == opened(reference).grid
    assert seen.mean() > 0.8
    return bool(np.corrcoef(first[seen], second[seen])[0, 1] > 0.97)


def test_images_are_replaced_by_ones_that_lie_on_the_reference(
    images: dict[str, Path], capsys: Capture
) -> None:
    before = tree_hash(images["fixed"])
    assert register(images, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["zarr_urls"] == [str(images["one"]), str(images["two"])]
    assert {(roi["plate_url"], roi["well"]) for roi in found["rois"]} == {("", "")}
    shifts = {roi["zarr_url"]: roi["shift_px"][1:] for roi in found["rois"]}
    for name in ("one", "two"):
        # A translation brings back what has moved.
        expected = pytest.approx(np.negative(SHIFTS_PX[name]), abs=0.2)
        assert shifts[str(images[name])] == expected
        assert lies_on(images[name], images["fixed"])
    assert tree_hash(images["fixed"]) == before


def test_images_are_kept_and_the_new_ones_lie_beside_them(
    images: dict[str, Path], tmp_path: Path
) -> None:
    before = [level_0(image) for image in images.values()]
    for _ in range(2):
        assert register(images, "--no-overwrite-input") == 0
    assert lies_on(tmp_path / "one_registered.zarr", images["fixed"])
    assert lies_on(tmp_path / "later/two_registered.ome.zarr", images["fixed"])
    for image, pixels in zip(images.values(), before, strict=True):
        np.testing.assert_array_equal(level_0(image), pixels)


def test_images_get_another_format_beside_those_that_are_kept(
    images: dict[str, Path], tmp_path: Path
) -> None:
    wanted = ["--output-format.ngff-version", "0.5"]
    assert register(images, "--no-overwrite-input", *wanted) == 0
    result = tmp_path / "one_registered.zarr"
    assert lies_on(result, images["fixed"])
    assert zarr.open_group(result, mode="r").metadata.zarr_format == 3
    assert zarr.open_group(images["one"], mode="r").metadata.zarr_format == 2


def test_channel_of_one_image_is_given_by_its_name(tmp_path: Path) -> None:
    other = see(make_scene(9))
    fixed = write_image(tmp_path / "fixed.zarr", np.stack([see(SCENE), other]))
    seen = see(SCENE, SHIFTS_PX["one"], noise=1)
    moved = write_image(tmp_path / "one.zarr", np.stack([other, seen]))
    channel = ["--wavelength-id", "0", "--acquisition-wavelength-ids.one", "1"]
    urls = [str(moved), "--reference", str(fixed)]
    assert main(["register", *urls, *channel, *IN_PROCESS]) == 0
    moved_back = np.asarray(zarr.open_array(moved / "0", mode="r")[1])
    inner = np.s_[20:-20, 20:-20]
    correlation = np.corrcoef(level_0(fixed)[inner].flat, moved_back[inner].flat)
    assert correlation[0, 1] > 0.97


def test_name_of_no_image_is_refused(images: dict[str, Path], capsys: Capture) -> None:
    before = [tree_hash(image) for image in images.values()]
    assert register(images, "--acquisition-wavelength-ids.1", "0") == 2
    shown = capsys.readouterr().err
    assert "found the names ['1']; needed are names of images" in shown
    assert "'one'" in shown
    assert [tree_hash(image) for image in images.values()] == before


def test_images_without_a_reference_are_told_that_they_need_one(
    images: dict[str, Path], capsys: Capture
) -> None:
    assert main(["register", str(images["one"]), "--wavelength-id", "0"]) == 1
    assert f"{images['one']}: found an image that is in no plate" in (
        capsys.readouterr().err
    )


def test_reference_that_is_neither_plate_nor_image_is_refused(
    images: dict[str, Path], tmp_path: Path, capsys: Capture
) -> None:
    onto = ["--reference", str(tmp_path / "nothing.zarr"), "--wavelength-id", "0"]
    assert main(["register", str(images["one"]), *onto]) == 2
    assert "nothing.zarr" in capsys.readouterr().err


def test_reference_alone_is_nothing_to_register(
    images: dict[str, Path], capsys: Capture
) -> None:
    fixed = str(images["fixed"])
    command = ["register", fixed, "--reference", fixed, "--wavelength-id", "0"]
    assert main(command) == 2
    assert "nothing to register but the reference itself" in capsys.readouterr().err


def test_reference_among_the_images_is_said_to_be_only_read(
    images: dict[str, Path], capsys: Capture
) -> None:
    fixed, before = str(images["fixed"]), tree_hash(images["fixed"])
    assert register(images, fixed) == 0
    assert f"Warning: {fixed}: is the reference" in capsys.readouterr().err
    assert tree_hash(images["fixed"]) == before


@pytest.mark.parametrize("place", ["", "A/01"])
def test_plate_or_well_is_no_reference_of_an_image_in_no_plate(
    images: dict[str, Path], plate: Path, place: str, capsys: Capture
) -> None:
    onto = ["--reference", str(plate / place), "--wavelength-id", "0"]
    assert main(["register", str(images["one"]), *onto]) == 2
    shown = capsys.readouterr().err
    assert f"{images['one']}: this image is in no plate" in shown
    assert f"{plate / place}, which is no image" in shown


def test_dry_run_says_what_would_be_replaced_and_changes_nothing(
    images: dict[str, Path], tmp_path: Path, capsys: Capture
) -> None:
    before = tree_hash(tmp_path)
    assert register(images, "--dry-run", "--json") == 0
    plan = json.loads(capsys.readouterr().out)["images"]
    assert [one["zarr_url"] for one in plan] == [
        str(images["one"]),
        str(images["two"]),
    ]
    assert str(images["one"]) in plan[0]["replaces"]
    assert tree_hash(tmp_path) == before
