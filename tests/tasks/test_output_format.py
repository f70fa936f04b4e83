"""The registered image in another format: the same pixels, labels and tables."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from ngio import open_ome_zarr_plate
from pandas.testing import assert_frame_equal

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.records.applied import read_applied_record
from fractal_tasks.storage.plate.open_image import open_image
from fractal_tasks.storage.urls import parse_image_url
from fractal_tasks.tasks.find_registration_consensus import find_registration_consensus
from fractal_tasks.tasks.init_find_registration_consensus import (
    init_find_registration_consensus,
)
from tests.tasks.plates import (
    REGISTERED,
    data_of,
    image_urls,
    make_registered_plate,
    open_container,
    read_pixels,
    run_apply,
    tree_of,
)

Make = Callable[..., Path]
Format = dict[str, object]

LEVELS = ("0", "1", "2")
V04: Format = {"ngff_version": "0.4"}
V05: Format = {"ngff_version": "0.5"}
SHARDED: Format = {**V05, "shards": True, "chunk_size_px": 16}
METADATA = {2: {".zgroup", ".zarray", ".zattrs"}, 3: {"zarr.json"}}


@pytest.fixture(scope="module")
def plate_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Give a function that makes a plate on which apply can run next, once."""

    @cache
    def make(**options: Any) -> Path:
        folder = tmp_path_factory.mktemp("plate")
        return make_registered_plate(folder / "plate.zarr", **options)

    return make


@pytest.fixture
def make_plate(tmp_path: Path, plate_of: Callable[..., Path]) -> Make:
    """Give a function that makes a fresh copy of such a plate."""

    def make(**options: Any) -> Path:
        return Path(shutil.copytree(plate_of(**options), tmp_path / "plate.zarr"))

    return make


@pytest.fixture(scope="module")
def images_of(plate_of: Callable[..., Path]) -> Callable[..., Path]:
    """Give a function that makes a folder with two images in no plate, once."""

    @cache
    def make(**options: Any) -> Path:
        plate = plate_of(**options)
        folder = plate.parent / "images"
        images = [folder / name for name in ("0", "1")]
        for image, url in zip(images, image_urls(plate, 2), strict=True):
            shutil.copytree(url, image)
            shutil.rmtree(image / "tables" / REGISTERED)
            names = attributes_of(image / "tables")["tables"]
            tables = zarr.open_group(
                image / "tables", mode="r+", use_consolidated=False
            )
            tables.attrs["tables"] = [one for one in names if one != REGISTERED]
        (unit,) = init_find_registration_consensus(
            zarr_urls=[str(images[1])], zarr_dir="", reference=str(images[0])
        )["parallelization_list"]
        find_registration_consensus(**unit)
        return folder

    return make


@pytest.fixture
def loose(tmp_path: Path, images_of: Callable[..., Path]) -> Make:
    """Give a function that makes an image in no plate on which apply can run next."""

    def make(**options: Any) -> Path:
        # As of other images, its plan names the reference by where that lies.
        return Path(shutil.copytree(images_of(**options), tmp_path / "images")) / "1"

    return make


def apply_as(image: Path | str, suffix: str, **output_format: object) -> Path:
    """Write the registered image, with a label of what was seen; give its path."""
    arguments = {"output_format": output_format} if output_format else {}
    (update,) = run_apply(
        [str(image)],
        overwrite_input=False,
        seen_label="seen",
        output_image_suffix=suffix,
        **arguments,
    )
    assert update["origin"] == str(image)
    return Path(update["zarr_url"])


def assert_same_content(first: Path, second: Path) -> None:
    """Check that two images have the same pixels, labels, tables and metadata."""
    one, two = open_container(str(first)), open_container(str(second))
    assert one.list_labels() == two.list_labels() == ["nuclei", "seen"]
    for level in LEVELS:
        np.testing.assert_array_equal(
            read_pixels(str(first), level), read_pixels(str(second), level), strict=True
        )
        for name in one.list_labels():
            np.testing.assert_array_equal(
                one.get_label(name, path=level).get_as_numpy(),
                two.get_label(name, path=level).get_as_numpy(),
                strict=True,
            )
    assert one.list_tables() == two.list_tables()
    for name in one.list_tables():
        tables = one.get_table(name), two.get_table(name)
        assert type(tables[0]) is type(tables[1])
        assert_frame_equal(tables[0].dataframe, tables[1].dataframe)
    assert one.channel_labels == two.channel_labels
    assert one.wavelength_ids == two.wavelength_ids
    opened = [open_image(parse_image_url(str(path))) for path in (first, second)]
    assert opened[0].grid == opened[1].grid
    assert opened[0].spacing_um == opened[1].spacing_um


def arrays_of(image: Path) -> list[Any]:
    """Give level 0 of the image and of its labels."""
    folders = ("0", "labels/nuclei/0", "labels/seen/0")
    return [zarr.open_array(image / one, mode="r") for one in folders]


def attributes_of(folder: Path) -> dict[str, Any]:
    group = zarr.open_group(folder, mode="r", use_consolidated=False)
    return group.attrs.asdict()


def data_beside(image: Path) -> dict[str, bytes]:
    """Give the content of all files in the folder of an image but those of locks."""
    tree = tree_of(image.parent)
    return {path: data for path, data in tree.items() if not path.endswith(".lock")}


def metadata_of(image: Path) -> set[str]:
    """Give the names of the files of metadata that are in an image."""
    return {path.name for path in image.rglob("*")} & {*METADATA[2], *METADATA[3]}


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        pytest.param({}, V05, id="to 0.5"),
        pytest.param(V05, V04, id="to 0.4"),
        pytest.param(SHARDED, V04, id="shards to 0.4"),
        pytest.param(
            {"table_backend": "csv"},
            {**V05, "chunk_size_px": 16, "shard_size_px": 32, "compressor": "gzip"},
            id="to shards, with csv",
        ),
        pytest.param({"table_backend": "json"}, V05, id="to 0.5, with json"),
        pytest.param({"table_backend": "parquet"}, V05, id="to 0.5, with parquet"),
        pytest.param({**V05, "table_backend": "json"}, V04, id="to 0.4, with json"),
        pytest.param({**V05, "table_backend": "csv"}, V04, id="to 0.4, with csv"),
        pytest.param(
            {**V05, "table_backend": "parquet"}, V04, id="to 0.4, with parquet"
        ),
    ],
)
@pytest.mark.sampled(3)
def test_other_version_has_the_same_content(
    loose: Make, options: dict[str, Any], wanted: Format
) -> None:
    image = loose(**options)
    before = tree_of(image)
    same, other = apply_as(image, "same"), apply_as(image, "other", **wanted)
    assert_same_content(same, other)
    assert tree_of(image) == before
    zarr_format = 2 if wanted["ngff_version"] == "0.4" else 3
    assert metadata_of(other) == METADATA[zarr_format]
    assert metadata_of(same) == METADATA[5 - zarr_format]
    assert all(one.metadata.zarr_format == zarr_format for one in arrays_of(other))


@pytest.mark.parametrize("options", [{}, V05, SHARDED], ids=["0.4", "0.5", "shards"])
@pytest.mark.sampled(3)
def test_metadata_are_those_of_the_input_in_the_words_of_the_other_version(
    loose: Make, options: Format
) -> None:
    """Also what no specification knows; a second run finds all as it is to be."""
    image = loose(**options)
    old = "0.4" if options == {} else "0.5"
    new = "0.5" if old == "0.4" else "0.4"
    group = zarr.open_group(image, mode="r+", use_consolidated=False)
    group.attrs["microscope"] = {"name": "X", "version": "7"}
    there = apply_as(image, "there", ngff_version=new)
    assert ("ome" in attributes_of(there)) is (new == "0.5")
    assert attributes_of(there)["microscope"] == {"name": "X", "version": "7"}
    label = attributes_of(there / "labels/nuclei")
    assert label.get("ome", label)["image-label"]["version"] == new
    if new == "0.4":
        (multiscale,) = attributes_of(there)["multiscales"]
        assert multiscale["version"] == "0.4"
    before = tree_of(there)
    apply_as(image, "there", ngff_version=new)
    assert tree_of(there) == before
    same = apply_as(image, "same")
    for path in ("", "labels/nuclei"):
        ome = attributes_of(there / path)
        ome = ome.get("ome", ome)
        expected = attributes_of(same / path)
        expected = expected.get("ome", expected)
        for key in ("multiscales", "omero"):
            without = [
                json.loads(
                    json.dumps(one.get(key)).replace(f', "version": "{version}"', "")
                )
                for one, version in ((ome, new), (expected, old))
            ]
            assert without[0] == without[1]


@pytest.mark.parametrize(
    ("codec", "expected"),
    [
        (
            {"id": "blosc", "cname": "zstd", "clevel": 7, "shuffle": 2},
            {"cname": "zstd", "clevel": 7, "shuffle": "bitshuffle", "typesize": 2},
        ),
        ({"id": "zstd", "level": 9}, {"level": 9, "checksum": False}),
        ({"id": "gzip", "level": 2}, {"level": 2}),
        (None, None),
    ],
    ids=["blosc", "zstd", "gzip", "none"],
)
def test_compressor_stays_what_it_was_in_another_version(
    loose: Make, codec: dict[str, Any] | None, expected: dict[str, Any] | None
) -> None:
    image = loose()
    path = image / "0/.zarray"
    shutil.rmtree(image / "0/0")  # all is the fill value
    path.write_text(json.dumps({**json.loads(path.read_text()), "compressor": codec}))
    found = zarr.open_array(apply_as(image, "other", **V05) / "0", mode="r")
    compressors = [one.to_dict() for one in found.compressors]
    if expected is None:
        assert compressors == []
    else:
        assert codec is not None
        (one,) = compressors
        assert one["name"] == codec["id"]
        assert one["configuration"].items() >= expected.items()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("compressor", ["zstd", "blosc", "gzip", "none"])
@pytest.mark.sampled(4)
def test_chunks_and_compressor_are_those_wanted(
    make_plate: Make, version: str, compressor: str
) -> None:
    plate = make_plate(**({} if version == "0.4" else V05))
    image = image_urls(plate, 2)[1]
    other = apply_as(image, "other", chunk_size_px=16, compressor=compressor)
    assert_same_content(apply_as(image, "same"), other)
    for array in arrays_of(other):
        assert array.chunks == (1,) * (array.ndim - 2) + (16, 16)
        names = [type(one).__name__.lower() for one in array.compressors]
        assert len(names) == (compressor != "none")
        assert all(name.startswith(compressor) for name in names)
    plate_images = open_ome_zarr_plate(plate, mode="r").get_images(max_workers=1)
    assert len(plate_images) == 4


def test_shards_are_those_wanted(make_plate: Make) -> None:
    plate = make_plate(**SHARDED)
    image = image_urls(plate, 2)[1]
    for old, new in zip(
        arrays_of(apply_as(image, "same")),
        arrays_of(apply_as(image, "other", **V05, shard_size_px=16)),
        strict=True,
    ):
        assert old.chunks[-2:] == new.chunks[-2:] == new.shards[-2:] == (16, 16)
        assert old.shards[-2:] == (32, 32)
    assert_same_content(Path(f"{image}_same"), Path(f"{image}_other"))


def test_order_of_bytes_is_no_obstacle(loose: Make) -> None:
    image = loose()
    path = image / "0/.zarray"
    array = zarr.open_array(image / "0", mode="r+")
    pixels = np.asarray(array[...])
    path.write_text(path.read_text().replace("<u2", ">u2"))
    zarr.open_array(image / "0", mode="r+")[...] = pixels
    other = apply_as(image, "other", **V05)
    np.testing.assert_array_equal(
        read_pixels(str(other)), read_pixels(str(apply_as(image, "same")))
    )


def test_second_run_does_nothing_unless_another_format_is_wanted(
    make_plate: Make,
) -> None:
    image = image_urls(make_plate(), 2)[1]
    other = apply_as(image, "other", chunk_size_px=16)

    def stamps() -> dict[Path, int]:
        return {one: one.stat().st_mtime_ns for one in other.rglob("*")}

    before = stamps()
    assert apply_as(image, "other", chunk_size_px=16) == other
    assert stamps() == before
    apply_as(image, "other", chunk_size_px=32)
    assert arrays_of(other)[0].chunks[-2:] == (32, 32)
    record = read_applied_record(parse_image_url(str(other)))
    assert record is not None
    assert record.settings["output_format"] == {
        "ngff_version": "same",
        "chunk_size_px": 32,
        "shard_size_px": None,
        "compressor": "same",
    }


def test_killed_write_leaves_nothing_after_the_next_run(loose: Make) -> None:
    image = loose()
    folder = image.parent
    before = data_beside(image)
    child = os.fork()
    if child == 0:
        writes = iter(range(20))

        def stop(event: str, arguments: tuple[Any, ...]) -> None:
            if event == "open" and "/new/" in str(arguments[0]):
                next(writes, None) is None and os._exit(9)

        sys.addaudithook(stop)
        apply_as(image, "other", **V05)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    found = data_beside(image)
    assert {path: found[path] for path in before} == before
    assert_same_content(apply_as(image, "same"), apply_as(image, "other", **V05))
    assert not [
        one for one in folder.iterdir() if one.name.startswith(".fractal-tasks-1")
    ]


REFUSED: dict[str, tuple[Format, str]] = {
    "version of a plate": (V05, "software reads a plate by one"),
    "shards in 0.4": ({"shard_size_px": 64}, "0.4, which has none"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_and_changes_nothing(
    make_plate: Make, name: str
) -> None:
    wanted, message = REFUSED[name]
    plate = make_plate()
    before = data_of(plate.parent)
    with pytest.raises(InvalidInputError, match=message):
        apply_as(image_urls(plate, 2)[1], "other", **wanted)
    assert data_of(plate.parent) == before


def test_input_that_is_replaced_stays_of_its_format(make_plate: Make) -> None:
    plate = make_plate()
    before = data_of(plate.parent)
    with pytest.raises(
        InvalidInputError, match=r"'chunk_size_px': 16.* overwrite_input"
    ):
        run_apply(image_urls(plate, 2), output_format={"chunk_size_px": 16})
    assert data_of(plate.parent) == before


def test_shards_that_are_no_multiple_of_chunks_are_refused(
    make_plate: Make, tmp_path: Path
) -> None:
    plate = make_plate(**SHARDED)
    before = data_of(tmp_path)
    for wanted in ({"shard_size_px": 40}, {"chunk_size_px": 24}):
        with pytest.raises(InvalidInputError, match="needed are multiples"):
            apply_as(image_urls(plate, 2)[1], "other", **wanted)
    assert data_of(tmp_path) == before


def _compress_otherwise(image: Path) -> None:
    path = image / "labels/nuclei/0/.zarray"
    document = {**json.loads(path.read_text()), "compressor": {"id": "lzma"}}
    shutil.rmtree(image / "labels/nuclei/0/0")
    path.write_text(json.dumps(document))


def _add_records(image: Path) -> None:
    values = np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")])
    uns = zarr.open_group(
        image / "tables/nuclei_features/uns", mode="r+", use_consolidated=False
    )
    kind = {"encoding-type": "rec-array", "encoding-version": "0.2.0"}
    uns.create_array("odd", data=values, attributes=kind)


def _add_key(image: Path) -> None:
    (image / "1/c").mkdir()
    (image / "1/c/0.0.0.0").write_text("no chunk")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(
            _compress_otherwise, "label 'nuclei': .* by LZMA", id="compressor"
        ),
        pytest.param(_add_records, "table 'nuclei_features': 'uns/odd'", id="table"),
        pytest.param(_add_key, r"found 1/c/0.0.0.0", id="key"),
    ],
)
@pytest.mark.filterwarnings("ignore:The data type:zarr.errors.ZarrUserWarning")
def test_what_the_other_version_cannot_hold_is_refused_before_any_write(
    loose: Make, spoil: Callable[[Path], None], message: str
) -> None:
    image = loose()
    spoil(image)
    before = data_beside(image)
    with pytest.raises(InvalidInputError, match=message):
        apply_as(image, "other", **V05)
    assert data_beside(image) == before
    apply_as(image, "other")
