"""Plates put together of symbolic links."""

import re
from pathlib import Path

import numpy as np
import pytest

from fractal_tasks.errors import FractalTasksError, InvalidInputError
from tests.tasks.foreign import read_array, write_plate
from tests.tasks.plates import run_apply, run_calculate, run_consensus, tree_of

PARTS = {
    "image": "plate.zarr/A/01/1",
    "level": "plate.zarr/A/01/1/0",
    "label": "plate.zarr/A/01/1/labels/nuclei",
    "labels": "plate.zarr/A/01/1/labels",
    "well": "plate.zarr/A/01",
    "row": "plate.zarr/A",
    "plate": "plate.zarr",
}
"""What is linked."""


def linked_plate(tmp_path: Path, part: str) -> list[str]:
    """Write a plate of which a part lies in an archive."""
    rng = np.random.default_rng(5)
    pixels = rng.integers(1, 999, (1, 32, 32)).astype("uint16")
    urls = write_plate(
        tmp_path / "plate.zarr",
        [{"pixels": pixels}, {"pixels": pixels, "labels": {"nuclei": pixels[0]}}],
    )
    (tmp_path / "archive").mkdir()
    place = tmp_path / PARTS[part]
    real = place.rename(tmp_path / "archive" / place.name)
    place.symlink_to(real)
    return urls


def pixels_of(folder: Path) -> dict[str, bytes]:
    """Give the files of images, but for their tables and for locks."""
    return {
        name: content
        for name, content in tree_of(folder).items()
        if "tables/" not in name and not name.endswith(".lock")
    }


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.sampled(2)
def test_linked_parts_are_read_and_kept(tmp_path: Path, part: str) -> None:
    urls = linked_plate(tmp_path, part)
    before = pixels_of(tmp_path)
    run_calculate(urls, level_path="0")
    run_consensus(urls)
    done = [one["zarr_url"] for one in run_apply(urls, overwrite_input=False)]
    first, second = map(read_array, done)
    np.testing.assert_array_equal(first, second)
    assert first.any()
    after = pixels_of(tmp_path)
    assert {name: after[name] for name in before if "01/.zattrs" not in name} == {
        name: before[name] for name in before if "01/.zattrs" not in name
    }
    assert (tmp_path / PARTS[part]).is_symlink()
    assert not list(tmp_path.rglob(".fractal-tasks-*-*"))


def test_image_of_a_linked_plate_is_replaced_where_it_lies(tmp_path: Path) -> None:
    urls = linked_plate(tmp_path, "plate")
    run_calculate(urls, level_path="0")
    run_consensus(urls)
    assert run_apply(urls) == [{"zarr_url": url} for url in urls]
    assert (tmp_path / PARTS["plate"]).is_symlink()


@pytest.mark.parametrize("part", ["image", "well", "row"])
def test_image_behind_a_link_is_not_replaced(tmp_path: Path, part: str) -> None:
    """Whoever links an archive does not mean it to be changed."""
    urls = linked_plate(tmp_path, part)
    run_calculate(urls, level_path="0")
    run_consensus(urls)
    before = pixels_of(tmp_path)
    with pytest.raises(InvalidInputError, match=r"is a symbolic link to .*archive/"):
        run_apply(urls[1:])
    assert pixels_of(tmp_path) == before


def test_image_that_is_a_link_to_itself_is_an_error_that_names_it(
    tmp_path: Path,
) -> None:
    urls = linked_plate(tmp_path, "image")
    image = Path(urls[1])
    image.unlink()
    image.symlink_to(image.name)
    for run, given in (
        (run_calculate, urls),
        (run_consensus, urls),
        (run_apply, urls[1:]),
    ):
        with pytest.raises(FractalTasksError, match=re.escape(urls[1])):
            run(given)
    assert image.is_symlink()
