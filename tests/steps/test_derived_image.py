"""An image that is made from another has all that the other one holds."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import zarr

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.steps.derived_image import write_derived_image
from fractal_tasks.storage.pixels.block_source import BlockSource
from fractal_tasks.storage.pixels.grid import (
    Box,
    Pixels,
    box_shape,
    full_box,
    to_slices,
)
from fractal_tasks.storage.plate.open_image import OpenImage, open_image
from fractal_tasks.storage.plate.work import working_on
from fractal_tasks.storage.urls import ImageUrl, Location
from tests.records.plates import image_url, open_acquisition
from tests.steps.wells import read_level, tree_of


class _Brighter:
    """A source of pixels that the package does not have: adds a constant."""

    fill_value = 0.0

    def __init__(self, array: zarr.Array, constant: int) -> None:  # type: ignore[type-arg]  # of any zarr format
        self._array = array
        self._constant = constant
        self.shape = array.shape

    def find_content(self) -> Iterator[Box]:
        yield full_box(self.shape)

    def read_block(self, box: Box) -> Pixels | None:
        pixels = np.asarray(self._array[to_slices(box)])
        assert pixels.shape == box_shape(box)
        return np.asarray(pixels + pixels.dtype.type(self._constant))


class _Nothing:
    """Has no pixels but its fill value."""

    fill_value = 7.0
    shape = (1, 1, 20, 70)

    def find_content(self) -> Iterator[Box]:
        return iter(())

    def read_block(self, box: Box) -> Pixels | None:
        return None


def brighter(image: OpenImage, constant: int = 5) -> BlockSource:
    return _Brighter(image.level.zarr_array, constant)


def label_source(image: OpenImage) -> BlockSource:
    return _Brighter(image.container.get_label("nuclei").zarr_array, 0)


def derive(
    plate: Path,
    target: ImageUrl | None = None,
    *,
    pixels: BlockSource | None = None,
    labels: bool = True,
    write_tables: Callable[[Location], None] = lambda build: None,
) -> ImageUrl:
    """Write an image made from acquisition 1 of the plate."""
    source = open_acquisition(plate, 1)
    target = target or source.url.sibling("1_new")
    with working_on(source.url, target):
        write_derived_image(
            source,
            target,
            pixels=pixels or brighter(source),
            labels={"nuclei": label_source(source)} if labels else {},
            write_tables=write_tables,
            record={"task": "test"},
        )
    return target


def test_levels_are_built_from_the_source_of_pixels(plate: Path) -> None:
    url = image_url(plate, 1)
    before = tree_of(url.path)
    target = derive(plate)
    assert tree_of(url.path) == before
    level_0 = read_level(url.path) + np.uint16(5)
    np.testing.assert_array_equal(read_level(target.path), level_0)
    # Means of 2 x 2 pixels, rounded either way.
    means = level_0.reshape(1, 1, 16, 2, 32, 2).mean(axis=(3, 5))
    assert np.abs(read_level(target.path, "1") - means).max() <= 0.5
    assert read_level(target.path, "2").shape == read_level(url.path, "2").shape


def test_source_without_pixels_gives_its_fill_value(plate: Path) -> None:
    target = derive(plate, pixels=_Nothing())
    pixels = read_level(target.path)
    assert pixels.shape == _Nothing.shape
    assert np.unique(pixels).tolist() == [7]


def test_metadata_and_labels_are_those_of_the_source(plate: Path) -> None:
    source, derived = open_acquisition(plate, 1), open_image(derive(plate))
    assert derived.spacing_um == source.spacing_um
    assert derived.container.wavelength_ids == source.container.wavelength_ids
    assert derived.container.list_labels() == ["nuclei"]
    for path in ("0", "1", "2"):
        folders = [one.url.path / "labels/nuclei" for one in (source, derived)]
        before, after = (read_level(folder, path) for folder in folders)
        np.testing.assert_array_equal(after, before)


def test_labels_that_are_left_out_are_not_written(plate: Path) -> None:
    derived = open_image(derive(plate, labels=False))
    assert derived.container.list_labels() == []


def test_what_nobody_knows_is_carried_over(
    plate: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = image_url(plate, 1)
    zarr.open_group(url.path, mode="r+").attrs["microscope"] = {"name": "X"}
    (url.path / "notes").mkdir()
    (url.path / "notes" / "day.txt").write_text("cloudy")
    (url.path / "tables" / "unlisted").mkdir()
    (url.path / "tables" / "unlisted" / "rows.csv").write_text("a,b")
    (url.path / "labels" / "unlisted").mkdir()
    (url.path / "labels" / "unlisted" / "0").write_text("pixels")
    beside = ("notes.txt", "labels/colours.csv", "labels/nuclei/how.md", "tables/a.xls")
    files = (*beside, "0/note.txt", "1/more/note.txt", "labels/nuclei/0/1.txt")
    for file in files:
        (url.path / file).parent.mkdir(exist_ok=True)
        (url.path / file).write_text(f"content of {file}")
    for kind in ("labels", "tables"):
        zarr.open_group(url.path / kind, mode="r+").attrs["author"] = "me"
    with caplog.at_level(logging.WARNING):
        target = derive(plate)
    attributes = zarr.open_group(target.path, mode="r").attrs.asdict()
    assert attributes["microscope"] == {"name": "X"}
    assert attributes["registration"] == {"task": "test"}
    folders = ("notes/day.txt", "tables/unlisted/rows.csv", "labels/unlisted/0")
    for file in (*folders, *files):
        assert (target.path / file).read_bytes() == (url.path / file).read_bytes()
        top = "/".join(file.split("/")[: 1 + file.startswith(("tables", "labels"))])
        top = file if file in files else top
        assert f"'{top}' is not known, and is carried over unchanged" in caplog.text
    for kind in ("labels", "tables"):
        group = zarr.open_group(target.path / kind, mode="r")
        assert group.attrs["author"] == "me"
    assert open_image(target).container.list_labels() == ["nuclei"]


def test_tables_are_written_into_an_image_that_has_pixels(plate: Path) -> None:
    seen: list[int] = []

    def write_tables(build: Location) -> None:
        seen.append(int(read_level(build.path).max()))
        (build.path / "tables").mkdir()
        zarr.create_group(build.path / "tables", zarr_format=2)

    target = derive(plate, write_tables=write_tables)
    assert seen == [int(read_level(target.path).max())]
    assert (target.path / "tables").is_dir()


def test_image_can_take_the_place_of_its_source(plate: Path) -> None:
    url = image_url(plate, 1)
    expected = read_level(url.path) + np.uint16(5)
    derive(plate, url)
    np.testing.assert_array_equal(read_level(url.path), expected)


@pytest.mark.parametrize("in_place", [True, False])
def test_failure_leaves_everything_as_it_was(plate: Path, in_place: bool) -> None:
    def fail(build: Location) -> None:
        raise InvalidDataError("a table is damaged")

    url = image_url(plate, 1)
    before = tree_of(plate / "A")
    with pytest.raises(InvalidDataError, match="a table is damaged"):
        derive(plate, url if in_place else None, write_tables=fail)
    left = tree_of(plate / "A")
    assert {name: left[name] for name in before} == before
    assert not (url.path.parent / "1_new").exists()
