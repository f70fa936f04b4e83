"""Attributes of groups are changed in one step that leaves nothing behind."""

import os
from pathlib import Path
from typing import Literal

import pytest
import zarr

from fractal_tasks.storage.local.files import LocalFiles
from fractal_tasks.storage.urls import Location, parse_image_url

ATTRIBUTES = {"tables": ["a"], "of others": {"x": [1, 2.5, None, "µm"]}}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "plate.zarr" / "B" / "03" / "1"
    path.mkdir(parents=True)
    return path


def test_copy_has_content_times_and_links_and_is_open_as_what_is_new(
    tmp_path: Path,
) -> None:
    source = tmp_path / "source"
    (source / "c").mkdir(parents=True)
    (source / "c/0").write_bytes(b"pixels")
    (source / "link").symlink_to("c/0")
    os.utime(source / "c/0", ns=(10**18, 10**18))
    for path, mode in ((source / "c/0", 0o400), (source / "c", 0o500)):
        path.chmod(mode)
    before = os.umask(0o002)
    try:
        target = tmp_path / "a" / "target"
        LocalFiles().copy_folder(Location(str(source)), Location(str(target)))
    finally:
        os.umask(before)
    assert (target / "c/0").read_bytes() == b"pixels"
    assert (target / "c/0").stat().st_mtime_ns == 10**18
    assert (target / "link").readlink() == Path("c/0")
    assert (target / "c/0").stat().st_mode & 0o777 == 0o664
    assert (target / "c").stat().st_mode & 0o777 == 0o775


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("before", [{}, ATTRIBUTES], ids=["none", "some"])
def test_what_is_changed_is_what_zarr_reads_and_the_rest_stays(
    image: Path, zarr_format: Literal[2, 3], before: dict[str, object]
) -> None:
    group = image / "tables"
    zarr.create_group(group, zarr_format=zarr_format, attributes=before)
    names = {path.name for path in group.iterdir()} | (
        {".zattrs"} if zarr_format == 2 else set()
    )
    with LocalFiles().edit_attributes(
        Location(str(group)), image=parse_image_url(str(image))
    ) as attributes:
        attributes["tables"] = ["a", "b"]
    found = zarr.open_group(group, mode="r")
    assert found.attrs.asdict() == {**before, "tables": ["a", "b"]}
    assert found.metadata.zarr_format == zarr_format
    assert {path.name for path in group.iterdir()} == names
    assert [path.name for path in image.parent.iterdir()] == ["1"]


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_attributes_that_are_not_changed_are_not_written(
    image: Path, zarr_format: Literal[2, 3]
) -> None:
    zarr.create_group(image, zarr_format=zarr_format, attributes=ATTRIBUTES)
    before = {path.name: path.stat().st_ino for path in image.iterdir()}
    with LocalFiles().edit_attributes(
        Location(str(image)), image=parse_image_url(str(image))
    ) as attributes:
        attributes["tables"] = list(attributes["tables"])
    assert {path.name: path.stat().st_ino for path in image.iterdir()} == before


def test_attributes_are_not_written_if_the_body_raises(image: Path) -> None:
    zarr.create_group(image, attributes=ATTRIBUTES)

    def change_and_fail() -> None:
        with LocalFiles().edit_attributes(
            Location(str(image)), image=parse_image_url(str(image))
        ) as attributes:
            attributes["tables"] = []
            raise KeyError

    with pytest.raises(KeyError):
        change_and_fail()
    assert zarr.open_group(image, mode="r").attrs.asdict() == ATTRIBUTES
